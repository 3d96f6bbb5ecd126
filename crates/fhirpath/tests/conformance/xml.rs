//! FHIR's XML into its JSON, as far as the inputs of the test suite need it (R4 xml.html, json.html).

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::{Primitive, TypeId};
use fhirpool_fhir::json::{Kind, Writer};
use roxmltree::Node;

/// The resource's JSON text.
pub fn to_json(definitions: &Definitions, text: &str) -> String {
    let document = roxmltree::Document::parse(text).unwrap();
    let mut writer = Writer::new();
    resource(definitions, document.root_element(), &mut writer);
    writer.finish()
}

fn elements<'n, 'i>(node: Node<'n, 'i>) -> impl Iterator<Item = Node<'n, 'i>> {
    node.children().filter(Node::is_element)
}

fn resource(definitions: &Definitions, node: Node<'_, '_>, writer: &mut Writer) {
    let name = node.tag_name().name();
    let type_id = definitions.type_id(name).unwrap_or_else(|| panic!("resource type {name}"));
    writer.begin_object();
    writer.string_member("resourceType", name);
    members(definitions, node, type_id, writer);
    writer.end_object();
}

fn members(definitions: &Definitions, node: Node<'_, '_>, type_id: TypeId, writer: &mut Writer) {
    for attribute in node.attributes().filter(|attribute| attribute.namespace().is_none() && attribute.name() != "value") {
        writer.string_member(attribute.name(), attribute.value());
    }
    let mut names: Vec<&str> = Vec::new();
    for child in
        elements(node).filter(|child| child.tag_name().name() != "extension" || definitions.property(type_id, "extension").is_some())
    {
        if !names.contains(&child.tag_name().name()) {
            names.push(child.tag_name().name());
        }
    }
    for name in names {
        let values: Vec<_> = elements(node).filter(|child| child.tag_name().name() == name).collect();
        property(definitions, type_id, name, &values, writer);
    }
}

fn property(definitions: &Definitions, type_id: TypeId, name: &str, values: &[Node<'_, '_>], writer: &mut Writer) {
    let owner = &definitions.type_definition(type_id).name;
    let property = definitions.property(type_id, name).unwrap_or_else(|| panic!("{owner} has no {name}"));
    let many = property.element.max != Some(1);
    let list = |writer: &mut Writer, name: &str, each: &dyn Fn(&Node<'_, '_>, &mut Writer)| {
        writer.key(name);
        if many {
            writer.begin_array();
        }
        values.iter().for_each(|value| each(value, writer));
        if many {
            writer.end_array();
        }
    };
    let Some(of) = property.type_id else {
        return list(writer, name, &|value, writer| resource(definitions, elements(*value).next().unwrap(), writer));
    };
    let Some(primitive) = definitions.type_definition(of).primitive else {
        return list(writer, name, &|value, writer| {
            writer.begin_object();
            members(definitions, *value, of, writer);
            writer.end_object();
        });
    };
    if values.iter().any(|value| value.attribute("value").is_some() || primitive == Primitive::Xhtml) {
        list(writer, name, &|value, writer| scalar(primitive, *value, writer));
    }
    let extended = |value: &Node<'_, '_>| value.attribute("id").is_some() || elements(*value).next().is_some();
    if primitive != Primitive::Xhtml && values.iter().any(extended) {
        let element = definitions.type_id("Element").unwrap();
        list(writer, &format!("_{name}"), &|value, writer| {
            if extended(value) {
                writer.begin_object();
                members(definitions, *value, element, writer);
                writer.end_object();
            } else {
                writer.raw("null");
            }
        });
    }
}

fn scalar(primitive: Primitive, node: Node<'_, '_>, writer: &mut Writer) {
    if primitive == Primitive::Xhtml {
        writer.string(&node.document().input_text()[node.range()]);
        return;
    }
    match node.attribute("value") {
        None => writer.raw("null"),
        Some(text) if primitive.json_kind() == Kind::String => writer.string(text),
        Some(text) => writer.raw(text),
    };
}
