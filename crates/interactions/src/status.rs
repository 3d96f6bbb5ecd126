//! Status codes by FHIR's rules (R4 http.html#Status-Codes). They are needed here because the entries of a batch or
//! transaction response carry them; `api` answers with the same.

use crate::ErrorKind;

/// An HTTP status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(200);
    /// A resource was made.
    pub const CREATED: Self = Self(201);
    /// Done, and there is nothing to show.
    pub const NO_CONTENT: Self = Self(204);
    /// The client has the newest version already.
    pub const NOT_MODIFIED: Self = Self(304);

    /// The code's usual text.
    pub fn text(self) -> &'static str {
        match self.0 {
            200 => "OK",
            201 => "Created",
            204 => "No Content",
            304 => "Not Modified",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            410 => "Gone",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "",
        }
    }
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        Self(match kind {
            ErrorKind::BadRequest => 400,
            ErrorKind::Forbidden | ErrorKind::TooCostly => 403,
            ErrorKind::NotFound => 404,
            ErrorKind::MethodNotAllowed => 405,
            ErrorKind::Conflict => 409,
            ErrorKind::Gone => 410,
            ErrorKind::PreconditionFailed => 412,
            ErrorKind::TooLarge => 413,
            ErrorKind::UnsupportedMediaType => 415,
            ErrorKind::Unprocessable => 422,
            ErrorKind::Overloaded => 429,
            ErrorKind::Internal => 500,
            ErrorKind::NotSupported => 501,
            ErrorKind::Unavailable => 503,
        })
    }
}
