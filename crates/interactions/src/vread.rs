//! Version read (R4 http.html#vread).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, Timestamp};

use crate::{Interactions, ReadOutcome, Result};

/// `GET [base]/[type]/[id]/_history/[vid]`
#[derive(Debug, Clone)]
pub struct VersionReadRequest<'a> {
    /// Which resource.
    pub key: ResourceKey,
    /// Which version, as the address has it.
    pub version: &'a str,
    /// The address's query, undecoded.
    pub query: &'a str,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
}

impl Interactions {
    /// A certain version. One that is a delete is [`crate::ErrorKind::Gone`].
    pub async fn vread(&self, _access: &ReadAccess, _request: VersionReadRequest<'_>) -> Result<ReadOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "vread"))
    }
}
