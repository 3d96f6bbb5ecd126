//! Compartments (R4 compartmentdefinition.html).

use fhirpool_fhir::{Definitions, ResourceKey, ResourceType};

use crate::value::reference::reference_target;
use crate::{Clause, IndexEntry, ValueTest};

/// The compartments a resource with these entries belongs to, by their owners; sorted, each once. An owner belongs to its own.
pub fn compartments_of(definitions: &Definitions, key: &ResourceKey, entries: &[IndexEntry]) -> Vec<ResourceKey> {
    let mut owners = Vec::new();
    for compartment in ResourceType::all().filter_map(|owner| definitions.compartment(owner)) {
        if compartment.owner == key.resource_type {
            owners.push(key.clone());
        }
        for code in compartment.members.get(&key.resource_type).into_iter().flatten() {
            let Some(parameter) = definitions.search_parameter(key.resource_type, code) else { continue };
            let values = entries.iter().filter(|entry| entry.parameter == parameter.number);
            owners.extend(
                values.filter_map(|entry| reference_target(&entry.value)).filter(|target| target.resource_type == compartment.owner),
            );
        }
    }
    owners.sort_unstable_by(|one, other| (one.resource_type, &one.id).cmp(&(other.resource_type, &other.id)));
    owners.dedup();
    owners
}

/// What holds for the resources of a type that belong to the owner's compartment; `None` where the type has no part in it, or
/// the owner's type spans none.
pub fn compartment_clause(definitions: &Definitions, owner: &ResourceKey, resource_type: ResourceType) -> Option<Clause> {
    let compartment = definitions.compartment(owner.resource_type)?;
    let mut alternatives = Vec::new();
    if resource_type == owner.resource_type {
        alternatives.push(vec![Clause::Id(vec![owner.id.clone()])]);
    }
    for code in compartment.members.get(&resource_type).into_iter().flatten() {
        if let Some(parameter) = definitions.search_parameter(resource_type, code) {
            alternatives.push(vec![Clause::Matches { parameter: parameter.number, tests: vec![ValueTest::references_to([owner])] }]);
        }
    }
    (!alternatives.is_empty()).then_some(Clause::AnyOf(alternatives))
}
