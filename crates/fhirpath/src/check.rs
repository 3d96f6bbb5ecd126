//! Checks an expression against the types, without any data: names of elements, types, and functions that need an order.

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::TypeId;

use crate::EvaluationError;
use crate::ast::{Ast, Invocation, MemberName, Operator, TypeOperator, TypeSpecifier};
use crate::evaluate::{Function, TypeTest};

/// What is known of a collection.
#[derive(Clone)]
struct Shape {
    /// The FHIR types its items may have; `None` where anything may come, System types among it.
    types: Option<Vec<TypeId>>,
    ordered: bool,
}

/// `repeat` is followed to elements of elements this deep.
const REPEAT_LEVELS: usize = 8;

/// Checks an expression for items of one type.
pub(crate) fn check(ast: &Ast, definitions: &Definitions, type_name: &str) -> Result<(), EvaluationError> {
    let type_id = definitions.type_id(type_name).ok_or_else(|| EvaluationError::UnknownType(type_name.to_owned()))?;
    let this = Shape { types: Some(vec![type_id]), ordered: true };
    Checker { definitions }.shape(ast, &this).map(drop)
}

struct Checker<'d> {
    definitions: &'d Definitions,
}

type Shaped = Result<Shape, EvaluationError>;

impl Shape {
    fn anything() -> Self {
        Self { types: None, ordered: true }
    }

    fn of(type_id: Option<TypeId>) -> Self {
        Self { types: type_id.map(|id| vec![id]), ordered: true }
    }

    fn or(mut self, other: Self) -> Self {
        self.types = self.types.zip(other.types).map(|(mut types, others)| {
            types.extend(others);
            types.sort_unstable();
            types.dedup();
            types
        });
        self.ordered &= other.ordered;
        self
    }
}

