//! Patch and conditional patch (R4 http.html#patch).

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::ResourceType;

use crate::{Interactions, Result, Returning, Target, WriteOutcome};

/// What a patch is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchFormat {
    /// JSON Patch, RFC 6902 (`application/json-patch+json`).
    Json,
    /// FHIRPath Patch: a Parameters resource (`application/fhir+json`).
    FhirPath,
}

/// `PATCH [base]/[type]/[id]` or `PATCH [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct PatchRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// What the body is.
    pub format: PatchFormat,
    /// The patch.
    pub body: Vec<u8>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

impl Interactions {
    /// Changes parts of a resource.
    pub async fn patch(&self, _access: &WriteAccess, _request: PatchRequest<'_>) -> Result<WriteOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "patch"))
    }
}
