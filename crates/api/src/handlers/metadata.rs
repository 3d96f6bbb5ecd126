//! What needs no token: capabilities, SMART's configuration, health.

use fhirpool_fhir::IssueCode;
use fhirpool_fhir::json::Writer;
use http::{HeaderValue, StatusCode};

use crate::ApiState;
use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::error::{ApiError, Result};

/// `GET [base]/metadata` (R4 http.html#capabilities)
pub(crate) fn metadata(call: &Call<'_>) -> Result<Answer> {
    if call.query().split('&').any(|parameter| parameter == "mode=terminology") {
        let text = "mode=terminology is not supported; full and normative are";
        return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, IssueCode::NotSupported, text));
    }
    Ok(Answer::new(StatusCode::OK, Content::Shared(call.state.interactions.capabilities(&call.base()?))))
}

/// `GET [base]/.well-known/smart-configuration`: plain JSON, whatever is accepted. There is no authorization server here, so
/// it names the issuer alone.
pub(crate) fn smart_configuration(call: &Call<'_>) -> Answer {
    let mut writer = Writer::new();
    writer.begin_object();
    if !call.state.settings.issuer_url.is_empty() {
        writer.string_member("issuer", &call.state.settings.issuer_url);
    }
    writer.key("capabilities").begin_array().end_array().end_object();
    Answer::new(StatusCode::OK, Content::Raw(HeaderValue::from_static("application/json"), writer.finish().into_bytes()))
}

/// `GET /health/live`: the process runs.
pub(crate) fn live() -> Answer {
    Answer::new(StatusCode::OK, Content::Raw(HeaderValue::from_static("application/json"), b"{\"status\":\"live\"}".to_vec()))
}

/// `GET /health/ready`: requests can be served.
pub(crate) fn ready(state: &ApiState) -> Result<Answer> {
    if (state.is_ready)() {
        let content = Content::Raw(HeaderValue::from_static("application/json"), b"{\"status\":\"ready\"}".to_vec());
        return Ok(Answer::new(StatusCode::OK, content));
    }
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, "the server is not ready"))
}
