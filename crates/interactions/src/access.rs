//! Whether an access covers what a request names.

use fhirpool_authz::{Interaction, Leave, ReadAccess, WriteAccess};
use fhirpool_fhir::ResourceType;

use crate::{ErrorKind, InteractionError, Result};

/// Checks that resources of a type may be looked at.
pub(crate) fn check_read(access: &ReadAccess, resource_type: ResourceType) -> Result<()> {
    check(access.leave(resource_type), resource_type)
}

/// Checks that this write is granted on a type.
pub(crate) fn check_write(access: &WriteAccess, interaction: Interaction, resource_type: ResourceType) -> Result<()> {
    check(access.leave(interaction, resource_type), resource_type)
}

/// Accesses that are narrowed within a type are refused until every interaction keeps to the narrowing.
fn check(leave: Leave<'_>, resource_type: ResourceType) -> Result<()> {
    match leave {
        Leave::Whole => Ok(()),
        Leave::Denied => Err(refusal(resource_type)),
        Leave::Within(_) => Err(InteractionError::of(ErrorKind::Forbidden, "accesses narrowed to compartments or criteria are not served")),
    }
}

fn refusal(resource_type: ResourceType) -> InteractionError {
    InteractionError::of(ErrorKind::Forbidden, format!("the access does not allow this on {resource_type}"))
}
