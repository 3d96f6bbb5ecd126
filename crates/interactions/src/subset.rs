//! Shortened resources: `_summary` and `_elements` (R4 search.html#summary, #elements).

use fhirpool_fhir::definitions::{Property, TypeId};
use fhirpool_fhir::json::{Document, Member, Value, Writer};
use fhirpool_fhir::{Definitions, ResourceType};
use fhirpool_search::{Query, Summary};

use crate::{InteractionError, Result};

/// The code system of the tag that marks shortened resources.
pub(crate) const SUBSETTED_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// What of a resource is returned. Its type, id and meta and what is mandatory always are, so that it stays valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subset {
    /// All of it.
    Whole,
    /// What the definitions mark as summary, at every level.
    Summary,
    /// The narrative.
    Text,
    /// All but the narrative.
    Data,
    /// The elements of these names.
    Elements(Vec<String>),
}

impl Subset {
    /// What a search asks for.
    pub(crate) fn of_query(query: &Query) -> Self {
        match query.summary {
            Summary::True => Self::Summary,
            Summary::Text => Self::Text,
            Summary::Data => Self::Data,
            Summary::False | Summary::Count => Self::of_elements(query.elements.clone()),
        }
    }

    /// What the `_elements` of a read ask for.
    pub(crate) fn of_elements(mut names: Vec<String>) -> Self {
        names.retain(|name| !name.is_empty());
        if names.is_empty() { Self::Whole } else { Self::Elements(names) }
    }

    /// What the `_summary` of a read asks for.
    pub(crate) fn of_summary_code(code: &str) -> Result<Self> {
        match code {
            "true" => Ok(Self::Summary),
            "text" => Ok(Self::Text),
            "data" => Ok(Self::Data),
            "false" => Ok(Self::Whole),
            _ => Err(InteractionError::bad_request("_summary of a read must be true, text, data or false")),
        }
    }

    /// The JSON of a resource, shortened and tagged so.
    pub(crate) fn apply(&self, definitions: &Definitions, resource_type: ResourceType, document: &Document) -> String {
        if *self == Self::Whole {
            return document.source().to_owned();
        }
        let type_id = definitions.resource_type_id(resource_type);
        let mut writer = Writer::with_capacity(document.source().len());
        writer.begin_object();
        for member in document.root().members() {
            match &*member.name() {
                "resourceType" | "id" => _ = writer.raw(member_text(document, member)),
                "meta" => write_tagged(member.value(), &mut writer),
                name => {
                    let property = property(definitions, type_id, name);
                    if !property.is_some_and(|property| self.keeps(property)) {
                        continue;
                    }
                    if *self == Self::Summary {
                        writer.key(name);
                        write_summary(definitions, member.value(), property.and_then(|property| property.type_id), &mut writer);
                    } else {
                        writer.raw(member_text(document, member));
                    }
                }
            }
        }
        writer.end_object();
        writer.finish()
    }

    fn keeps(&self, property: Property<'_>) -> bool {
        let element = property.element;
        match self {
            Self::Whole => true,
            Self::Summary => element.is_summary || element.min > 0,
            Self::Text => element.name == "text" || element.min > 0,
            Self::Data => element.name != "text",
            Self::Elements(names) => element.min > 0 || names.iter().any(|name| name.trim_end_matches("[x]") == element.name),
        }
    }
}

/// The property behind a JSON name, or behind that of its sibling with an underscore.
fn property<'a>(definitions: &'a Definitions, type_id: TypeId, name: &str) -> Option<Property<'a>> {
    definitions.property(type_id, name.strip_prefix('_').unwrap_or(name))
}

/// Name and value of a member. What is stored has no white space, so this is what a compact copy would be.
fn member_text<'a>(document: &'a Document, member: Member<'_>) -> &'a str {
    &document.source()[member.range()]
}

/// Writes the summary elements of a value of this type. Depth is bounded by the parser's.
fn write_summary(definitions: &Definitions, value: Value<'_>, type_id: Option<TypeId>, writer: &mut Writer) {
    // What holds a whole resource has no type here and is not looked into.
    let Some(type_id) = type_id else {
        writer.raw(value.raw());
        return;
    };
    if value.is_array() {
        writer.begin_array();
        value.elements().for_each(|element| write_summary(definitions, element, Some(type_id), writer));
        writer.end_array();
    } else if value.is_object() && definitions.type_definition(type_id).primitive.is_none() {
        writer.begin_object();
        for member in value.members() {
            let name = member.name();
            let Some(property) = property(definitions, type_id, &name) else { continue };
            if property.element.is_summary || property.element.min > 0 || matches!(&*name, "id" | "extension" | "modifierExtension") {
                writer.key(&name);
                write_summary(definitions, member.value(), property.type_id, writer);
            }
        }
        writer.end_object();
    } else {
        // A scalar, or the id and extensions of one.
        writer.raw(value.raw());
    }
}

/// Writes `meta` with the tag added.
fn write_tagged(meta: Value<'_>, writer: &mut Writer) {
    writer.key("meta").begin_object();
    let mut tagged = false;
    for member in meta.members() {
        let name = member.name();
        writer.key(&name);
        if name == "tag" && member.value().is_array() {
            writer.begin_array();
            for tag in member.value().elements() {
                writer.raw(tag.raw());
            }
            write_tag(writer);
            writer.end_array();
            tagged = true;
        } else {
            writer.raw(member.value().raw());
        }
    }
    if !tagged {
        writer.key("tag").begin_array();
        write_tag(writer);
        writer.end_array();
    }
    writer.end_object();
}

fn write_tag(writer: &mut Writer) {
    writer.begin_object().string_member("system", SUBSETTED_SYSTEM).string_member("code", "SUBSETTED").end_object();
}
