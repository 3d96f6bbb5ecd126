//! The port of the count of bytes that tenants have stored.

#[cfg(any(test, feature = "conformance"))]
pub(crate) mod conformance;

use async_trait::async_trait;
use fhirpool_authz::WriteAccess;

use crate::Result;

/// Counts bytes, where all nodes see the sum.
///
/// Contract: an addition happens as one step and outlives the process; none is lost to another. One that failed may have happened.
#[async_trait]
pub trait StoredBytes: Send + Sync {
    /// Adds to the count of the access's tenant, perhaps nothing; gives the sum of all that was ever added.
    async fn add_bytes(&self, access: &WriteAccess, bytes: u64) -> Result<u64>;
}
