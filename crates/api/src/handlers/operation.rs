//! Operations (R4 operations.html).

use axum::body::Body;
use fhirpool_authz::{Interaction, Principal};
use fhirpool_fhir::IssueCode;
use fhirpool_interactions::{EverythingRequest, query_of_parameters};
use http::{Method, StatusCode};

use crate::answer::Answer;
use crate::call::{Call, parse_type};
use crate::error::{ApiError, Result};

/// The longest Parameters of an operation, in bytes.
const PARAMETERS_BYTES_MAX: usize = 64 << 10;

/// `GET` or `POST [base]/$[operation]`, `[base]/[type]/$[operation]`, `[base]/[type]/[id]/$[operation]`
pub(super) async fn call_operation(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    let names = call.names;
    match (names.resource_type.as_deref(), names.id.is_some(), names.operation.as_deref()) {
        (Some("Patient"), true, Some("$everything")) => everything(call, principal, body).await,
        _ => unknown(call, principal),
    }
}

async fn everything(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    let patient = call.key()?;
    call.read_access(principal, Interaction::Everything, Some(patient.resource_type))?;
    let access = call.read_access(principal, Interaction::Search, Some(patient.resource_type))?;
    let query = query(call, body).await?;
    let request = EverythingRequest { base: &call.base()?, patient, query, handling: call.prefer.handling, freshness: call.freshness()? };
    Ok(call.state.interactions.everything(&access, request).await?.into())
}

/// The parameters in the address and, by POST, those in the body.
async fn query<'a>(call: &Call<'a>, body: Body) -> Result<&'a str> {
    if call.head.method != Method::POST {
        return Ok(call.query());
    }
    if call.content_type()?.is_some_and(|content_type| !content_type.is_json()) {
        return Err(ApiError::unsupported_type("the body of an operation is a Parameters resource as application/fhir+json"));
    }
    let in_body = query_of_parameters(crate::body::read(call.head, body, PARAMETERS_BYTES_MAX, call.deadline).await?)?;
    Ok(call.query_with(&in_body))
}

/// Others are refused as not supported, to whom may read at all.
fn unknown(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    call.read_access(principal, Interaction::Read, None)?;
    if let Some(name) = &call.names.resource_type {
        parse_type(name)?;
    }
    let name: String = call.names.operation.as_deref().unwrap_or_default().chars().take(64).collect();
    let text = format!("the operation {name:?} is not supported here");
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, IssueCode::NotSupported, text))
}
