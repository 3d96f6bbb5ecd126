//! Primitives: their JSON kind and format, and the `_` siblings with their ids and extensions (R4 json.html#primitive).

use fhirpool_fhir::IssueCode;
use fhirpool_fhir::definitions::{Element, Primitive, Property};
use fhirpool_fhir::json::{Kind, Value};

use crate::format;
use crate::path::Path;
use crate::scope::Scope;
use crate::walk::{CONTINUE, Flow, Walk};

const NO_VALUE: &str = "must have a value or an extension (ele-1)";

impl Walk<'_> {
    pub(crate) fn primitive(&mut self, value: Value<'_>, primitive: Primitive, element: &Element, path: &Path<'_>) -> Flow {
        if value.kind() != primitive.json_kind() {
            let kind = match primitive.json_kind() {
                Kind::Bool => "boolean",
                Kind::Number => "number",
                _ => "string",
            };
            return self.issue(path, IssueCode::Structure, format!("must be a JSON {kind}, as a {} is", primitive.name()));
        }
        if let Some(fault) = format::fault(primitive, value) {
            return self.issue(path, IssueCode::Value, fault);
        }
        let Some(list) = element.required_codes.map(|id| self.definitions.code_list(id)) else { return CONTINUE };
        if value.as_str().is_some_and(|code| list.has_code(&code)) {
            return CONTINUE;
        }
        self.issue(path, IssueCode::CodeInvalid, format!("must be a code of {}", list.url))
    }

    /// The nulls of an array of primitives: each needs an object in its place of the sibling's array.
    pub(crate) fn nulls(&mut self, object: Value<'_>, values: Value<'_>, name: &str, path: &Path<'_>) -> Flow {
        let sibling = object.get(&format!("_{name}"));
        let mut siblings = sibling.into_iter().flat_map(Value::elements);
        for (index, value) in values.elements().enumerate() {
            let filled = siblings.next().is_some_and(Value::is_object);
            if value.kind() == Kind::Null && !filled {
                self.issue(&path.at(index), IssueCode::Invariant, NO_VALUE)?;
            }
        }
        CONTINUE
    }

    /// The sibling of a primitive with its ids and extensions; `values` is the primitive's own property.
    pub(crate) fn sibling(
        &mut self,
        sibling: Value<'_>,
        values: Option<Value<'_>>,
        property: Property<'_>,
        path: &Path<'_>,
        scope: &Scope<'_>,
    ) -> Flow {
        if !self.array_form(sibling, property.element, path)? {
            return CONTINUE;
        }
        // A value of the wrong form was noted where it stands.
        let mut values = values.into_iter().flat_map(Value::each);
        for (index, item) in sibling.each().enumerate() {
            let path = if sibling.is_array() { path.at(index) } else { *path };
            let value = values.next();
            let has_value = value.is_some_and(|value| value.kind() != Kind::Null);
            match item.kind() {
                Kind::Object => self.sibling_item(item, property, has_value, &path, scope)?,
                Kind::Null if sibling.is_array() => {
                    // A null on both sides was noted with the values.
                    if value.is_none() {
                        self.issue(&path, IssueCode::Invariant, NO_VALUE)?;
                    }
                }
                _ => self.issue(&path, IssueCode::Structure, "id and extensions of a primitive must be an object")?,
            }
        }
        CONTINUE
    }

    fn sibling_item(&mut self, item: Value<'_>, property: Property<'_>, has_value: bool, path: &Path<'_>, scope: &Scope<'_>) -> Flow {
        let Some(type_id) = property.type_id else { return CONTINUE };
        self.members(item, type_id, path, scope, false)?;
        if item.members().next().is_none() {
            return self.issue(path, IssueCode::Structure, "must not be an empty object");
        }
        if has_value || item.get("extension").is_some() {
            return CONTINUE;
        }
        self.issue(path, IssueCode::Invariant, NO_VALUE)
    }
}
