//! Whether an access covers a type at all. Which resources of it: [`crate::reach`].

use fhirpool_authz::{Interaction, Leave, WriteAccess};
use fhirpool_fhir::ResourceType;

use crate::{ErrorKind, InteractionError, Result};

/// Checks that this interaction is granted on some resources of a type.
pub(crate) fn check_granted(access: &WriteAccess, interaction: Interaction, resource_type: ResourceType) -> Result<()> {
    if access.leave(interaction, resource_type) == Leave::Denied { Err(refusal(resource_type)) } else { Ok(()) }
}

/// The refusal of anything on a type.
pub(crate) fn refusal(resource_type: ResourceType) -> InteractionError {
    InteractionError::of(ErrorKind::Forbidden, format!("the access does not allow this on {resource_type}"))
}
