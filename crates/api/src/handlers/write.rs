//! Writes on one resource: create, update, patch, delete, each by id or by criteria.

use axum::body::Body;
use fhirpool_authz::{Interaction, Principal, WriteAccess};
use fhirpool_fhir::ResourceType;
use fhirpool_interactions::{
    CreateRequest, DeleteRequest, Effect, PatchFormat, PatchRequest, Returning, Status, Target, UpdateRequest, WriteOutcome,
    first_parameter,
};
use http::StatusCode;
use http::header::{CONTENT_LOCATION, HeaderName, IF_MATCH, IF_NONE_MATCH, LOCATION};

use super::binary;
use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::error::{ApiError, Result};

static IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// `POST [base]/[type]`
pub(super) async fn create(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    let resource_type = call.resource_type()?;
    let access = call.write_access(principal, Interaction::Create, Some(resource_type))?;
    let base = call.base()?;
    let if_none_exist = create_criteria(call)?;
    let body = resource_body(call, resource_type, body, None).await?;
    let request = CreateRequest { base: &base, resource_type, body, if_none_exist, returning: call.returning() };
    let upload_length = upload_length(call, resource_type)?;
    let outcome = call.state.interactions.create(&access, request).await?;
    Ok(written(call, &base, completed(call, &access, &base, outcome, upload_length).await))
}

/// The criteria of a conditional create: `If-None-Exist`, or in the address, where fhirpy has them. R4 gives criteria there no
/// meaning; passing over them would make a second resource where one was wanted.
fn create_criteria<'a>(call: &'a Call<'_>) -> Result<Option<&'a str>> {
    let in_address = first_parameter(call.query())?.map(|_| call.query());
    match (call.header(&IF_NONE_EXIST)?, in_address) {
        (Some(_), Some(_)) => Err(ApiError::bad_request("a create has criteria in If-None-Exist or in its address, not in both")),
        (in_header, in_address) => Ok(in_header.or(in_address)),
    }
}

/// `PUT [base]/[type]/[id]`
pub(super) async fn update(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    call.check_no_parameters()?;
    let key = call.key_to_give()?;
    update_target(call, principal, key.resource_type, Target::Id(key.id), body).await
}

/// `PUT [base]/[type]?[criteria]`
pub(super) async fn update_conditional(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    update_target(call, principal, call.resource_type()?, Target::Criteria(call.query()), body).await
}

async fn update_target(
    call: &Call<'_>,
    principal: &Principal,
    resource_type: ResourceType,
    target: Target<'_>,
    body: Body,
) -> Result<Answer> {
    let access = call.write_access(principal, Interaction::Update, Some(resource_type))?;
    let base = call.base()?;
    let (if_match, if_none_match) = (call.list_header(&IF_MATCH)?, call.list_header(&IF_NONE_MATCH)?);
    let body = resource_body(call, resource_type, body, call.names.id.as_deref()).await?;
    let request = UpdateRequest {
        base: &base,
        resource_type,
        target,
        body,
        if_match: if_match.as_deref(),
        if_none_match: if_none_match.as_deref(),
        returning: call.returning(),
    };
    let upload_length = upload_length(call, resource_type)?;
    let outcome = call.state.interactions.update(&access, request).await?;
    Ok(written(call, &base, completed(call, &access, &base, outcome, upload_length).await))
}

/// `PATCH [base]/[type]/[id]`
pub(super) async fn patch(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    call.check_no_parameters()?;
    let key = call.key()?;
    patch_target(call, principal, key.resource_type, Target::Id(key.id), body).await
}

/// `PATCH [base]/[type]?[criteria]`
pub(super) async fn patch_conditional(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    patch_target(call, principal, call.resource_type()?, Target::Criteria(call.query()), body).await
}

async fn patch_target(
    call: &Call<'_>,
    principal: &Principal,
    resource_type: ResourceType,
    target: Target<'_>,
    body: Body,
) -> Result<Answer> {
    let access = call.write_access(principal, Interaction::Patch, Some(resource_type))?;
    let base = call.base()?;
    let if_match = call.list_header(&IF_MATCH)?;
    let (format, body) = patch_body(call, body).await?;
    let request =
        PatchRequest { base: &base, resource_type, target, format, body, if_match: if_match.as_deref(), returning: call.returning() };
    let outcome = call.state.interactions.patch(&access, request).await?;
    Ok(written(call, &base, completed(call, &access, &base, outcome, None).await))
}

