//! From a resource to its index entries.

use std::sync::{Arc, OnceLock};

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Definitions, ResourceType, ServiceBase, Timestamp};

use crate::IndexEntry;
use crate::value::date;
use rules::TypeRules;
use walk::Walk;

mod convert;
mod ends;
mod path;
mod references;
mod rules;
mod sampled;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use ends::{implies_system, leads_to_urls, reference_targets};
pub use references::ReferenceTarget;
pub(crate) use rules::component_parameters;

/// Extracts the values of all search parameters, by rules compiled from the definitions when a type is first seen.
pub struct Extractors {
    definitions: Arc<Definitions>,
    last_updated: ParameterNumber,
    rules: Box<[OnceLock<TypeRules>]>,
}

impl std::fmt::Debug for Extractors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractors").field("epoch", &self.definitions.epoch()).finish_non_exhaustive()
    }
}

impl Extractors {
    /// Extractors by these definitions.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        let any_type = ResourceType::all().next().expect("R4 has resource types");
        let last_updated = definitions.search_parameter(any_type, "_lastUpdated").expect("R4 defines _lastUpdated for every type").number;
        let rules = (0..ResourceType::COUNT).map(|_| OnceLock::new()).collect();
        Self { definitions, last_updated, rules }
    }

    /// The definitions they go by.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// The entries of a resource, ascending and each once, for all parameters of its type but `_id` and `_lastUpdated`.
    /// `base` is the tenant's base URL: absolute references below it are local.
    ///
    /// A resource gives at most [`Extractors::ENTRIES_MAX`] entries, and an item at most [`Extractors::COMBINATIONS_MAX`]
    /// combinations to a composite; what is beyond cannot be found.
    pub fn entries(&self, resource_type: ResourceType, resource: Value<'_>, base: &ServiceBase) -> Vec<IndexEntry> {
        let mut entries = Vec::with_capacity(48);
        Walk::new(&self.definitions, self.rules(resource_type), resource, base).entries(&mut entries);
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    /// What the references (or canonicals) of a parameter lead to, in the order of the resource; those of other servers and
    /// logical ones are not among them.
    pub fn references(
        &self,
        parameter: ParameterNumber,
        resource_type: ResourceType,
        resource: Value<'_>,
        base: &ServiceBase,
    ) -> Vec<ReferenceTarget> {
        let rules = self.rules(resource_type);
        let Some(place) = rules.parameters.iter().position(|each| each.number == parameter) else { return Vec::new() };
        Walk::new(&self.definitions, rules, resource, base).references(place)
    }

    /// The entry of `_lastUpdated`, which the store adds when it commits.
    pub fn last_updated_entry(&self, last_updated: Timestamp) -> IndexEntry {
        let mut value = Vec::new();
        date::write(last_updated.into(), &mut |bytes| value = bytes);
        IndexEntry { parameter: self.last_updated, value }
    }

    /// No resource gives more entries.
    pub const ENTRIES_MAX: usize = 200_000;

    /// No item of a composite gives more combinations.
    pub const COMBINATIONS_MAX: usize = 4096;

    fn rules(&self, resource_type: ResourceType) -> &TypeRules {
        self.rules[usize::from(resource_type.number())].get_or_init(|| TypeRules::compile(&self.definitions, resource_type))
    }
}