impl Checker<'_> {
    fn shape(&self, ast: &Ast, this: &Shape) -> Shaped {
        match ast {
            Ast::This => Ok(this.clone()),
            Ast::Empty | Ast::Literal(_) | Ast::Variable(_) | Ast::Index | Ast::Total => Ok(Shape::anything()),
            Ast::Negate(operand) | Ast::Plus(operand) => self.shape(operand, this).map(|_| Shape::anything()),
            Ast::Type(operator, operand, specifier) => {
                let operand = self.shape(operand, this)?;
                self.of_type(*operator, specifier, operand)
            }
            Ast::Binary(operator, left, right) => {
                let (left, right) = (self.shape(left, this)?, self.shape(right, this)?);
                Ok(if *operator == Operator::Union { left.or(right) } else { Shape::anything() })
            }
            Ast::Path(head, steps) => {
                let head = self.shape(head, this)?;
                steps.iter().try_fold(head, |input, step| self.step(step, input, this))
            }
        }
    }

    fn step(&self, step: &Invocation, input: Shape, this: &Shape) -> Shaped {
        match step {
            Invocation::Member(name) => self.member(name, input),
            Invocation::Index(index) => {
                self.shape(index, this)?;
                if input.ordered { Ok(input) } else { Err(EvaluationError::Unordered("an index")) }
            }
            Invocation::Type(operator, specifier) => self.of_type(*operator, specifier, input),
            Invocation::ResolvesTo(specifier) => TypeTest::new(self.definitions, specifier).map(|_| Shape::anything()),
            Invocation::Matches(_) => Ok(Shape::anything()),
            Invocation::Call(function, arguments) => self.call(*function, arguments, input, this),
        }
    }

    fn of_type(&self, operator: TypeOperator, specifier: &TypeSpecifier, input: Shape) -> Shaped {
        TypeTest::new(self.definitions, specifier)?;
        let fhir = if specifier.namespace.as_deref() == Some("System") { None } else { self.definitions.type_id(&specifier.name) };
        Ok(if operator == TypeOperator::Is { Shape::anything() } else { Shape { ordered: input.ordered, ..Shape::of(fhir) } })
    }

    fn member(&self, name: &MemberName, input: Shape) -> Shaped {
        let Some(types) = &input.types else { return Ok(Shape { types: None, ..input }) };
        let definitions = self.definitions;
        if name.is_head
            && let Some(ancestor) = definitions.type_id(&name.name).filter(|_| name.name.starts_with(|c: char| c.is_ascii_uppercase()))
        {
            let kept: Vec<_> = types.iter().copied().filter(|id| definitions.is_a(*id, ancestor)).collect();
            return if kept.is_empty() { Err(self.unknown_element(types, name)) } else { Ok(Shape { types: Some(kept), ..input }) };
        }
        let mut found: Option<Shape> = None;
        for type_id in types {
            let Some(element) = definitions.element(*type_id, &name.name) else { continue };
            let types = if element.is_resource { None } else { Some(element.types.clone()) };
            let shape = Shape { types, ordered: input.ordered };
            found = Some(match found {
                Some(others) => others.or(shape),
                None => shape,
            });
        }
        found.ok_or_else(|| self.unknown_element(types, name))
    }

    fn unknown_element(&self, types: &[TypeId], name: &MemberName) -> EvaluationError {
        let type_name = types.first().map_or(String::new(), |id| self.definitions.type_definition(*id).name.clone());
        EvaluationError::UnknownElement { type_name, element: name.name.clone() }
    }

    fn call(&self, function: Function, arguments: &[Ast], input: Shape, this: &Shape) -> Shaped {
        use Function as F;
        let inner = matches!(function, F::Where | F::Select | F::Exists | F::All | F::Repeat | F::Aggregate | F::Sort | F::Iif);
        let outer = if inner { &input } else { this };
        // The second argument of `trace` is a projection of the items traced.
        let arguments = if function == F::Trace { &arguments[..1] } else { arguments };
        let mut shapes = Vec::with_capacity(arguments.len());
        for argument in arguments {
            shapes.push(self.shape(argument, outer)?);
        }
        let mut shapes = shapes.into_iter();
        Ok(match function {
            F::First | F::Last | F::Tail | F::Skip | F::Take if !input.ordered => return Err(EvaluationError::Unordered(function.name())),
            F::Sort => Shape { ordered: true, ..input },
            F::First
            | F::Last
            | F::Tail
            | F::Skip
            | F::Take
            | F::Single
            | F::Where
            | F::Distinct
            | F::Exclude
            | F::Intersect
            | F::Trace => input,
            F::Select => Shape { ordered: input.ordered, ..shapes.next().unwrap_or_else(Shape::anything) },
            F::Union | F::Combine => shapes.fold(input, Shape::or),
            F::Iif => shapes.skip(1).reduce(Shape::or).unwrap_or_else(Shape::anything),
            F::Repeat => self.repeated(&arguments[0], shapes.next().unwrap_or_else(Shape::anything)),
            F::Extension => Shape::of(self.definitions.type_id("Extension")),
            F::Children | F::Descendants => Shape { types: None, ordered: false },
            _ => Shape::anything(),
        })
    }

    /// The types that a projection reaches when it is repeated; further down it need not have a result.
    fn repeated(&self, projection: &Ast, first: Shape) -> Shape {
        let mut all = first;
        for _ in 0..REPEAT_LEVELS {
            let Ok(next) = self.shape(projection, &all) else { break };
            let more = all.clone().or(next);
            if more.types == all.types {
                break;
            }
            all = more;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Expression;

    #[test]
    fn wrong_names_are_found_without_data() {
        let definitions = Definitions::r4();
        let check = |expression: &str| Expression::parse(expression).unwrap().check(&definitions, "Patient");
        for right in [
            "name.given",
            "Patient.contact.name.family",
            "Resource.id",
            "deceased.as(boolean)",
            "contained.name",
            "name.select(given | family)",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["name.given1", "Encounter.status", "deceasedBoolean", "name.where(foo = 1)", "children().first()", "deceased.as(foo)"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn search_parameters_are_sound() {
        let definitions = Definitions::r4();
        for parameter in definitions.all_search_parameters().filter(|parameter| !parameter.expression.contains('|')) {
            if let (Ok(expression), [base]) = (Expression::parse(&parameter.expression), &parameter.bases[..]) {
                assert_eq!(expression.check(&definitions, base.name()), Ok(()), "{}", parameter.expression);
            }
        }
    }
}
