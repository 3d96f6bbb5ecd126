//! The rules of one type: a tree of JSON properties that one walk over a resource follows for all parameters at once.

use fhirpool_fhir::definitions::{Element, ParameterNumber, SearchParameter, SearchParameterKind, TypeId};
use fhirpool_fhir::{Definitions, ResourceType};
use fhirpool_fhirpath::Expression;

use super::convert::Convert;
use super::path::{self, Step};

/// What to do with the values at the end of a path.
#[derive(Debug, Clone)]
pub(super) struct Action {
    /// Place in [`TypeRules::parameters`].
    pub parameter: usize,
    /// What becomes of a value.
    pub give: Give,
}

#[derive(Debug, Clone)]
pub(super) enum Give {
    /// It is converted; references only if they lead to the type.
    Value(Convert, Option<ResourceType>),
    /// It is the item of a composite.
    Composite(Vec<Component>),
}

/// A part of a composite.
#[derive(Debug, Clone)]
pub(super) struct Component {
    /// The rules from the item on, or from the resource on.
    pub tree: Tree,
    /// Whether they begin at the resource (`%resource`).
    pub from_resource: bool,
}

/// A tree of properties. The root is node 0.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub nodes: Vec<TreeNode>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TreeNode {
    /// Sorted by name.
    pub edges: Vec<Edge>,
    pub actions: Vec<Action>,
}

/// From an object to the values of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    /// The JSON property.
    pub name: String,
    /// Which of them.
    pub filter: EdgeFilter,
    pub node: usize,
}

/// Which values of a property count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct EdgeFilter {
    /// Only the first.
    pub first: bool,
    /// Only those with this string in this property.
    pub property: Option<(String, String)>,
}

/// A parameter as extraction needs it.
#[derive(Debug, Clone)]
pub(super) struct RuleParameter {
    pub number: ParameterNumber,
    pub kind: SearchParameterKind,
}

/// The rules of one type.
#[derive(Debug, Clone, Default)]
pub(super) struct TypeRules {
    pub parameters: Vec<RuleParameter>,
    pub tree: Tree,
    /// Expressions that are no paths: parameter's place, expression.
    pub expressions: Vec<(usize, Expression)>,
    /// Alternatives that could not be read at all; empty for R4.
    pub unread: Vec<String>,
}

impl TypeRules {
    /// Compiles the rules of a type. What a tenant's own parameter has that cannot be read is listed, not refused: it was
    /// checked when the parameter was accepted.
    pub(super) fn compile(definitions: &Definitions, resource_type: ResourceType) -> Self {
        let mut rules = Self { tree: Tree::new(), ..Self::default() };
        for parameter in definitions.search_parameters(resource_type) {
            if matches!(parameter.code.as_str(), "_id" | "_lastUpdated") || parameter.kind == SearchParameterKind::Special {
                continue;
            }
            let place = rules.parameters.len();
            rules.parameters.push(RuleParameter { number: parameter.number, kind: parameter.kind });
            rules.add_parameter(definitions, resource_type, parameter, place);
        }
        rules
    }

    fn add_parameter(&mut self, definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter, place: usize) {
        for (text, steps) in path::alternatives(&parameter.expression) {
            match steps.as_deref().map(|steps| relative(steps, resource_type)) {
                Some(Some(steps)) => {
                    let root = definitions.resource_type_id(resource_type);
                    let give = |end: &PathEnd<'_>| give(definitions, resource_type, parameter, end);
                    self.tree.add(definitions, root, steps, place, &give);
                }
                Some(None) => {}
                None => match Expression::parse(text) {
                    Ok(expression) => self.expressions.extend(expression.for_type(definitions, resource_type.name()).map(|it| (place, it))),
                    Err(_) => self.unread.push(text.to_owned()),
                },
            }
        }
    }
}

/// The steps behind the type's name; `None` where they are those of another type.
pub(super) fn relative<'s, 'a>(steps: &'s [Step<'a>], resource_type: ResourceType) -> Option<&'s [Step<'a>]> {
    match steps.first()? {
        Step::Name(name) if *name == resource_type.name() || matches!(*name, "Resource" | "DomainResource") => Some(&steps[1..]),
        Step::Name(name) if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => None,
        _ => Some(steps),
    }
}

/// Where a path ends.
pub(super) struct PathEnd<'a> {
    /// The type there; `None` for whole resources.
    pub type_id: Option<TypeId>,
    /// The element whose values they are; `None` at the start.
    pub element: Option<&'a Element>,
    /// The type a reference must lead to.
    pub resolves_to: Option<ResourceType>,
}

fn give(definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter, end: &PathEnd<'_>) -> Option<Give> {
    if parameter.kind != SearchParameterKind::Composite {
        return convert(definitions, parameter, end).map(|convert| Give::Value(convert, end.resolves_to));
    }
    let item = end.type_id?;
    let components = component_parameters(definitions, parameter)?.into_iter().zip(&parameter.components).map(|(definition, component)| {
        let mut tree = Tree::new();
        let mut from_resource = false;
        for (_, steps) in path::alternatives(&component.expression) {
            let steps = steps?;
            from_resource = steps.first() == Some(&Step::Name("%resource"));
            let (root, steps) = if from_resource { (definitions.resource_type_id(resource_type), &steps[1..]) } else { (item, &*steps) };
            let give = |end: &PathEnd<'_>| convert(definitions, definition, end).map(|convert| Give::Value(convert, end.resolves_to));
            tree.add(definitions, root, steps, 0, &give);
        }
        Some(Component { tree, from_resource })
    });
    components.collect::<Option<Vec<_>>>().map(Give::Composite)
}

