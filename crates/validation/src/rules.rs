//! Rules of single datatypes.

use fhirpool_fhir::definitions::{CodeListId, Element};
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{IssueCode, ResourceType};

use crate::format::has_blank;
use crate::path::Path;
use crate::scope::Scope;
use crate::walk::{CONTINUE, Flow, Seen, Walk};

impl Walk<'_> {
    /// `ext-1`: a value or extensions, not both.
    pub(crate) fn extension(&mut self, seen: &Seen, path: &Path<'_>) -> Flow {
        let Some(extension) = self.extension else { return CONTINUE };
        let elements = &self.definitions.type_definition(extension).elements;
        let has = |name: &str| elements.iter().position(|element| element.name == name).is_some_and(|place| seen.has(place as u16));
        if has("value") != has("extension") {
            return CONTINUE;
        }
        self.issue(path, IssueCode::Invariant, "an extension must have either a value or extensions (ext-1)")
    }

    /// A reference says something, has a known shape, may point at what it names, and finds what it names here (`ref-1`).
    pub(crate) fn reference(&mut self, value: Value<'_>, element: &Element, path: &Path<'_>, scope: &Scope<'_>) -> Flow {
        if !value
            .members()
            .any(|member| matches!(member.name().trim_start_matches('_'), "reference" | "identifier" | "display" | "extension"))
        {
            self.issue(path, IssueCode::Invariant, "a reference must have a reference, an identifier, a display or an extension")?;
        }
        let named = value.get_str("type");
        if let Some(resource_type) = named.as_deref().and_then(ResourceType::parse) {
            self.target(resource_type, element, path)?;
        }
        let Some(text) = value.get_str("reference") else { return CONTINUE };
        match Literal::read(&text) {
            Literal::Of(resource_type) => self.target(resource_type, element, path),
            Literal::Elsewhere => CONTINUE,
            Literal::Contained(id) if id.is_empty() || scope.contains(id) => CONTINUE,
            Literal::Contained(_) => {
                self.issue(&path.element("reference"), IssueCode::Invariant, "there is no contained resource of this id (ref-1)")
            }
            // Empty text was noted as such.
            Literal::Other if text.is_empty() => CONTINUE,
            Literal::Other => self.issue(
                &path.element("reference"),
                IssueCode::Value,
                "must be Type/id, Type?query, an absolute URL, urn:uuid:…, urn:oid:… or #id",
            ),
        }
    }

    fn target(&mut self, resource_type: ResourceType, element: &Element, path: &Path<'_>) -> Flow {
        if element.reference_targets.is_empty() || element.reference_targets.contains(&resource_type) {
            return CONTINUE;
        }
        let allowed: Vec<&str> = element.reference_targets.iter().map(|target| target.name()).collect();
        self.issue(path, IssueCode::Structure, format!("must refer to {}, not to {resource_type}", allowed.join(" or ")))
    }

    /// A CodeableConcept with a required binding: one of its codings is of the list (R4 terminologies.html#required). Where
    /// there is neither coding nor text, the extensions that must be there say why.
    pub(crate) fn concept(&mut self, value: Value<'_>, list: CodeListId, path: &Path<'_>) -> Flow {
        let list = self.definitions.code_list(list);
        if value.get("coding").is_none() && value.get("text").is_none() {
            return CONTINUE;
        }
        let mut codings = value.get("coding").into_iter().flat_map(Value::elements);
        let good = codings.any(|coding| match (coding.get_str("system"), coding.get_str("code")) {
            (Some(system), Some(code)) => list.has_coding(&system, &code),
            _ => false,
        });
        if good {
            return CONTINUE;
        }
        self.issue(path, IssueCode::CodeInvalid, format!("must have a coding of {}", list.url))
    }
}

/// The shape of a literal reference (R4 references.html#literal).
enum Literal<'a> {
    /// `Type/id…` or, in a transaction, `Type?query`.
    Of(ResourceType),
    /// `#id`
    Contained(&'a str),
    /// An absolute URL or a URN.
    Elsewhere,
    /// None of these.
    Other,
}

impl<'a> Literal<'a> {
    fn read(text: &'a str) -> Self {
        if let Some(id) = text.strip_prefix('#') {
            return Self::Contained(id);
        }
        let end = text.bytes().position(|byte| matches!(byte, b':' | b'/' | b'?')).unwrap_or(text.len());
        let (head, rest) = text.split_at(end);
        // A query may hold blanks that its sender did not escape.
        if has_blank(rest) && !rest.starts_with('?') {
            return Self::Other;
        }
        if rest.starts_with(':') && rest.len() > 1 && is_scheme(head) {
            return Self::Elsewhere;
        }
        match ResourceType::parse(head) {
            Some(resource_type) if rest.len() > 1 => Self::Of(resource_type),
            _ => Self::Other,
        }
    }
}

/// A URL's scheme or `urn` (RFC 3986, 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}
