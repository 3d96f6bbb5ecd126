//! What the definitions say of the values at the ends of a parameter's paths: the systems that bindings imply, the types that
//! references may lead to.

use std::cell::RefCell;

use fhirpool_fhir::definitions::SearchParameter;
use fhirpool_fhir::{Definitions, ResourceType};

use super::path;
use super::rules::{PathEnd, Tree, relative};

/// The system of booleans (R4 search.html#token), and its name in the code system's own page.
const SPECIAL_VALUES: [&str; 2] = ["http://hl7.org/fhir/special-values", "http://terminology.hl7.org/CodeSystem/special-values"];

/// Whether the system is one that the `code` and `boolean` elements of a token parameter imply. Where a binding has no list
/// of codes (languages, MIME types) any system is taken.
pub(crate) fn implies_system(definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter, system: &str) -> bool {
    let mut implied = false;
    let is_boolean_system = SPECIAL_VALUES.contains(&system);
    let all_paths = each_end(definitions, resource_type, parameter, |end| {
        let name = end.type_id.map(|id| definitions.type_definition(id).name.as_str());
        implied |= match (name, end.element.and_then(|element| element.required_codes)) {
            (Some("boolean"), _) => is_boolean_system,
            (Some("code"), Some(list)) => definitions.code_list(list).systems.iter().any(|of| of.system == system),
            (Some("code"), None) => true,
            _ => false,
        };
    });
    // What is computed is a boolean (`Patient.deceased.exists() and …`).
    implied || (!all_paths && is_boolean_system)
}

/// The types that references of the parameter may lead to from this type, ascending: those of its elements, as far as the
/// parameter allows them.
pub(crate) fn reference_targets(definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter) -> Vec<ResourceType> {
    let mut targets = Vec::new();
    let mut any = false;
    let all_paths = each_end(definitions, resource_type, parameter, |end| match (end.resolves_to, end.element) {
        (Some(resolves_to), _) => targets.push(resolves_to),
        (None, Some(element)) if !element.reference_targets.is_empty() || !element.canonical_targets.is_empty() => {
            targets.extend(element.reference_targets.iter().chain(&element.canonical_targets));
        }
        (None, _) => any = true,
    });
    let allowed = |target: &ResourceType| parameter.targets.is_empty() || parameter.targets.contains(target);
    if any || !all_paths {
        return ResourceType::all().filter(allowed).collect();
    }
    targets.retain(allowed);
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Whether all that the parameter finds in this type are canonicals, which lead to a URL and not to a resource.
pub(crate) fn leads_to_urls(definitions: &Definitions, resource_type: ResourceType, parameter: &SearchParameter) -> bool {
    let mut all = true;
    let all_paths = each_end(definitions, resource_type, parameter, |end| {
        all &= end.type_id.is_some_and(|id| definitions.type_definition(id).name != "Reference");
    });
    all && all_paths
}

/// Calls for every end of the parameter's paths from this type; `false` if not all alternatives are paths.
fn each_end(
    definitions: &Definitions,
    resource_type: ResourceType,
    parameter: &SearchParameter,
    mut call: impl FnMut(&PathEnd<'_>),
) -> bool {
    let root = definitions.resource_type_id(resource_type);
    let call = RefCell::new(&mut call);
    let mut all_paths = true;
    for (_, steps) in path::alternatives(&parameter.expression) {
        let Some(steps) = steps else {
            all_paths = false;
            continue;
        };
        if let Some(steps) = relative(&steps, resource_type) {
            Tree::new().add(definitions, root, steps, 0, &|end| {
                (call.borrow_mut())(end);
                None
            });
        }
    }
    all_paths
}
