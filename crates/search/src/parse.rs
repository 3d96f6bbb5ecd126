//! From a query's text to a typed [`Query`] (R4 search.html).
//!
//! Deliberately absent: paging (the caller's token is handed through), limits of an access, and terminology (`:in`, `:below`
//! on codes and the like are refused as not supported).

use fhirpool_fhir::{Definitions, Issue, IssueCode, OperationOutcome, ResourceKey, ResourceType, Timestamp};

use crate::{Include, Query};

mod decode;

pub use decode::{decode_query, encode_query};

/// The parameter that carries a page token.
pub const PAGE_PARAMETER: &str = "_page";

/// Where a search looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All types, or those in `_type`.
    System,
    /// One type.
    Type(ResourceType),
    /// What belongs to the compartment of the owner: one type, or all that have a part in it.
    Compartment {
        /// The resource that spans it.
        owner: ResourceKey,
        /// The type sought; `None` for `[type]/[id]/*`.
        resource_type: Option<ResourceType>,
    },
}

/// What becomes of parameters that are not understood (R4 search.html#errors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handling {
    /// They are errors.
    #[default]
    Strict,
    /// They are left out, with a warning.
    Lenient,
}

/// How much a query may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Parameters.
    pub parameters_max: usize,
    /// Alternatives (commas) of one parameter.
    pub alternatives_max: usize,
    /// Bytes of one parameter's name or alternative.
    pub value_bytes_max: usize,
    /// Links of a chain, `_has` among them.
    pub chain_depth_max: usize,
    /// Inner searches of one parameter, over all types its chain may lead through.
    pub chain_searches_max: usize,
    /// `_include` and `_revinclude` together.
    pub includes_max: usize,
    /// Sort keys.
    pub sort_keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parameters_max: 100,
            alternatives_max: 1000,
            value_bytes_max: 4096,
            chain_depth_max: 8,
            chain_searches_max: 1000,
            includes_max: 50,
            sort_keys_max: 10,
        }
    }
}

/// What a query is read with.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The tenant's base URL, by which absolute references are known as local.
    pub base: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
    /// How much may be asked.
    pub limits: Limits,
    /// The time that `ap` measures dates from.
    pub now: Timestamp,
}

/// Why a query was refused. The texts are for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", issue.diagnostics)]
pub struct QueryError {
    /// What to tell the client.
    pub issue: Issue,
}

impl QueryError {
    pub(crate) fn new(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { issue: Issue::error(code, diagnostics) }
    }

    pub(crate) fn value(diagnostics: impl Into<String>) -> Self {
        Self::new(IssueCode::Value, diagnostics)
    }

    pub(crate) fn not_supported(diagnostics: impl Into<String>) -> Self {
        Self::new(IssueCode::NotSupported, diagnostics)
    }
}

impl From<QueryError> for OperationOutcome {
    fn from(error: QueryError) -> Self {
        error.issue.into()
    }
}

/// Reads a query whose parameters are percent-decoded already ([`decode_query`]).
pub fn parse(
    definitions: &Definitions,
    scope: &Scope,
    parameters: &[(String, String)],
    options: &Options<'_>,
) -> Result<Query, QueryError> {
    let _ = (definitions, scope, parameters, options);
    Err(QueryError::not_supported("searching"))
}

/// Reads the value of one `_include` or `_revinclude`, without modifier.
pub fn parse_include(definitions: &Definitions, value: &str, iterate: bool) -> Result<Include, QueryError> {
    let _ = (definitions, value, iterate);
    Err(QueryError::not_supported("including"))
}
