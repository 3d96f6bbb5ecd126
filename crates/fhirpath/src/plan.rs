//! Expressions resolved for one type: what search parameters are evaluated by, at each write.
//!
//! A branch that is a plain path (elements, types, `where(system = 'phone')`, `where(resolve() is Patient)`) becomes a list
//! of steps on the JSON itself, which allocates nothing and looks no type up. Any other branch is evaluated as a tree.

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::TypeId;
use fhirpool_fhir::json::{Kind, Value};

use crate::ast::{Ast, Invocation, MemberName, Operator, TypeOperator, TypeSpecifier};
use crate::evaluate::{Evaluator, Function, TypeTest, target_type};
use crate::item::Node;
use crate::relax::relax;
use crate::{Context, EvaluationError, Item, evaluate};

#[derive(Debug)]
pub(crate) struct Plan {
    branches: Vec<Branch>,
}

#[derive(Debug)]
enum Branch {
    Path(Vec<Step>),
    Tree(Ast),
}

#[derive(Debug)]
enum Step {
    /// The values of any of these properties; several for a choice.
    Properties(Vec<PropertyStep>),
    /// `where(property = 'text')`, of a property that has one value at most
    WhereEqual(String, String),
    /// `where(resolve() is T)`
    WhereResolvesTo(TypeSpecifier, TypeId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PropertyStep {
    name: String,
    /// `None` for a whole resource.
    type_id: Option<TypeId>,
}

/// Keeps and resolves the branches that can apply to a type.
pub(crate) fn for_type(ast: &Ast, definitions: &Definitions, type_name: &str) -> Option<Plan> {
    let type_id = definitions.type_id(type_name)?;
    let mut parts = Vec::new();
    split_union(ast, &mut parts);
    let applicable = parts.into_iter().filter(|part| applies(part, definitions, type_id));
    let branches: Vec<_> = applicable
        .filter_map(|part| {
            let mut part = part.clone();
            relax(&mut part);
            match lower(&part, definitions, type_id) {
                Some(steps) if steps.iter().any(|step| matches!(step, Step::Properties(none) if none.is_empty())) => None,
                Some(steps) => Some(Branch::Path(steps)),
                None => Some(Branch::Tree(part)),
            }
        })
        .collect();
    (!branches.is_empty()).then_some(Plan { branches })
}

fn split_union<'t>(ast: &'t Ast, parts: &mut Vec<&'t Ast>) {
    match ast {
        Ast::Binary(Operator::Union, left, right) => {
            split_union(left, parts);
            split_union(right, parts);
        }
        other => parts.push(other),
    }
}

/// Whether the first name of a branch is an element, or the type or an ancestor of it.
fn applies(ast: &Ast, definitions: &Definitions, type_id: TypeId) -> bool {
    match ast {
        Ast::Path(head, steps) => match (&**head, steps.first()) {
            (Ast::This, Some(Invocation::Member(name))) if name.name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                definitions.type_id(&name.name).is_some_and(|ancestor| definitions.is_a(type_id, ancestor))
            }
            (head, _) => applies(head, definitions, type_id),
        },
        Ast::Binary(_, left, _) => applies(left, definitions, type_id),
        Ast::Type(_, operand, _) | Ast::Negate(operand) | Ast::Plus(operand) => applies(operand, definitions, type_id),
        _ => true,
    }
}

/// The steps of a plain path; `None` for anything else.
fn lower(ast: &Ast, definitions: &Definitions, type_id: TypeId) -> Option<Vec<Step>> {
    match ast {
        Ast::Path(head, invocations) => {
            let mut lowering = match &**head {
                Ast::This => Lowering { definitions, steps: Vec::new(), types: vec![type_id] },
                head @ (Ast::Path(..) | Ast::Type(..)) => Lowering::of(definitions, lower(head, definitions, type_id)?, type_id)?,
                _ => return None,
            };
            for invocation in invocations {
                lowering.add(invocation)?;
            }
            Some(lowering.steps)
        }
        Ast::Type(TypeOperator::OfType, operand, specifier) => {
            let mut lowering = Lowering::of(definitions, lower(operand, definitions, type_id)?, type_id)?;
            lowering.select(specifier)?;
            Some(lowering.steps)
        }
        _ => None,
    }
}

