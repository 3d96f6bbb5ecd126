//! From a resource to its index entries.

use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Definitions, ResourceKey, ResourceType, Timestamp, VersionId};

use crate::IndexEntry;

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReferenceTarget {
    /// A resource of this server, perhaps a certain version of it.
    Local {
        /// The resource.
        key: ResourceKey,
        /// The version, where the reference names one.
        version: Option<VersionId>,
    },
    /// A canonical resource, by its `url` and perhaps its `version`.
    Canonical {
        /// Its URL.
        url: String,
        /// Its business version.
        version: Option<String>,
    },
}

/// Extracts the values of all search parameters, by rules compiled from the definitions when a type is first seen.
pub struct Extractors {
    definitions: Arc<Definitions>,
}

impl std::fmt::Debug for Extractors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractors").field("epoch", &self.definitions.epoch()).finish_non_exhaustive()
    }
}

impl Extractors {
    /// Extractors by these definitions.
    pub fn new(definitions: Arc<Definitions>) -> Self {
        Self { definitions }
    }

    /// The definitions they go by.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// The entries of a resource, ascending and each once, for all parameters of its type but `_id` and `_lastUpdated`.
    /// `base` is the tenant's base URL: absolute references below it are local.
    pub fn entries(&self, resource_type: ResourceType, resource: Value<'_>, base: &str) -> Vec<IndexEntry> {
        let _ = (resource_type, resource, base);
        Vec::new()
    }

    /// What the references (or canonicals) of a parameter lead to, in the order of the resource; those of other servers and
    /// logical ones are not among them.
    pub fn references(
        &self,
        parameter: ParameterNumber,
        resource_type: ResourceType,
        resource: Value<'_>,
        base: &str,
    ) -> Vec<ReferenceTarget> {
        let _ = (parameter, resource_type, resource, base);
        Vec::new()
    }

    /// The entry of `_lastUpdated`, which the store adds when it commits.
    pub fn last_updated_entry(&self, last_updated: Timestamp) -> IndexEntry {
        last_updated_entry(&self.definitions, last_updated)
    }
}

/// The entry of `_lastUpdated`.
fn last_updated_entry(definitions: &Definitions, last_updated: Timestamp) -> IndexEntry {
    let parameter = definitions.search_parameter_by_url("http://hl7.org/fhir/SearchParameter/Resource-lastUpdated");
    let parameter = parameter.map_or(ParameterNumber(0), |parameter| parameter.number);
    let mut value = Vec::new();
    crate::value::date::write(last_updated.into(), &mut |bytes| value = bytes);
    IndexEntry { parameter, value }
}
