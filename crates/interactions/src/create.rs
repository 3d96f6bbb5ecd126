//! Create and conditional create (R4 http.html#create, #ccreate).

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::ResourceType;

use crate::{Interactions, Result, Returning, WriteOutcome};

/// `POST [base]/[type]`
#[derive(Debug, Clone)]
pub struct CreateRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// The resource's JSON.
    pub body: Vec<u8>,
    /// `If-None-Exist`: a query, perhaps with `Type?` or a whole address ahead.
    pub if_none_exist: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

impl Interactions {
    /// Makes a resource under an id of the server's; with `If-None-Exist` only where nothing matches.
    pub async fn create(&self, _access: &WriteAccess, _request: CreateRequest<'_>) -> Result<WriteOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "create"))
    }
}
