//! Batch and transaction (R4 http.html#transaction).

use fhirpool_authz::WriteAccess;

use crate::{BundleOutcome, Handling, Interactions, Result, Returning};

/// `POST [base]`
#[derive(Debug, Clone)]
pub struct BundleRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a str,
    /// The Bundle's JSON.
    pub body: Vec<u8>,
    /// What the entries of writes give back.
    pub returning: Returning,
    /// What becomes of unknown parameters of searches.
    pub handling: Handling,
}

impl Interactions {
    /// Does what a Bundle of type `batch` or `transaction` says, and answers entry by entry in its order.
    pub async fn bundle(&self, _access: &WriteAccess, _request: BundleRequest<'_>) -> Result<BundleOutcome> {
        Err(crate::InteractionError::of(crate::ErrorKind::NotSupported, "bundle"))
    }
}
