//! The log of accesses, for who holds leave to look into it: at the address of the type AuditEvent. For all others, AuditEvents
//! are what clients have stored.

use fhirpool_audit::{Activity, Reader};
use fhirpool_authz::{Principal, ReadAccess};
use fhirpool_interactions::AuditSearch;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;

/// What the log is read with, and the leave to do so; `None`: there is no log, or no such leave.
fn leave<'a>(call: &'a Call<'_>, principal: &Principal) -> Option<(&'a Reader, ReadAccess)> {
    let trail = call.state.audit.as_ref()?;
    let access = ReadAccess::authorize_audit(principal, &call.tenant).ok()?;
    Some((trail.reader(), access))
}

/// `GET [base]/AuditEvent?date=…`; `None`: it is a search of stored resources.
pub(super) async fn search(call: &Call<'_>, principal: &Principal, query: &str) -> Result<Option<Answer>> {
    if call.names.id.is_some() || call.names.resource_type.as_deref() != Some("AuditEvent") {
        return Ok(None);
    }
    let Some((reader, access)) = leave(call, principal) else { return Ok(None) };
    // Only the first to say so is heard.
    let _ = call.noted.activity.set(Activity::Audit);
    let request = AuditSearch { base: &call.base()?, query };
    Ok(Some(call.state.interactions.search_audit(reader, &access, request).await?.into()))
}

/// `GET [base]/AuditEvent/[id]`; `None`: it is a read of a stored resource.
pub(super) async fn read(call: &Call<'_>, principal: &Principal) -> Result<Option<Answer>> {
    let Some((reader, access)) = leave(call, principal) else { return Ok(None) };
    let id = call.names.id.as_deref().unwrap_or_default();
    let found = call.state.interactions.read_audit(reader, &access, id).await?;
    if found.is_some() {
        let _ = call.noted.activity.set(Activity::Audit);
    }
    Ok(found.map(Answer::json))
}
