//! The port of duties: what a deployment has to do, and one of its nodes at a time does.

#[cfg(any(test, feature = "conformance"))]
pub(crate) mod conformance;

use async_trait::async_trait;

use crate::Result;

/// A node's hold on a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DutyLease {
    /// What is to be done, such as `remove acme`; up to 200 bytes.
    pub duty: String,
    /// Who does it: another text for every hold.
    pub owner: String,
    /// Grows each time the owner changes or renews: a lease whose counter stands still has lost its owner.
    pub counter: u64,
}

/// Keeps leases of duties where all nodes see them.
///
/// Contract: [`DutyLeases::put_duty`] succeeds for one of racing callers, and nobody's clock is compared with another's.
#[async_trait]
pub trait DutyLeases: Send + Sync {
    /// Who holds a duty, read strongly; `None`: nobody does.
    async fn duty(&self, duty: &str) -> Result<Option<DutyLease>>;

    /// Puts a lease in place of the one whose counter is still `expected` (`None`: there is none). `false`: someone else was
    /// faster.
    async fn put_duty(&self, lease: &DutyLease, expected: Option<u64>) -> Result<bool>;

    /// Gives a duty back; nothing happens where another owner holds it by now.
    async fn give_duty_back(&self, duty: &str, owner: &str) -> Result<()>;
}