/// The parameters that give the components of a composite their types; `None` where one is not known.
///
/// R4 names the two of `DocumentReference.relationship` in the wrong order: a reference for the code, a token for the target.
pub(crate) fn component_parameters<'a>(definitions: &'a Definitions, parameter: &SearchParameter) -> Option<Vec<&'a SearchParameter>> {
    let urls = parameter.components.iter().map(|component| definitions.search_parameter_by_url(&component.definition));
    let mut parameters: Vec<_> = urls.collect::<Option<_>>()?;
    if parameter.url == "http://hl7.org/fhir/SearchParameter/DocumentReference-relationship" {
        parameters.reverse();
    }
    Some(parameters)
}

fn convert(definitions: &Definitions, parameter: &SearchParameter, end: &PathEnd<'_>) -> Option<Convert> {
    match end.type_id {
        Some(id) => Convert::of(definitions, parameter, id),
        None => (parameter.kind == SearchParameterKind::Reference).then_some(Convert::Resource),
    }
}

/// A step into a property that is not made yet, because conditions may follow.
#[derive(Clone)]
struct Pending<'a> {
    /// The node it starts from; with `name` empty it is the place itself.
    node: usize,
    name: String,
    filter: EdgeFilter,
    end_type: Option<TypeId>,
    element: Option<&'a Element>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![TreeNode::default()] }
    }

    /// Adds the ends of a path; those of types that give nothing are left out.
    pub(super) fn add(
        &mut self,
        definitions: &Definitions,
        root: TypeId,
        steps: &[Step<'_>],
        parameter: usize,
        give: &dyn Fn(&PathEnd<'_>) -> Option<Give>,
    ) {
        let start = Pending { node: 0, name: String::new(), filter: EdgeFilter::default(), end_type: Some(root), element: None };
        let mut places = vec![start];
        let mut resolves_to = None;
        for step in steps {
            match step {
                Step::Name(name) => {
                    let froms = std::mem::take(&mut places);
                    for from in froms {
                        let Some(element) = from.end_type.and_then(|id| definitions.element(id, name)) else { continue };
                        let node = self.settle(&from);
                        places.extend(properties(definitions, element).map(|(name, end_type)| Pending {
                            node,
                            name,
                            filter: EdgeFilter::default(),
                            end_type,
                            element: Some(element),
                        }));
                    }
                }
                Step::As(type_name) => places.retain(|place| {
                    let id = place.end_type.map(|id| definitions.type_definition(id));
                    id.is_some_and(|definition| definition.name.eq_ignore_ascii_case(type_name))
                }),
                Step::ResolvesTo(type_name) => match ResourceType::parse(type_name) {
                    Some(resource_type) => resolves_to = Some(resource_type),
                    None => return,
                },
                Step::Where { name, value } => {
                    places.iter_mut().for_each(|place| place.filter.property = Some(((*name).to_owned(), (*value).to_owned())));
                }
                Step::First => places.iter_mut().for_each(|place| place.filter.first = true),
            }
        }
        for place in places {
            if let Some(give) = give(&PathEnd { type_id: place.end_type, element: place.element, resolves_to }) {
                let node = self.settle(&place);
                self.nodes[node].actions.push(Action { parameter, give });
            }
        }
    }

    /// The node of a place, made if need be.
    fn settle(&mut self, place: &Pending<'_>) -> usize {
        if place.name.is_empty() {
            return place.node;
        }
        let edges = &self.nodes[place.node].edges;
        let found = edges.binary_search_by(|edge| (&edge.name, &edge.filter).cmp(&(&place.name, &place.filter)));
        match found {
            Ok(index) => edges[index].node,
            Err(index) => {
                let node = self.nodes.len();
                self.nodes.push(TreeNode::default());
                let edge = Edge { name: place.name.clone(), filter: place.filter.clone(), node };
                self.nodes[place.node].edges.insert(index, edge);
                node
            }
        }
    }
}

/// The JSON properties of an element with their types.
fn properties<'a>(definitions: &'a Definitions, element: &'a Element) -> impl Iterator<Item = (String, Option<TypeId>)> + 'a {
    let whole_resource = element.is_resource.then(|| (element.name.clone(), None));
    let typed = element.types.iter().map(|id| {
        let name = if element.choice { choice_name(&element.name, &definitions.type_definition(*id).name) } else { element.name.clone() };
        (name, Some(*id))
    });
    whole_resource.into_iter().chain(typed)
}

fn choice_name(element: &str, type_name: &str) -> String {
    let mut name = element.to_owned();
    let mut letters = type_name.chars();
    name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    name.push_str(letters.as_str());
    name
}