struct Lowering<'d> {
    definitions: &'d Definitions,
    steps: Vec<Step>,
    /// The types the items may have; empty where they are whole resources.
    types: Vec<TypeId>,
}

impl<'d> Lowering<'d> {
    /// Goes on behind steps already lowered.
    fn of(definitions: &'d Definitions, steps: Vec<Step>, type_id: TypeId) -> Option<Self> {
        let last = steps.iter().rev().find_map(|step| match step {
            Step::Properties(properties) => Some(properties.iter().map(|property| property.type_id).collect()),
            _ => None,
        });
        let types = last.unwrap_or(Some(vec![type_id]))?;
        Some(Self { definitions, steps, types })
    }

    fn add(&mut self, invocation: &Invocation) -> Option<()> {
        match invocation {
            Invocation::Member(name) => self.member(name),
            Invocation::Type(TypeOperator::OfType, specifier) => self.select(specifier),
            Invocation::Call(Function::Where, arguments) => self.filter(&arguments[0]),
            Invocation::Call(Function::Extension, arguments) => {
                let Ast::Literal(Item::String(url)) = &arguments[0] else { return None };
                self.properties("extension")?;
                self.steps.push(Step::WhereEqual("url".to_owned(), url.clone().into_owned()));
                Some(())
            }
            _ => None,
        }
    }

    fn member(&mut self, name: &MemberName) -> Option<()> {
        let is_type = name.is_head && name.name.starts_with(|c: char| c.is_ascii_uppercase());
        if is_type { Some(()) } else { self.properties(&name.name) }
    }

    fn properties(&mut self, name: &str) -> Option<()> {
        let mut found: Vec<PropertyStep> = Vec::new();
        for type_id in &self.types {
            let definition = self.definitions.type_definition(*type_id);
            let element = self.definitions.element(*type_id, name)?;
            if definition.primitive.is_some() || (element.is_resource && element.choice) {
                return None;
            }
            if element.is_resource {
                found.push(PropertyStep { name: name.to_owned(), type_id: None });
            }
            for of in &element.types {
                let name = if element.choice { property_name(name, &self.definitions.type_definition(*of).name) } else { name.to_owned() };
                let step = PropertyStep { name, type_id: Some(*of) };
                match found.iter().find(|other| other.name == step.name) {
                    None => found.push(step),
                    Some(other) if *other == step => {}
                    // One name with several types, by what is above it: only the tree tells them apart.
                    Some(_) => return None,
                }
            }
        }
        self.types = found.iter().filter_map(|property| property.type_id).collect();
        self.steps.push(Step::Properties(found));
        Some(())
    }

    fn select(&mut self, specifier: &TypeSpecifier) -> Option<()> {
        let definitions = self.definitions;
        let test = TypeTest::new(definitions, specifier).ok()?;
        let Some(Step::Properties(properties)) = self.steps.last_mut() else { return None };
        if properties.iter().any(|property| property.type_id.is_none()) {
            return None;
        }
        properties.retain(|property| test.selects(definitions, &untyped_node(property.type_id)));
        self.types = properties.iter().filter_map(|property| property.type_id).collect();
        Some(())
    }

    fn filter(&mut self, criteria: &Ast) -> Option<()> {
        let step = match criteria {
            Ast::Path(head, steps) if matches!(**head, Ast::This) => match &steps[..] {
                [Invocation::ResolvesTo(target)] => Step::WhereResolvesTo(target.clone(), self.definitions.type_id(&target.name)?),
                _ => return None,
            },
            Ast::Binary(Operator::Equal, left, right) => {
                let (Ast::Path(head, steps), Ast::Literal(Item::String(text))) = (&**left, &**right) else { return None };
                let (Ast::This, [Invocation::Member(name)]) = (&**head, &steps[..]) else { return None };
                let single = self.types.iter().all(|type_id| {
                    let element = self.definitions.element(*type_id, &name.name);
                    element.is_some_and(|element| element.max == Some(1) && !element.choice && !element.is_resource)
                });
                if !single || self.types.is_empty() {
                    return None;
                }
                Step::WhereEqual(name.name.clone(), text.clone().into_owned())
            }
            _ => return None,
        };
        self.steps.push(step);
        Some(())
    }
}

