//! The port of the buckets that nodes draw from.

#[cfg(any(test, feature = "conformance"))]
pub(crate) mod conformance;

use async_trait::async_trait;
use fhirpool_authz::{Account, Draw, Drawn, WriteAccess};

use crate::Result;

/// Keeps buckets of points where all nodes see them.
///
/// Contract: a draw is what [`fhirpool_authz::SharedBucket::draw`] says of the bucket as all draws before it left it, and happens
/// as one step: draws of racing nodes add up. A bucket that was never drawn from is full; one that is full may be forgotten.
#[async_trait]
pub trait QuotaLeases: Send + Sync {
    /// Draws from the bucket of an account of the access's tenant.
    async fn draw(&self, access: &WriteAccess, account: &Account, draw: &Draw) -> Result<Drawn>;
}
