//! Reads of one resource: read and vread (R4 http.html#read, #vread).

use fhirpool_authz::{Interaction, Principal, ReadAccess};
use fhirpool_interactions::{ReadOutcome, ReadRequest, VersionReadRequest};
use http::StatusCode;
use http::header::IF_NONE_MATCH;

use super::{audit, binary};
use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::error::Result;

/// `GET [base]/[type]/[id]`
pub(crate) async fn read(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    let key = call.key()?;
    if key.resource_type.name() == "AuditEvent"
        && let Some(answer) = Box::pin(audit::read(call, principal)).await?
    {
        return Ok(answer);
    }
    let access = call.read_access(principal, Interaction::Read, Some(key.resource_type))?;
    let if_none_match = call.list_header(&IF_NONE_MATCH)?;
    let request = ReadRequest {
        base: &call.base()?,
        key,
        query: call.query(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: call.if_modified_since(),
    };
    answer(call, &access, call.state.interactions.read(&access, request).await?).await
}

/// `GET [base]/[type]/[id]/_history/[vid]`
pub(crate) async fn vread(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    let key = call.key()?;
    let access = call.read_access(principal, Interaction::Vread, Some(key.resource_type))?;
    let if_none_match = call.list_header(&IF_NONE_MATCH)?;
    let request = VersionReadRequest {
        base: &call.base()?,
        key,
        version: call.names.version.as_deref().unwrap_or_default(),
        query: call.query(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: call.if_modified_since(),
    };
    answer(call, &access, call.state.interactions.vread(&access, request).await?).await
}

async fn answer(call: &Call<'_>, access: &ReadAccess, outcome: ReadOutcome) -> Result<Answer> {
    match outcome {
        ReadOutcome::NotModified { version, last_updated } => {
            Ok(Answer::new(StatusCode::NOT_MODIFIED, Content::None).with_version(Some(version), Some(last_updated)))
        }
        ReadOutcome::Found(found) => {
            let (version, last_updated) = (Some(found.version), Some(found.last_updated));
            let content = match found.key.resource_type.name() {
                // Boxed: reads of all other types would carry its room.
                "Binary" => Box::pin(binary::content(call, access, found)).await?,
                _ => Content::Json(found.json),
            };
            Ok(Answer::new(StatusCode::OK, content).with_version(version, last_updated))
        }
    }
}
