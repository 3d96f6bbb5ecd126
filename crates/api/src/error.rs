//! Refusals on their way to an answer.

use fhirpool_authz::{AccessDenied, AdminError, TokenError};
use fhirpool_fhir::{Issue, IssueCode, OperationOutcome};
use fhirpool_interactions::{InteractionError, Status};
use http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// A refusal: status, what the client sees, and what only the log may see.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Refusal>);

#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub outcome: OperationOutcome,
    pub internal: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Shorthand.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

impl ApiError {
    pub fn new(status: StatusCode, code: IssueCode, diagnostics: impl Into<String>) -> Self {
        let outcome = Issue::error(code, diagnostics).into();
        Self(Box::new(Refusal { status, outcome, internal: None, headers: Vec::new() }))
    }

    /// 400
    pub fn bad_request(diagnostics: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, IssueCode::Invalid, diagnostics)
    }

    /// 404
    pub fn not_found(diagnostics: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, IssueCode::NotFound, diagnostics)
    }

    /// 404 for a tenant that is not there or is another's: in the words with which interactions say that it is not there.
    pub fn no_tenant() -> Self {
        Self::not_found("there is no such tenant")
    }

    /// 401: there is no token.
    pub fn no_token() -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, IssueCode::Login, "a bearer token is required");
        error.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fhirpool\""))
    }

    /// 413
    pub fn too_large(bytes_max: usize) -> Self {
        let text = format!("the body is larger than {bytes_max} bytes after decompression");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, IssueCode::TooLong, text)
    }

    /// 415
    pub fn unsupported_type(diagnostics: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueCode::NotSupported, diagnostics)
    }

    /// 406
    pub fn not_acceptable() -> Self {
        let text = "nothing that is accepted can be served; served are application/fhir+json, application/json and text/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, IssueCode::NotSupported, text)
    }

    /// 500: the server failed, whatever the request.
    pub fn internal(detail: String) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, IssueCode::Exception, "the server failed on this request");
        error.0.internal = Some(detail);
        error
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.add_header(name, value);
        self
    }

    pub fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.headers.push((name, value));
    }

    pub fn into_refusal(self) -> Refusal {
        *self.0
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let code = if error == TokenError::Expired { IssueCode::Expired } else { IssueCode::Login };
        let challenge = format!("Bearer realm=\"fhirpool\", error=\"invalid_token\", error_description=\"{error}\"");
        let challenge = HeaderValue::try_from(challenge).expect("the texts of token errors are plain ASCII");
        Self::new(StatusCode::UNAUTHORIZED, code, error.to_string()).with_header(WWW_AUTHENTICATE, challenge)
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Token(error) => error.into(),
            AdminError::Scope => AccessDenied::Forbidden.into(),
        }
    }
}

impl From<AccessDenied> for ApiError {
    fn from(denied: AccessDenied) -> Self {
        match denied {
            AccessDenied::OtherTenant => Self::no_tenant(),
            AccessDenied::Forbidden => {
                let challenge = HeaderValue::from_static("Bearer realm=\"fhirpool\", error=\"insufficient_scope\"");
                let error = Self::new(StatusCode::FORBIDDEN, IssueCode::Forbidden, "the token does not allow this");
                error.with_header(WWW_AUTHENTICATE, challenge)
            }
        }
    }
}

impl From<InteractionError> for ApiError {
    fn from(error: InteractionError) -> Self {
        let status = StatusCode::from_u16(Status::from(error.kind).0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = Vec::new();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.push((RETRY_AFTER, HeaderValue::from_static("1")));
        }
        Self(Box::new(Refusal { status, outcome: error.outcome, internal: error.internal, headers }))
    }
}
