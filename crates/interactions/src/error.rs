//! Why an interaction was refused or could not be done.

use fhirpool_fhir::{Issue, IssueCode, OperationOutcome};
use fhirpool_search::parse::QueryError;
use fhirpool_storage::StorageError;

/// What callers tell apart. Each kind has one status code ([`crate::Status`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood.
    BadRequest,
    /// The access does not allow it.
    Forbidden,
    /// It is not there and never was.
    NotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// Another write was faster, or the request contradicts what is stored.
    Conflict,
    /// It was there and was deleted.
    Gone,
    /// A condition of the client's does not hold, or its criteria match several resources.
    PreconditionFailed,
    /// The request is larger than a limit.
    TooLarge,
    /// The content's format is not one this interaction takes.
    UnsupportedMediaType,
    /// Well-formed, but against FHIR's rules.
    Unprocessable,
    /// A part of FHIR that this server does not do.
    NotSupported,
    /// It would look at more than a limit allows.
    TooCostly,
    /// Too much is waiting already.
    Overloaded,
    /// A store cannot answer now.
    Unavailable,
    /// The server failed; nothing about the request caused it.
    Internal,
}

/// A refusal: its kind and what to tell the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind:?}: {}", outcome.issues.first().map_or("", |issue| issue.diagnostics.as_str()))]
pub struct InteractionError {
    /// What kind.
    pub kind: ErrorKind,
    /// What the client sees.
    pub outcome: OperationOutcome,
    /// What only the log may see, such as the store's own words.
    pub internal: Option<String>,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, InteractionError>;

impl InteractionError {
    /// A refusal with one issue.
    pub fn new(kind: ErrorKind, issue: Issue) -> Self {
        Self { kind, outcome: issue.into(), internal: None }
    }

    /// A refusal of this kind, with the issue code that usually goes with it.
    pub fn of(kind: ErrorKind, diagnostics: impl Into<String>) -> Self {
        Self::new(kind, Issue::error(kind.issue_code(), diagnostics))
    }

    /// [`ErrorKind::BadRequest`] with this text.
    pub fn bad_request(diagnostics: impl Into<String>) -> Self {
        Self::of(ErrorKind::BadRequest, diagnostics)
    }

    /// Moves every issue into the element at `prefix`: an expression `Patient.name` of an issue becomes `prefix.name`,
    /// one without an expression gets the prefix itself.
    pub(crate) fn within(mut self, prefix: &str) -> Self {
        for issue in &mut self.outcome.issues {
            issue.expression = Some(match issue.expression.take() {
                Some(expression) => match expression.find(['.', '[']) {
                    Some(at) if expression.starts_with(|c: char| c.is_ascii_uppercase()) => format!("{prefix}{}", &expression[at..]),
                    _ => prefix.to_owned(),
                },
                None => prefix.to_owned(),
            });
        }
        self
    }

    /// Puts `prefix` at every issue that has no expression yet.
    pub(crate) fn or_at(mut self, prefix: &str) -> Self {
        for issue in &mut self.outcome.issues {
            issue.expression.get_or_insert_with(|| prefix.to_owned());
        }
        self
    }
}

impl ErrorKind {
    fn issue_code(self) -> IssueCode {
        match self {
            Self::BadRequest | Self::MethodNotAllowed => IssueCode::Invalid,
            Self::Forbidden => IssueCode::Forbidden,
            Self::NotFound => IssueCode::NotFound,
            Self::Conflict | Self::PreconditionFailed => IssueCode::Conflict,
            Self::Gone => IssueCode::Deleted,
            Self::TooLarge => IssueCode::TooLong,
            Self::UnsupportedMediaType | Self::NotSupported => IssueCode::NotSupported,
            Self::Unprocessable => IssueCode::Processing,
            Self::TooCostly => IssueCode::TooCostly,
            Self::Overloaded => IssueCode::Throttled,
            Self::Unavailable => IssueCode::Transient,
            Self::Internal => IssueCode::Exception,
        }
    }
}

impl From<StorageError> for InteractionError {
    fn from(error: StorageError) -> Self {
        let internal = Some(error.to_string());
        let refusal = match error {
            StorageError::Unavailable(_) => Self::of(ErrorKind::Unavailable, "the store cannot answer now; try again"),
            StorageError::Overloaded => Self::of(ErrorKind::Overloaded, "too many requests are waiting; try again later"),
            StorageError::Busy => Self::of(ErrorKind::Unavailable, "other writes hold what this one needs; try again"),
            StorageError::TooCostly(what) => Self::of(ErrorKind::TooCostly, format!("the request costs more than allowed: {what}")),
            StorageError::QuotaReached(what) => {
                Self::of(ErrorKind::TooCostly, format!("the tenant may store no more {what}; what is there may be changed and deleted"))
            }
            StorageError::Denied => Self::of(ErrorKind::Forbidden, "the access does not cover this"),
            StorageError::UnknownTenant => Self::of(ErrorKind::NotFound, "there is no such tenant"),
            StorageError::Damaged(_) => Self::of(ErrorKind::Internal, "what is stored cannot be read"),
        };
        Self { internal, ..refusal }
    }
}

impl From<QueryError> for InteractionError {
    fn from(error: QueryError) -> Self {
        Self::new(ErrorKind::BadRequest, error.issue)
    }
}
