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

/// What this server itself does of SMART App Launch, whoever issues the tokens.
const SMART_CAPABILITIES: [&str; 4] = ["permission-patient", "permission-user", "permission-v1", "permission-v2"];

/// Forms of the scopes that are understood.
const SMART_SCOPES: [&str; 11] = [
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
    "patient/*.read",
    "user/*.read",
    "system/*.read",
];

/// `GET [base]/.well-known/smart-configuration`: plain JSON, whatever is accepted (SMART App Launch, conformance). There is no
/// authorization server here: it names that of the deployment, and without one the issuer alone.
pub(crate) fn smart_configuration(call: &Call<'_>) -> Answer {
    let security = call.state.interactions.capability_cache.security();
    let mut writer = Writer::new();
    writer.begin_object();
    let issuer = if security.issuer.is_empty() { &call.state.settings.issuer_url } else { &security.issuer };
    if !issuer.is_empty() {
        writer.string_member("issuer", issuer);
    }
    let endpoints = [
        ("jwks_uri", &security.jwks_uri),
        ("authorization_endpoint", &security.authorization_endpoint),
        ("token_endpoint", &security.token_endpoint),
        ("introspection_endpoint", &security.introspection_endpoint),
        ("revocation_endpoint", &security.revocation_endpoint),
        ("registration_endpoint", &security.registration_endpoint),
        ("management_endpoint", &security.management_endpoint),
    ];
    for (name, endpoint) in endpoints {
        if let Some(endpoint) = endpoint {
            writer.string_member(name, endpoint);
        }
    }
    let mut strings = |name: &str, texts: &mut dyn Iterator<Item = &str>| {
        writer.key(name).begin_array();
        texts.for_each(|text| {
            writer.string(text);
        });
        writer.end_array();
    };
    if security.token_endpoint.is_some() {
        let code = security.authorization_endpoint.as_ref().map(|_| "authorization_code");
        strings("grant_types_supported", &mut code.into_iter().chain(["client_credentials"]));
    }
    if security.authorization_endpoint.is_some() {
        strings("response_types_supported", &mut ["code"].into_iter());
        strings("code_challenge_methods_supported", &mut ["S256"].into_iter());
    }
    strings("scopes_supported", &mut SMART_SCOPES.into_iter());
    strings("capabilities", &mut SMART_CAPABILITIES.into_iter().chain(security.capabilities.iter().map(String::as_str)));
    writer.end_object();
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
