//! What one node of several does.
//!
//! A node that begins a duty puts a lease of it into the store that all nodes share, and renews it as long as it works. Whoever
//! else wants the duty watches: a lease that has not changed for [`Times::lost_after`] of the watcher's own time has lost its
//! owner, and is taken over. The owner stops by then: it counts from before it asked for the renewal.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhirpool_interactions::{Randomness, SystemRandomness};
use fhirpool_storage::{DutyLease, DutyLeases, Result};
use tokio::time::Instant;

/// How leases are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// So long a lease may stand still.
    pub lost_after: Duration,
    /// How often it is renewed.
    pub renewal_pause: Duration,
    /// How often is looked whether another node is done, or was lost.
    pub look_pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { lost_after: Duration::from_secs(10), renewal_pause: Duration::from_secs(3), look_pause: Duration::from_secs(2) }
    }
}

/// The duties of a deployment, as one of its nodes takes part in them.
pub(crate) struct Duties {
    /// `None`: this process does everything.
    leases: Option<Arc<dyn DutyLeases>>,
    times: Times,
    node: u64,
    holds: AtomicU64,
    /// Leases of others, and since when they have been as they are.
    seen: Mutex<HashMap<String, (DutyLease, Instant)>>,
}

impl Duties {
    /// Of a process that has no others beside it.
    #[cfg(feature = "embedded")]
    pub(crate) fn alone() -> Self {
        Self::new(None, Times::default())
    }

    /// Of a node among others.
    #[cfg(feature = "aws")]
    pub(crate) fn shared(leases: Arc<dyn DutyLeases>) -> Self {
        Self::new(Some(leases), Times::default())
    }

    pub(crate) fn new(leases: Option<Arc<dyn DutyLeases>>, times: Times) -> Self {
        let mut node = [0; 8];
        SystemRandomness::default().fill(&mut node);
        Self { leases, times, node: u64::from_be_bytes(node), holds: AtomicU64::new(0), seen: Mutex::default() }
    }

    /// How long whoever waits for another node's work should wait between two looks.
    pub(crate) fn look_pause(&self) -> Duration {
        self.times.look_pause
    }

    /// How long it takes until a node that was lost is known to be.
    pub(crate) fn lost_after(&self) -> Duration {
        self.times.lost_after
    }

    /// Does a duty while this node holds it. `None`: another does it; where it was begun here, that one has taken it over.
    ///
    /// # Errors
    /// The leases cannot be read, so that nothing was begun.
    pub(crate) async fn perform<T>(&self, duty: &str, work: impl Future<Output = T>) -> Result<Option<T>> {
        let Some(leases) = &self.leases else { return Ok(Some(work.await)) };
        let asked = Instant::now();
        let Some(lease) = self.take(&**leases, duty).await? else { return Ok(None) };
        let owner = lease.owner.clone();
        let done = tokio::select! {
            done = work => done,
            () = self.renew_until_lost(&**leases, lease, asked) => {
                tracing::warn!(duty, "a duty was lost: its lease could not be renewed in time");
                return Ok(None);
            }
        };
        if let Err(error) = leases.give_duty_back(duty, &owner).await {
            // It is free once it has stood still for long enough.
            tracing::debug!(duty, %error, "a duty that is done could not be given back");
        }
        Ok(Some(done))
    }

    async fn take(&self, leases: &dyn DutyLeases, duty: &str) -> Result<Option<DutyLease>> {
        let held = leases.duty(duty).await?;
        let expected = held.as_ref().map(|lease| lease.counter);
        if !self.is_free(duty, held) {
            return Ok(None);
        }
        let hold = self.holds.fetch_add(1, Ordering::Relaxed);
        let owner = format!("{:016x}-{hold}", self.node);
        let lease = DutyLease { duty: duty.to_owned(), owner, counter: expected.map_or(1, |counter| counter + 1) };
        Ok(leases.put_duty(&lease, expected).await?.then_some(lease))
    }

    /// Whether nobody holds a duty, or who does has been lost.
    fn is_free(&self, duty: &str, held: Option<DutyLease>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held else {
            seen.remove(duty);
            return true;
        };
        let now = Instant::now();
        match seen.get(duty) {
            Some((lease, since)) if *lease == held => now.duration_since(*since) >= self.times.lost_after,
            _ => {
                seen.insert(duty.to_owned(), (held, now));
                false
            }
        }
    }

    /// Ends when the lease is another's, or may be.
    async fn renew_until_lost(&self, leases: &dyn DutyLeases, mut lease: DutyLease, mut renewed: Instant) {
        loop {
            let lost_at = renewed + self.times.lost_after;
            tokio::time::sleep_until((Instant::now() + self.times.renewal_pause).min(lost_at)).await;
            let asked = Instant::now();
            if asked >= lost_at {
                return;
            }
            let next = DutyLease { counter: lease.counter + 1, ..lease.clone() };
            match tokio::time::timeout_at(lost_at, leases.put_duty(&next, Some(lease.counter))).await {
                Ok(Ok(true)) => (lease, renewed) = (next, asked),
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => tracing::warn!(duty = lease.duty, %error, "a duty's lease could not be renewed yet"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
