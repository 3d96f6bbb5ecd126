//! Delete and conditional delete (R4 http.html#delete, #3.1.0.7.1).

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::ResourceType;

use crate::{Interactions, Result, Target, WriteOutcome};

/// `DELETE [base]/[type]/[id]` or `DELETE [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct DeleteRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
}

impl Interactions {
    /// Deletes a resource. Deleting what is not there succeeds and does nothing. Criteria that match several resources delete
    /// none of them (`conditionalDelete` is `single`).
    pub async fn delete(&self, _access: &WriteAccess, _request: DeleteRequest<'_>) -> Result<WriteOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "delete"))
    }
}
