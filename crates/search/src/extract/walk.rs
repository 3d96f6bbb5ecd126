//! One walk over a resource along the rules of its type.

use std::cell::Cell;

use fhirpool_fhir::definitions::SearchParameterKind;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Definitions, ServiceBase};
use fhirpool_fhirpath::{Context, Item, Node};

use super::Extractors;
use super::references::{ReferenceTarget, targets};
use super::rules::{Action, Component, Edge, EdgeFilter, Give, Tree, TypeRules};
use crate::IndexEntry;
use crate::value::{composite, form, token};

/// A resource under the rules of its type.
pub(super) struct Walk<'a> {
    definitions: &'a Definitions,
    rules: &'a TypeRules,
    resource: Value<'a>,
    base: &'a ServiceBase,
    /// How many more entries it may give.
    left: Cell<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(definitions: &'a Definitions, rules: &'a TypeRules, resource: Value<'a>, base: &'a ServiceBase) -> Self {
        Self { definitions, rules, resource, base, left: Cell::new(Extractors::ENTRIES_MAX) }
    }

    /// Appends the entries of all parameters.
    pub(super) fn entries(&self, entries: &mut Vec<IndexEntry>) {
        visit(&self.rules.tree, self.resource, &mut |action, value| {
            let parameter = self.rules.parameters[action.parameter].number;
            self.give(action, value, &mut |value| {
                if let Some(left) = self.left.get().checked_sub(1) {
                    self.left.set(left);
                    entries.push(IndexEntry { parameter, value });
                }
            });
        });
        for (place, expression) in &self.rules.expressions {
            let context = Context::new(self.definitions, self.resource);
            let focus = Item::Node(Node::new(self.definitions, self.resource, None));
            // What cannot be evaluated on this resource gives no value: a write must not fail for a parameter's sake.
            let items = expression.evaluate(&context, focus).unwrap_or_default();
            let parameter = &self.rules.parameters[*place];
            let values = items.iter().filter_map(|item| computed(item, parameter.kind));
            entries.extend(values.map(|value| IndexEntry { parameter: parameter.number, value }));
        }
    }

    /// What the references of one parameter lead to.
    pub(super) fn references(&self, place: usize) -> Vec<ReferenceTarget> {
        let mut found = Vec::new();
        visit(&self.rules.tree, self.resource, &mut |action, value| {
            if let Give::Value(convert, resolves_to) = &action.give
                && action.parameter == place
            {
                targets(*convert, value, *resolves_to, self.base, &mut found);
            }
        });
        found
    }

    fn give(&self, action: &Action, value: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
        match &action.give {
            Give::Value(convert, resolves_to) => convert.convert(value, *resolves_to, self.base, give),
            Give::Composite(components) => self.combine(components, value, give),
        }
    }

    /// Every combination of the components' values. The last component is looked at first: it is the one that most often
    /// has none.
    fn combine(&self, components: &[Component], item: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
        let mut values = vec![Vec::new(); components.len()];
        for (component, values) in components.iter().zip(&mut values).rev() {
            let start = if component.from_resource { self.resource } else { item };
            visit(&component.tree, start, &mut |action, value| {
                self.give(action, value, &mut |value| {
                    if is_component_form(&value) && values.len() < Extractors::COMBINATIONS_MAX {
                        values.push(value);
                    }
                });
            });
            if values.is_empty() {
                return;
            }
        }
        let count = values.iter().map(Vec::len).fold(1_usize, usize::saturating_mul).min(Extractors::COMBINATIONS_MAX);
        for mut index in 0..count {
            if self.left.get() == 0 {
                return;
            }
            let mut chosen: Vec<&[u8]> = Vec::with_capacity(values.len());
            for of_component in values.iter().rev() {
                chosen.push(&of_component[index % of_component.len()]);
                index /= of_component.len();
            }
            chosen.reverse();
            give(composite::value(&chosen));
        }
    }
}

/// Values that composites compare; the others are for modifiers, which composites do not have.
fn is_component_form(value: &[u8]) -> bool {
    !matches!(value.first(), Some(&(form::TOKEN_TEXT | form::TOKEN_OF_TYPE | form::REFERENCE_VERSION | form::REFERENCE_IDENTIFIER)) | None)
}

/// Calls for every value at the end of a path. As deep as the rules, which R4's longest path bounds.
fn visit<'v>(tree: &Tree, value: Value<'v>, call: &mut dyn FnMut(&Action, Value<'v>)) {
    visit_node(tree, 0, value, call);
}

fn visit_node<'v>(tree: &Tree, node: usize, value: Value<'v>, call: &mut dyn FnMut(&Action, Value<'v>)) {
    let rules = &tree.nodes[node];
    rules.actions.iter().for_each(|action| call(action, value));
    if rules.edges.is_empty() {
        return;
    }
    if rules.edges.len() <= FEW_EDGES {
        for edge in &rules.edges {
            value.get(&edge.name).into_iter().for_each(|property| visit_edge(tree, edge, property, call));
        }
        return;
    }
    for member in value.members() {
        let name = member.name();
        let from = rules.edges.partition_point(|edge| *edge.name < *name);
        for edge in rules.edges[from..].iter().take_while(|edge| *edge.name == *name) {
            visit_edge(tree, edge, member.value(), call);
        }
    }
}

/// So many properties are sought one by one; more are found while going over the object once.
const FEW_EDGES: usize = 3;

fn visit_edge<'v>(tree: &Tree, edge: &Edge, property: Value<'v>, call: &mut dyn FnMut(&Action, Value<'v>)) {
    let count = if edge.filter.first { 1 } else { usize::MAX };
    for each in property.each().take(count).filter(|each| passes(&edge.filter, *each)) {
        visit_node(tree, edge.node, each, call);
    }
}

fn passes(filter: &EdgeFilter, value: Value<'_>) -> bool {
    filter.property.as_ref().is_none_or(|(name, sought)| value.get_str(name).as_deref() == Some(sought))
}

/// The value of what an expression computed.
fn computed(item: &Item<'_>, kind: SearchParameterKind) -> Option<Vec<u8>> {
    use SearchParameterKind as Kind;
    match (kind, item) {
        (Kind::Token, Item::Boolean(value)) => Some(token::value(if *value { "true" } else { "false" }, token::IMPLIED)),
        (Kind::Token, Item::String(text)) => Some(token::value(text, "")),
        (Kind::String, Item::String(text)) => Some(crate::value::string::value(text)),
        _ => None,
    }
}