/// `value` and `dateTime` make `valueDateTime`.
fn property_name(element: &str, type_name: &str) -> String {
    let mut name = String::with_capacity(element.len() + type_name.len());
    name.push_str(element);
    let mut chars = type_name.chars();
    name.extend(chars.next().map(|first| first.to_ascii_uppercase()));
    name.push_str(chars.as_str());
    name
}

fn untyped_node(type_id: Option<TypeId>) -> Item<'static> {
    Item::Node(Node { value: None, sibling: None, type_id })
}

impl Plan {
    /// Whether every branch is a plain path.
    #[cfg(test)]
    pub fn is_plain(&self) -> bool {
        self.branches.iter().all(|branch| matches!(branch, Branch::Path(_)))
    }

    pub fn evaluate_into<'a>(&self, context: &Context<'a>, focus: Item<'a>, out: &mut Vec<Item<'a>>) -> Result<(), EvaluationError> {
        for branch in &self.branches {
            match (branch, &focus) {
                (Branch::Path(steps), Item::Node(Node { value: Some(value), type_id, .. })) => {
                    walk(steps, context, *value, *type_id, out)?;
                }
                (Branch::Path(_), _) => {}
                (Branch::Tree(ast), _) => out.append(&mut evaluate::evaluate(ast, context, focus.clone())?),
            }
        }
        let max = context.limits.items_max;
        if out.len() > max { Err(EvaluationError::Items(max)) } else { Ok(()) }
    }
}

/// Follows the steps below one value. Recurses as deep as there are steps; visits each value once a step.
fn walk<'a>(
    steps: &[Step],
    context: &Context<'a>,
    value: Value<'a>,
    type_id: Option<TypeId>,
    out: &mut Vec<Item<'a>>,
) -> Result<(), EvaluationError> {
    let Some((step, rest)) = steps.split_first() else {
        let node = match type_id {
            Some(_) => Node { value: Some(value), sibling: None, type_id },
            None => Node::new(context.definitions, value, None),
        };
        out.push(Item::Node(node));
        return Ok(());
    };
    match step {
        Step::Properties(properties) => {
            for property in properties {
                let Some(found) = value.get(&property.name) else { continue };
                for element in found.each().filter(|element| element.kind() != Kind::Null) {
                    walk(rest, context, element, property.type_id, out)?;
                }
            }
            Ok(())
        }
        Step::WhereEqual(name, text) => {
            if value.get_str(name).is_some_and(|found| found == text.as_str()) {
                walk(rest, context, value, type_id, out)
            } else {
                Ok(())
            }
        }
        Step::WhereResolvesTo(specifier, wanted) => {
            if resolves_to(context, value, type_id, specifier, *wanted)? {
                walk(rest, context, value, type_id, out)
            } else {
                Ok(())
            }
        }
    }
}

fn resolves_to<'a>(
    context: &Context<'a>,
    value: Value<'a>,
    type_id: Option<TypeId>,
    specifier: &TypeSpecifier,
    wanted: TypeId,
) -> Result<bool, EvaluationError> {
    let text = if value.is_object() { value.get_str("reference") } else { value.as_str() };
    if let Some(target) = text.as_deref().and_then(target_type) {
        return Ok(context.definitions.is_a(context.definitions.resource_type_id(target), wanted));
    }
    let item = [Item::Node(Node { value: Some(value), sibling: None, type_id })];
    let result = Evaluator::new(context, &item).resolves_to(&item, specifier)?;
    Ok(matches!(result[..], [Item::Boolean(true)]))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::parser;

    #[test]
    fn nearly_all_search_parameters_are_plain_paths() {
        let definitions = Definitions::r4();
        let mut trees = Vec::new();
        for parameter in definitions.all_search_parameters().filter(|parameter| !parameter.expression.is_empty()) {
            let ast = parser::parse(&parameter.expression).unwrap();
            for base in &parameter.bases {
                if !for_type(&ast, &definitions, base.name()).unwrap().is_plain() {
                    trees.push(format!("{base} {}", parameter.code));
                }
            }
        }
        trees.sort();
        assert_eq!(trees, ["Bundle composition", "Bundle message", "Patient deceased"]);
    }
}
