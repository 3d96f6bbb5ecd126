//! History of a resource, a type and the tenant (R4 http.html#history).

use fhirpool_authz::{Interaction, Principal};
use fhirpool_interactions::HistoryInteraction;
use fhirpool_storage::HistoryScope;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;

/// `GET [base]/_history`, `[base]/[type]/_history`, `[base]/[type]/[id]/_history`
pub(super) async fn history(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    let (scope, resource_type) = if call.names.id.is_some() {
        let key = call.key()?;
        let resource_type = key.resource_type;
        (HistoryScope::Instance(key), Some(resource_type))
    } else if call.names.resource_type.is_some() {
        let resource_type = call.resource_type()?;
        (HistoryScope::Type(resource_type), Some(resource_type))
    } else {
        (HistoryScope::Tenant, None)
    };
    let interaction = if call.names.id.is_some() { Interaction::HistoryInstance } else { Interaction::HistoryType };
    let access = call.read_access(principal, interaction, resource_type)?;
    let request = HistoryInteraction { base: &call.base()?, scope, query: call.query(), handling: call.prefer.handling };
    Ok(call.state.interactions.history(&access, request).await?.into())
}
