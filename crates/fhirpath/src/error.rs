//! What can go wrong.

/// A text that is no FHIRPath expression: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at character {offset}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Byte offset of the place.
    pub offset: usize,
}

impl ParseError {
    pub(crate) fn new(message: impl Into<String>, offset: usize) -> Self {
        Self { message: message.into(), offset }
    }
}

/// An expression that cannot be evaluated on its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Several items where FHIRPath demands at most one.
    #[error("{0} needs a single item")]
    NotSingle(&'static str),
    /// An item of a type that the operation is not defined for.
    #[error("{0} is not defined for these types")]
    Type(&'static str),
    /// A type that the definitions do not know.
    #[error("unknown type `{0}`")]
    UnknownType(String),
    /// An element that the type does not have; only found by a check.
    #[error("`{type_name}` has no element `{element}`")]
    UnknownElement {
        /// The type.
        type_name: String,
        /// The name asked for.
        element: String,
    },
    /// A function that needs an order where there is none; only found by a check.
    #[error("{0} needs an order")]
    Unordered(&'static str),
    /// A variable that neither FHIR nor the context defines.
    #[error("unknown variable `%{0}`")]
    UnknownVariable(String),
    /// An argument outside what the function takes.
    #[error("invalid argument of {0}")]
    Argument(&'static str),
    /// A function that needs what this engine does not have (terminology, profiles).
    #[error("{0} is not supported")]
    NotSupported(&'static str),
    /// More steps than [`crate::Limits::steps_max`].
    #[error("evaluation takes more than {0} steps")]
    Steps(u64),
    /// More items than [`crate::Limits::items_max`].
    #[error("evaluation yields more than {0} items")]
    Items(usize),
    /// A text longer than [`crate::Limits::string_bytes_max`].
    #[error("evaluation yields a text of more than {0} bytes")]
    Text(usize),
}
