//! Binary (R4 binary.html): content of any type goes in and comes out as it is; as a resource in JSON it goes too.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhirpool_fhir::json::{Document, Writer};
use http::HeaderValue;
use http::header::HeaderName;

use crate::answer::Content;
use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::negotiation::Accepted;

static X_SECURITY_CONTEXT: HeaderName = HeaderName::from_static("x-security-context");

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
    if !bytes.is_empty() {
        writer.string_member("data", &STANDARD.encode(&bytes));
    }
    writer.end_object();
    Ok(writer.finish().into_bytes())
}

/// What a read of a Binary shows: its content where `Accept` wants its type more than a resource.
pub(super) fn content(call: &Call<'_>, json: String) -> Result<Content> {
    let accepted = Accepted::parse(&call.head.headers);
    let is_formatted = call.query().split('&').any(|parameter| parameter.starts_with("_format="));
    if is_formatted {
        return Ok(Content::Json(json));
    }
    match raw(&accepted, &json) {
        Some(raw) => Ok(raw),
        None if accepted.json().is_some() => Ok(Content::Json(json)),
        None => Err(ApiError::not_acceptable()),
    }
}

fn raw(accepted: &Accepted<'_>, json: &str) -> Option<Content> {
    let document = Document::parse(json).ok()?;
    let content_type = document.root().get_str("contentType")?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !accepted.prefers(essence) {
        return None;
    }
    let data: Vec<u8> = match document.root().get_str("data") {
        // R4's base64Binary may hold white space.
        Some(data) => data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect(),
        None => Vec::new(),
    };
    Some(Content::Raw(HeaderValue::try_from(&*content_type).ok()?, STANDARD.decode(data).ok()?))
}
