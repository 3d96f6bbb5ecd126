//! History of a resource, a type and a tenant (R4 http.html#history).

use fhirpool_authz::ReadAccess;
use fhirpool_storage::HistoryScope;

use crate::{BundleOutcome, Handling, Interactions, Result};

/// `GET [base]/_history`, `[base]/[type]/_history`, `[base]/[type]/[id]/_history`
#[derive(Debug, Clone)]
pub struct HistoryInteraction<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// Whose history.
    pub scope: HistoryScope,
    /// The address's query, undecoded.
    pub query: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
}

impl Interactions {
    /// A page of history, newest first.
    pub async fn history(&self, _access: &ReadAccess, _request: HistoryInteraction<'_>) -> Result<BundleOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "history"))
    }
}
