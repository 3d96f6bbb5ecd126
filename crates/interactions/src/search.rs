//! Search (R4 http.html#search, search.html).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, ResourceType};

use crate::{BundleOutcome, Handling, Interactions, Result};

/// What is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchScope {
    /// One type: `[base]/[type]?…`
    Type(ResourceType),
    /// All types, or those of `_type`: `[base]?…`
    Tenant,
    /// A compartment: `[base]/Patient/[id]/[type]?…`, all types with `*` for the type.
    Compartment {
        /// Whose.
        owner: ResourceKey,
        /// Of which type; `None`: of all.
        resource_type: Option<ResourceType>,
    },
}

/// `GET …?[query]` or `POST …/_search`
#[derive(Debug, Clone)]
pub struct SearchInteraction<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// What is searched.
    pub scope: SearchScope,
    /// The query, undecoded; for `POST …/_search` the address's query and the form joined by `&`.
    pub query: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
}

impl Interactions {
    /// A page of matches with what they include.
    pub async fn search(&self, _access: &ReadAccess, _request: SearchInteraction<'_>) -> Result<BundleOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "search"))
    }
}
