//! Read (R4 http.html#read).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, Timestamp};

use crate::{Interactions, ReadOutcome, Result};

/// `GET [base]/[type]/[id]`
#[derive(Debug, Clone)]
pub struct ReadRequest<'a> {
    /// Which.
    pub key: ResourceKey,
    /// The address's query, undecoded: `_summary` and `_elements` count, `_format` and the like do not.
    pub query: &'a str,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
}

impl Interactions {
    /// The newest version of a resource. One that was deleted is [`crate::ErrorKind::Gone`].
    pub async fn read(&self, _access: &ReadAccess, _request: ReadRequest<'_>) -> Result<ReadOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "read"))
    }
}