/// `DELETE [base]/[type]/[id]`
pub(super) async fn delete(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    call.check_no_parameters()?;
    let key = call.key()?;
    delete_target(call, principal, key.resource_type, Target::Id(key.id)).await
}

/// `DELETE [base]/[type]?[criteria]`
pub(super) async fn delete_conditional(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    delete_target(call, principal, call.resource_type()?, Target::Criteria(call.query())).await
}

async fn delete_target(call: &Call<'_>, principal: &Principal, resource_type: ResourceType, target: Target<'_>) -> Result<Answer> {
    let access = call.write_access(principal, Interaction::Delete, Some(resource_type))?;
    let base = call.base()?;
    let if_match = call.list_header(&IF_MATCH)?;
    let request = DeleteRequest { base: &base, resource_type, target, if_match: if_match.as_deref() };
    Ok(written(call, &base, call.state.interactions.delete(&access, request).await?))
}

fn upload_length(call: &Call<'_>, resource_type: ResourceType) -> Result<Option<u64>> {
    if resource_type.name() == "Binary" { binary::upload_length(call) } else { Ok(None) }
}

/// With the URL for the content of a Binary that awaits it.
async fn completed(call: &Call<'_>, access: &WriteAccess, base: &str, outcome: WriteOutcome, upload_length: Option<u64>) -> WriteOutcome {
    match &outcome.key {
        Some(key) if key.resource_type.name() == "Binary" => {
            Box::pin(call.state.interactions.complete_write(access, base, outcome, upload_length)).await
        }
        _ => outcome,
    }
}

async fn resource_body(call: &Call<'_>, resource_type: ResourceType, body: Body, id: Option<&str>) -> Result<Vec<u8>> {
    if resource_type.name() == "Binary" { binary::resource(call, body, id).await } else { call.json_body(body).await }
}

/// A patch and what it is written in, by its type (R4 http.html#patch). As `application/json` clients send both kinds: an array
/// is a JSON Patch.
async fn patch_body(call: &Call<'_>, body: Body) -> Result<(PatchFormat, Vec<u8>)> {
    let content_type = call.content_type()?;
    let is_json_patch = content_type.as_ref().is_some_and(|content_type| content_type.essence == "application/json-patch+json");
    if is_json_patch {
        return Ok((PatchFormat::Json, call.body(body).await?));
    }
    if content_type.is_some_and(|content_type| !content_type.is_json()) {
        let text = "the patch's type is not supported; application/json-patch+json and application/fhir+json are";
        return Err(ApiError::unsupported_type(text));
    }
    let body = call.json_body(body).await?;
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok((if first == Some(&b'[') { PatchFormat::Json } else { PatchFormat::FhirPath }, body))
}

/// The answer to a write (R4 http.html#ops): what `Prefer` asks for, with the address of the version.
fn written(call: &Call<'_>, base: &str, outcome: WriteOutcome) -> Answer {
    let Status(code) = outcome.status();
    let mut status = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    // A delete has no resource to show. R4 leaves open what it answers: an OperationOutcome, unless the client wants nothing.
    let returning = match (outcome.effect, call.prefer.returning) {
        (Effect::Deleted, Some(Returning::Minimal)) => Returning::Minimal,
        (Effect::Deleted, _) => Returning::OperationOutcome,
        _ => call.returning(),
    };
    let location = outcome.location(base).filter(|_| outcome.effect != Effect::Deleted);
    // `Location` tells where what was asked for is, `Content-Location` what the body is: clients look into either.
    let location_header = if outcome.effect == Effect::Updated { CONTENT_LOCATION } else { LOCATION };
    let (version, last_updated) = (outcome.version, outcome.last_updated);
    let content = match returning {
        Returning::Minimal => Content::None,
        Returning::OperationOutcome => {
            if status == StatusCode::NO_CONTENT {
                status = StatusCode::OK;
            }
            Content::Json(outcome.operation_outcome().to_json())
        }
        Returning::Representation => outcome.json.map_or(Content::None, Content::Json),
    };
    let answer = Answer::new(status, content).with_version(version, last_updated);
    match location {
        Some(location) => answer.with_address(location_header, location),
        None => answer,
    }
}
