//! OperationOutcome (R4 operationoutcome.html): what the server says of a refusal or a warning.

use crate::json::Writer;

#[cfg(test)]
mod tests;

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The interaction could not be completed and the server is at a loss.
    Fatal,
    /// The interaction was refused.
    Error,
    /// It was done, but look here.
    Warning,
    /// For information.
    Information,
}

impl Severity {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

macro_rules! issue_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What kind of issue (R4 valueset-issue-type.html), as far as the server uses it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum IssueCode {
            $($(#[$doc])* $name,)*
        }

        impl IssueCode {
            /// The code.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

issue_codes! {
    /// Content invalid against the specification.
    Invalid = "invalid",
    /// A structural issue in the content, such as a wrong property.
    Structure = "structure",
    /// A required element is missing.
    Required = "required",
    /// An element's value is invalid.
    Value = "value",
    /// A rule of the specification is broken.
    Invariant = "invariant",
    /// No valid credentials.
    Login = "login",
    /// The credentials have expired.
    Expired = "expired",
    /// The credentials do not allow this.
    Forbidden = "forbidden",
    /// The server does not do this.
    NotSupported = "not-supported",
    /// Something would be there twice.
    Duplicate = "duplicate",
    /// Several resources match where one must.
    MultipleMatches = "multiple-matches",
    /// It is not there.
    NotFound = "not-found",
    /// It was deleted.
    Deleted = "deleted",
    /// A text or list is too long.
    TooLong = "too-long",
    /// A code is not known.
    CodeInvalid = "code-invalid",
    /// The operation costs more than allowed.
    TooCostly = "too-costly",
    /// A business rule forbids it.
    BusinessRule = "business-rule",
    /// Another write was faster.
    Conflict = "conflict",
    /// A passing fault; the same request may work later.
    Transient = "transient",
    /// A lock could not be had in time.
    LockError = "lock-error",
    /// A store is not available.
    NoStore = "no-store",
    /// The server failed.
    Exception = "exception",
    /// It took too long.
    Timeout = "timeout",
    /// Not all that was to be asked could answer in time.
    Incomplete = "incomplete",
    /// A limit of the client's is reached.
    Throttled = "throttled",
    /// Done.
    Informational = "informational",
    /// It could not be processed.
    Processing = "processing",
}

/// One issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub code: IssueCode,
    /// For people; never with patient data, secrets or internals.
    pub diagnostics: String,
    /// FHIRPath of the element at fault.
    pub expression: Option<String>,
}

impl Issue {
    /// An error.
    pub fn error(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, diagnostics: diagnostics.into(), expression: None }
    }

    /// A warning.
    pub fn warning(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, diagnostics) }
    }

    /// A note.
    pub fn information(diagnostics: impl Into<String>) -> Self {
        Self { severity: Severity::Information, ..Self::error(IssueCode::Informational, diagnostics) }
    }

    /// The same at this element.
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }
}

/// The resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationOutcome {
    /// At least one.
    pub issues: Vec<Issue>,
}

impl OperationOutcome {
    /// Its JSON.
    pub fn to_json(&self) -> String {
        let mut writer = Writer::new();
        writer.begin_object().string_member("resourceType", "OperationOutcome").key("issue").begin_array();
        for issue in &self.issues {
            writer.begin_object();
            writer.string_member("severity", issue.severity.code()).string_member("code", issue.code.code());
            writer.string_member("diagnostics", &issue.diagnostics);
            if let Some(expression) = &issue.expression {
                writer.key("expression").begin_array().string(expression).end_array();
            }
            writer.end_object();
        }
        writer.end_array().end_object();
        writer.finish()
    }
}

impl From<Issue> for OperationOutcome {
    fn from(issue: Issue) -> Self {
        Self { issues: vec![issue] }
    }
}
