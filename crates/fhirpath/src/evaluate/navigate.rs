//! From elements to the elements below them.

use std::borrow::Cow;

use fhirpool_fhir::definitions::{Property, TypeId};
use fhirpool_fhir::json::Value;

use super::{Evaluator, Items, Outcome, Scope};
use crate::ast::{Ast, MemberName};
use crate::item::{Node, resource_type_id};
use crate::{EvaluationError, Item};

impl<'a> Evaluator<'_, 'a> {
    /// The elements of one name below all items.
    pub(super) fn member(&mut self, items: &[Item<'a>], name: &MemberName) -> Outcome<'a> {
        let mut out = Vec::new();
        for item in items {
            match item {
                Item::Node(node) => self.node_member(node, name, &mut out)?,
                Item::Type(info) => match name.name.as_str() {
                    "namespace" => out.push(Item::String(info.namespace.into())),
                    "name" => out.push(Item::String(info.name.clone().into())),
                    _ => {}
                },
                Item::Quantity(quantity) => match name.name.as_str() {
                    "value" => out.push(Item::Decimal(quantity.value)),
                    "unit" => out.push(Item::String(quantity.unit_name().to_owned().into())),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(out)
    }

    fn node_member(&mut self, node: &Node<'a>, name: &MemberName, out: &mut Items<'a>) -> Result<(), EvaluationError> {
        if name.is_head && name.name.starts_with(|c: char| c.is_ascii_uppercase()) && self.is_named(node, &name.name) {
            out.push(Item::Node(*node));
            return Ok(());
        }
        let Some(object) = node.value.filter(|value| value.is_object()).or(node.sibling) else { return Ok(()) };
        if node.value.is_none_or(|value| !value.is_object()) {
            // A primitive: its id and extensions only.
            let type_id = self.definitions().type_id("Element").and_then(|id| self.definitions().property(id, &name.name)?.type_id);
            return self.push(object.get(&name.name), None, type_id, out);
        }
        let Some(type_id) = node.type_id else { return self.untyped_member(object, name, out) };
        match self.definitions().property(type_id, &name.name) {
            Some(property) if property.element.choice => Ok(()),
            Some(property) => {
                let sibling = self.has_sibling(&property).then(|| object.get(&name.sibling)).flatten();
                self.push(object.get(&name.name), sibling, property.type_id, out)
            }
            None => self.choice_member(object, type_id, &name.name, out),
        }
    }

    /// Whether the name is that of the node's type or of one it specializes.
    fn is_named(&self, node: &Node<'a>, name: &str) -> bool {
        match (node.type_id, self.definitions().type_id(name)) {
            (Some(id), Some(ancestor)) => self.definitions().is_a(id, ancestor),
            (None, _) => node.value.and_then(|value| value.get_str("resourceType")).is_some_and(|of| of == name),
            _ => false,
        }
    }

    fn has_sibling(&self, property: &Property<'_>) -> bool {
        let primitive = |id: TypeId| self.definitions().type_definition(id).primitive.is_some();
        !property.element.is_attribute && property.type_id.is_some_and(primitive)
    }

    /// `value` where the JSON has `valueQuantity`.
    fn choice_member(&mut self, object: Value<'a>, type_id: TypeId, name: &str, out: &mut Items<'a>) -> Result<(), EvaluationError> {
        let definitions = self.definitions();
        if !definitions.element(type_id, name).is_some_and(|element| element.choice) {
            return Ok(());
        }
        for member in object.members() {
            self.charge(1)?;
            let property_name = member.name();
            let bare = property_name.strip_prefix('_').unwrap_or(&property_name);
            if !bare.starts_with(name) {
                continue;
            }
            let Some(property) = definitions.property(type_id, bare).filter(|property| property.element.name == name) else { continue };
            if bare.len() == property_name.len() {
                let sibling = if self.has_sibling(&property) { object.get(&format!("_{bare}")) } else { None };
                self.push(Some(member.value()), sibling, property.type_id, out)?;
            } else if object.get(bare).is_none() {
                self.push(None, Some(member.value()), property.type_id, out)?;
            }
        }
        Ok(())
    }

    /// Below an element that the definitions do not know: by JSON alone.
    fn untyped_member(&mut self, object: Value<'a>, name: &MemberName, out: &mut Items<'a>) -> Result<(), EvaluationError> {
        if name.name == "resourceType" {
            return Ok(());
        }
        self.push(object.get(&name.name), object.get(&name.sibling), None, out)
    }

    /// Adds one value or each of an array; those of a primitive with their siblings.
    fn push(
        &mut self,
        value: Option<Value<'a>>,
        sibling: Option<Value<'a>>,
        type_id: Option<TypeId>,
        out: &mut Items<'a>,
    ) -> Result<(), EvaluationError> {
        let definitions = self.definitions();
        let mut add = |value: Option<Value<'a>>, sibling: Option<Value<'a>>| {
            let value = value.filter(|value| value.kind() != fhirpool_fhir::json::Kind::Null && !value.is_array());
            let sibling = sibling.filter(|sibling| sibling.is_object());
            if value.is_some() || sibling.is_some() {
                let type_id = type_id.or_else(|| resource_type_id(definitions, value?));
                out.push(Item::Node(Node { value, sibling, type_id }));
            }
        };
        match (value, sibling) {
            (Some(value), None) => value.each().for_each(|value| add(Some(value), None)),
            (None, Some(sibling)) => sibling.each().for_each(|sibling| add(None, Some(sibling))),
            (Some(value), Some(sibling)) => {
                let mut siblings = sibling.each();
                value.each().for_each(|value| add(Some(value), siblings.next()));
                siblings.for_each(|sibling| add(None, Some(sibling)));
            }
            (None, None) => {}
        }
        self.charge(1)?;
        self.check_size(out.len())
    }

    pub(super) fn check_size(&self, length: usize) -> Result<(), EvaluationError> {
        let max = self.context.limits.items_max;
        if length > max { Err(EvaluationError::Items(max)) } else { Ok(()) }
    }

    /// All elements directly below all items.
    pub(super) fn children(&mut self, items: &[Item<'a>]) -> Outcome<'a> {
        let mut out = Vec::new();
        for item in items {
            let Item::Node(node) = item else { continue };
            match node.value.filter(|value| value.is_object()) {
                Some(object) => self.object_children(object, node.type_id, &mut out)?,
                None => {
                    let element = self.definitions().type_id("Element");
                    if let Some(sibling) = node.sibling {
                        self.object_children(sibling, element, &mut out)?;
                    }
                }
            }
        }
        Ok(out)
    }

    fn object_children(&mut self, object: Value<'a>, type_id: Option<TypeId>, out: &mut Items<'a>) -> Result<(), EvaluationError> {
        let definitions = self.definitions();
        // A property's type; the outer option says whether the type has it.
        let property_type = |name: &str| match type_id {
            Some(id) => definitions.property(id, name).map(|property| property.type_id),
            None => Some(None),
        };
        for member in object.members() {
            let name = member.name();
            if name == "resourceType" && type_id.is_none_or(|id| definitions.property(id, &name).is_none()) {
                continue;
            }
            if let Some(bare) = name.strip_prefix('_') {
                // Looking for the other half takes a scan: only for names that a type has.
                if type_id.is_some()
                    && object.get(bare).is_none()
                    && let Some(type_id) = property_type(bare)
                {
                    self.push(None, Some(member.value()), type_id, out)?;
                }
                continue;
            }
            let Some(type_id) = property_type(&name) else { continue };
            let primitive = type_id.is_some_and(|id| definitions.type_definition(id).primitive.is_some());
            let sibling = if primitive { object.get(&format!("_{name}")) } else { None };
            self.push(Some(member.value()), sibling, type_id, out)?;
        }
        Ok(())
    }

    /// All elements below all items, the nearer first.
    pub(super) fn descendants(&mut self, items: Items<'a>) -> Outcome<'a> {
        let mut level = self.children(&items)?;
        let mut out = Vec::new();
        while !level.is_empty() {
            self.admit(&level)?;
            let next = self.children(&level)?;
            out.append(&mut level);
            self.check_size(out.len())?;
            level = next;
        }
        Ok(out)
    }

    /// `extension(url)`
    pub(super) fn extension(&mut self, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let argument = self.evaluate(&arguments[0], scope)?;
        let url: Cow<'_, str> = match self.single(&argument, "extension")? {
            Some(Item::String(url)) => url,
            None => return Ok(Vec::new()),
            Some(_) => return Err(EvaluationError::Type("extension")),
        };
        let type_id = self.definitions().type_id("Extension");
        let mut out = Vec::new();
        for item in items {
            let Item::Node(node) = item else { continue };
            let Some(object) = node.value.filter(|value| value.is_object()).or(node.sibling) else { continue };
            let Some(extensions) = object.get("extension") else { continue };
            for extension in extensions.each() {
                self.charge(1)?;
                if extension.get_str("url").is_some_and(|of| of == url) {
                    out.push(Item::Node(Node { value: Some(extension), sibling: None, type_id }));
                }
            }
        }
        Ok(out)
    }
}
