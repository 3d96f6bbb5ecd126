//! Update, update as create and conditional update (R4 http.html#update, #upsert, #cond-update).

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::{ResourceId, ResourceType};

use crate::{Interactions, Result, Returning, WriteOutcome};

/// Which resource a write is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// The one with this id.
    Id(ResourceId),
    /// The one that matches these criteria: the address's query, undecoded.
    Criteria(&'a str),
}

/// `PUT [base]/[type]/[id]` or `PUT [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct UpdateRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// The resource's JSON.
    pub body: Vec<u8>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match`; only `*` has a meaning here: only where there is none yet.
    pub if_none_match: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

impl Interactions {
    /// Replaces a resource, or makes it under the client's id.
    pub async fn update(&self, _access: &WriteAccess, _request: UpdateRequest<'_>) -> Result<WriteOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "update"))
    }
}
