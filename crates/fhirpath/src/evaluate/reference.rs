//! References: `resolve()`, and the type of a reference's target without a look-up (R4 fhirpath.html#functions).

use std::borrow::Cow;

use fhirpool_fhir::ResourceType;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::reference::Reference;

use super::{Evaluator, Outcome};
use crate::ast::TypeSpecifier;
use crate::evaluate::types::TypeTest;
use crate::{EvaluationError, Item, Node};

/// The reference's text: of a Reference its `reference`, of a uri, canonical or string the value.
fn reference_text<'a>(item: &Item<'a>) -> Option<Cow<'a, str>> {
    match item {
        Item::Node(Node { value: Some(value), .. }) if value.is_object() => value.get_str("reference"),
        _ => item.as_str(),
    }
}

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn resolve(&mut self, items: &[Item<'a>]) -> Outcome<'a> {
        let mut out = Vec::new();
        for item in items {
            self.charge(1)?;
            if let Some(target) = reference_text(item).and_then(|text| self.target(&text)) {
                out.push(Item::resource(self.definitions(), target));
            }
        }
        Ok(out)
    }

    /// The resource a reference points at, if it is contained, an entry of the Bundle, or known to the resolver.
    fn target(&mut self, text: &str) -> Option<Value<'a>> {
        let container = self.context.root_resource.unwrap_or(self.context.resource);
        if let Some(id) = text.strip_prefix('#') {
            let mut contained = container.get("contained").into_iter().flat_map(Value::elements);
            return if id.is_empty() {
                Some(container)
            } else {
                contained.find(|resource| resource.get_str("id").is_some_and(|of| of == id))
            };
        }
        let entries = container.get("entry").into_iter().flat_map(Value::elements);
        for entry in entries {
            self.charge(1).ok()?;
            if entry.get_str("fullUrl").is_some_and(|url| url == text) {
                return entry.get("resource");
            }
        }
        self.context.resolver?.resolve(text)
    }

    /// `resolve() is T`: by the reference's text, its `type`, or the resource it points at, whichever tells.
    pub(crate) fn resolves_to(&mut self, items: &[Item<'a>], specifier: &TypeSpecifier) -> Outcome<'a> {
        let item = match items {
            [] => return Ok(Vec::new()),
            [item] => item,
            _ => return Err(EvaluationError::NotSingle("is")),
        };
        self.charge(1)?;
        let definitions = self.definitions();
        let test = TypeTest::new(definitions, specifier)?;
        let of_type = |name: &str| {
            let type_id = definitions.type_id(name)?;
            Some(test.holds(definitions, &Item::Node(Node { value: None, sibling: None, type_id: Some(type_id) })))
        };
        let text = reference_text(item);
        let by_text = text.as_deref().and_then(target_type).and_then(|resource_type| of_type(resource_type.name()));
        let by_type = || item.json().and_then(|value| value.get_str("type")).and_then(|name| of_type(&name));
        let known = by_text.or_else(by_type);
        let known = match (known, text) {
            (None, Some(text)) => self.target(&text).map(|target| test.holds(definitions, &Item::resource(definitions, target))),
            (known, _) => known,
        };
        Ok(known.map(Item::Boolean).into_iter().collect())
    }
}

/// The type that a reference's text names.
pub(crate) fn target_type(text: &str) -> Option<ResourceType> {
    match Reference::parse(text) {
        Reference::Resource { key, .. } => Some(key.resource_type),
        Reference::Conditional { resource_type, .. } => Some(resource_type),
        _ => None,
    }
}
