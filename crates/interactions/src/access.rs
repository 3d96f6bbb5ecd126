//! Whether an access covers what a request names.

use fhirpool_authz::{Interaction, ReadAccess, WriteAccess};
use fhirpool_fhir::ResourceType;

use crate::{ErrorKind, InteractionError, Result};

/// Checks that resources of a type may be looked at.
pub(crate) fn check_read(access: &ReadAccess, resource_type: ResourceType) -> Result<()> {
    check_unlimited(access)?;
    if access.allows(resource_type) { Ok(()) } else { Err(refusal(resource_type)) }
}

/// Checks that this write is granted on a type.
pub(crate) fn check_write(access: &WriteAccess, interaction: Interaction, resource_type: ResourceType) -> Result<()> {
    check_unlimited(access.as_read())?;
    if access.permits(interaction, resource_type) { Ok(()) } else { Err(refusal(resource_type)) }
}

/// An access that is narrowed within its types is refused as a whole until every interaction keeps to the narrowing: less than
/// it allows is safe, more is not.
pub(crate) fn check_unlimited(access: &ReadAccess) -> Result<()> {
    match access.limit() {
        None => Ok(()),
        Some(_) => Err(InteractionError::of(ErrorKind::Forbidden, "accesses narrowed to compartments or criteria are not served")),
    }
}

fn refusal(resource_type: ResourceType) -> InteractionError {
    InteractionError::of(ErrorKind::Forbidden, format!("the access does not allow this on {resource_type}"))
}
