//! Tenants, as operators administer them: `/admin/tenants`, for tokens of an audience and a scope of their own.
//!
//! The answers are plain JSON; refusals are OperationOutcomes as everywhere.

use axum::body::Body;
use fhirpool_authz::{Administrator, TenantAccess, TenantId};
use fhirpool_fhir::IssueCode;
use fhirpool_fhir::json::Document;
use fhirpool_interactions::InteractionError;
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{Refused, TenantRecord, TenantState, change_tenant_for, set_tenant_access};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::ApiState;
use crate::answer::{Answer, Content};
use crate::audit::Attempt;
use crate::error::{ApiError, Result};
use crate::routes::{Action, PathNames};

const BODY_BYTES_MAX: usize = 16 << 10;

/// Does what a route of the administration says.
pub(crate) async fn administer(
    action: Action,
    state: &ApiState,
    attempt: &Attempt<'_>,
    names: &PathNames<'_>,
    administrator: &Administrator,
    body: Body,
) -> Result<Answer> {
    let registry = &**state.tenants.registry();
    if action == Action::TenantList {
        let records = registry.list().await.map_err(refusal)?;
        let records: Vec<String> = records.iter().map(TenantRecord::to_shown_json).collect();
        return Ok(json(StatusCode::OK, format!("[{}]", records.join(","))));
    }
    if action == Action::TenantCreate {
        let record = new_record(state, attempt.head, body).await?;
        let record = TenantRecord { changed_by: Some(name_of(administrator)), ..record };
        // It is set once for a request.
        let _ = attempt.noted.tenant.set(record.id.clone());
        let is_new = registry.create(&record).await.map_err(refusal)?;
        state.tenants.refresh().await.map_err(refusal)?;
        note(action, attempt, administrator, &record.id, is_new);
        return match is_new {
            true => Ok(json(StatusCode::CREATED, record.to_shown_json()).with_address(LOCATION, format!("/admin/tenants/{}", record.id))),
            false => {
                let text = "there is, or was, a tenant with this id: an id is given once";
                Err(ApiError::new(StatusCode::CONFLICT, IssueCode::Duplicate, text))
            }
        };
    }
    let tenant = names.tenant.as_deref().and_then(TenantId::parse).ok_or_else(ApiError::no_tenant)?;
    if action == Action::TenantAccess {
        return set_access(state, attempt, &tenant, administrator, body).await;
    }
    let to = match action {
        Action::TenantSuspend => TenantState::Suspended,
        Action::TenantResume => TenantState::Active,
        Action::TenantDelete => TenantState::Deleting,
        _ => {
            let record = registry.read(&tenant).await.map_err(refusal)?.ok_or_else(ApiError::no_tenant)?;
            return Ok(json(StatusCode::OK, record.to_shown_json()));
        }
    };
    if to == TenantState::Deleting
        && let Some(deleted) = registry.read(&tenant).await.map_err(refusal)?.filter(|record| record.state == TenantState::Deleted)
    {
        return Ok(json(StatusCode::OK, deleted.to_shown_json()));
    }
    let (now, by) = (state.interactions.clock.now(), name_of(administrator));
    let changed = change_tenant_for(registry, &tenant, to, now, Some(&by)).await.map_err(refusal)?;
    state.tenants.refresh().await.map_err(refusal)?;
    let changed = changed.ok_or_else(ApiError::no_tenant)?;
    note(action, attempt, administrator, &tenant, changed.is_ok());
    let record = changed.map_err(conflict)?;
    if to == TenantState::Deleting {
        (state.remove_tenant)(&tenant);
        return Ok(json(StatusCode::ACCEPTED, record.to_shown_json()));
    }
    Ok(json(StatusCode::OK, record.to_shown_json()))
}

/// A tenant's roles, quotas and issuers, in place of all that its record had of them; `{}`: none of its own.
async fn set_access(
    state: &ApiState,
    attempt: &Attempt<'_>,
    tenant: &TenantId,
    administrator: &Administrator,
    body: Body,
) -> Result<Answer> {
    let deadline = Instant::now() + state.settings.request_time_max;
    let bytes = crate::body::read(attempt.head, body, TenantAccess::BYTES_MAX, deadline).await?;
    let text = String::from_utf8(bytes).map_err(|_| ApiError::bad_request("the body is not UTF-8"))?;
    let access = TenantAccess::parse(tenant, &text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let by = name_of(administrator);
    let changed = set_tenant_access(&**state.tenants.registry(), tenant, access.as_ref(), Some(&by)).await.map_err(refusal)?;
    state.tenants.refresh().await.map_err(refusal)?;
    let changed = changed.ok_or_else(ApiError::no_tenant)?;
    note(Action::TenantAccess, attempt, administrator, tenant, changed.is_ok());
    let record = changed.map_err(conflict)?;
    Ok(json(StatusCode::OK, record.to_shown_json()))
}

/// `{"id": "acme", "name": "Acme Hospital"}`; without a name it is the id.
async fn new_record(state: &ApiState, head: &Parts, body: Body) -> Result<TenantRecord> {
    let deadline = Instant::now() + state.settings.request_time_max;
    let bytes = crate::body::read(head, body, BODY_BYTES_MAX, deadline).await?;
    let malformed = || ApiError::bad_request("the body is a JSON object with the members id and, if wanted, name, both of them texts");
    let document = Document::parse(bytes).map_err(|_| malformed())?;
    let (mut id, mut name) = (None, None);
    if !document.root().is_object() {
        return Err(malformed());
    }
    for member in document.root().members() {
        let place = match &*member.name() {
            "id" => &mut id,
            "name" => &mut name,
            _ => return Err(malformed()),
        };
        if place.replace(member.value().as_str().ok_or_else(malformed)?.into_owned()).is_some() {
            return Err(malformed());
        }
    }
    let tenant = id.as_deref().and_then(TenantId::parse);
    let tenant = tenant.ok_or_else(|| ApiError::bad_request("id: allowed are 1 to 64 letters, digits, `-` and `_`"))?;
    TenantRecord::new(tenant, name.as_deref().unwrap_or_default(), state.interactions.clock.now()).map_err(ApiError::bad_request)
}

/// Who did what is in the log, whatever is logged of requests.
fn note(action: Action, attempt: &Attempt<'_>, administrator: &Administrator, tenant: &TenantId, is_done: bool) {
    let (issuer, subject, action) = (administrator.issuer(), administrator.subject(), action.name());
    let request_id = attempt.request_id.to_str().unwrap_or_default();
    tracing::info!(target: "fhirpool::administration", issuer, subject, action, %tenant, is_done, request_id, "a tenant was administered");
}

/// How a tenant's record names who changed it.
fn name_of(administrator: &Administrator) -> String {
    format!("{}|{}", administrator.issuer(), administrator.subject())
}

fn json(status: StatusCode, json: String) -> Answer {
    Answer::new(status, Content::Raw(HeaderValue::from_static("application/json"), json.into_bytes()))
}

fn conflict(refused: Refused) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, IssueCode::Conflict, refused.to_string())
}

fn refusal(error: StorageError) -> ApiError {
    InteractionError::from(error).into()
}
