//! The systems that bindings imply.

use std::cell::Cell;

use fhirpool_fhir::definitions::SearchParameter;
use fhirpool_fhir::{Definitions, ResourceType};

use super::path;
use super::rules::{PathEnd, Tree, relative};

/// The system of booleans (R4 search.html#token).
const SPECIAL_VALUES: &str = "http://terminology.hl7.org/CodeSystem/special-values";
const SPECIAL_VALUES_OLD: &str = "http://hl7.org/fhir/special-values";

/// Whether the system is one that the `code` and `boolean` elements of a token parameter imply. Where a binding has no list
/// of codes (languages, MIME types) any system is taken.
pub(crate) fn implies_system(definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter, system: &str) -> bool {
    let implied = Cell::new(false);
    let look = |end: &PathEnd<'_>| {
        let name = end.type_id.map(|id| definitions.type_definition(id).name.as_str());
        let fits = match (name, end.element.and_then(|element| element.required_codes)) {
            (Some("boolean"), _) => matches!(system, SPECIAL_VALUES | SPECIAL_VALUES_OLD),
            (Some("code"), Some(list)) => definitions.code_list(list).systems.iter().any(|of| of.system == system),
            (Some("code"), None) => true,
            _ => false,
        };
        implied.set(implied.get() || fits);
        None
    };
    let root = definitions.resource_type_id(resource_type);
    for (_, steps) in path::alternatives(&parameter.expression) {
        match steps.as_deref() {
            Some(steps) => {
                if let Some(steps) = relative(steps, resource_type) {
                    Tree::new().add(definitions, root, steps, 0, &look);
                }
            }
            // What is computed is a boolean (`Patient.deceased.exists() and …`).
            None => implied.set(implied.get() || matches!(system, SPECIAL_VALUES | SPECIAL_VALUES_OLD)),
        }
    }
    implied.get()
}
