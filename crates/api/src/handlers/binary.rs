//! Binary (R4 binary.html): content of any type goes in and comes out as it is; as a resource in JSON it goes too.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::json::Writer;
use fhirpool_interactions::{EMPTY_DATA_MEMBER, Representation};
use http::HeaderValue;
use http::header::HeaderName;

use crate::answer::Content;
use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::negotiation::Accepted;

static X_SECURITY_CONTEXT: HeaderName = HeaderName::from_static("x-security-context");
static UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// The resource that a body makes: its JSON where its type is FHIR's, else a Binary around it. A PUT names its id.
pub(super) async fn resource(call: &Call<'_>, body: Body, id: Option<&str>) -> Result<Vec<u8>> {
    let content_type = match call.content_type()? {
        Some(content_type) if !content_type.is_fhir() => content_type.essence,
        // What `application/json` holds is taken for a resource, as R4 has it.
        _ => return call.json_body(body).await,
    };
    let full_type = call.header(&http::header::CONTENT_TYPE)?.unwrap_or(&content_type);
    let mut writer = Writer::new();
    writer.begin_object().string_member("resourceType", "Binary");
    if let Some(id) = id {
        writer.string_member("id", id);
    }
    writer.string_member("contentType", full_type);
    if let Some(reference) = call.header(&X_SECURITY_CONTEXT)?.filter(|reference| !reference.is_empty()) {
        writer.key("securityContext").begin_object().string_member("reference", reference).end_object();
    }
    let bytes = call.body(body).await?;
    if bytes.is_empty() {
        // Not to be taken for a Binary whose content is still to come.
        let (name, value) = EMPTY_DATA_MEMBER;
        writer.raw_member(name, value);
    } else {
        writer.string_member("data", &STANDARD.encode(&bytes));
    }
    writer.end_object();
    Ok(writer.finish().into_bytes())
}

/// What a read of a Binary shows: its content where `Accept` wants its type more than a resource.
pub(super) async fn content(call: &Call<'_>, access: &ReadAccess, found: Representation) -> Result<Content> {
    let interactions = &call.state.interactions;
    let accepted = Accepted::parse(&call.head.headers);
    let is_formatted = call.query().split('&').any(|parameter| parameter.starts_with("_format="));
    if !is_formatted && let Some(content_type) = raw_type(&accepted, interactions.binary_content_type(&found)) {
        return Ok(Content::Raw(content_type, interactions.binary_bytes(access, &found).await?.into()));
    }
    if is_formatted || accepted.json().is_some() {
        return Ok(Content::Json(interactions.binary_json(access, &call.base()?, found).await?));
    }
    Err(ApiError::not_acceptable())
}

/// The type of the content where it is wanted more than a resource.
fn raw_type(accepted: &Accepted<'_>, content_type: Option<String>) -> Option<HeaderValue> {
    let content_type = content_type?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if accepted.prefers(essence) { HeaderValue::try_from(content_type).ok() } else { None }
}

/// The length of the content that a client is about to upload by URL (`Upload-Length`), which the URL is then bound to.
pub(super) fn upload_length(call: &Call<'_>) -> Result<Option<u64>> {
    let Some(length) = call.header(&UPLOAD_LENGTH)? else { return Ok(None) };
    let length_max = call.state.interactions.limits.content_bytes_max;
    match length.parse::<u64>() {
        Ok(length) if length <= length_max => Ok(Some(length)),
        Ok(_) => Err(ApiError::too_large(usize::try_from(length_max).unwrap_or(usize::MAX))),
        Err(_) => Err(ApiError::bad_request("Upload-Length is a number of bytes")),
    }
}
