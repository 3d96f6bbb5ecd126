//! What cannot be written now: when it is tried again, and what is told of it.

use std::collections::HashSet;
use std::time::Duration;

use fhirpool_authz::TenantId;
use fhirpool_storage::StorageError;
use tokio::time::Instant;

/// Pauses between attempts, each twice as long as the one before, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { next: first.min(max), max }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }
}

/// When a log is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    pub due: Instant,
    pub pauses: Pauses,
}

impl Retry {
    /// The next of the pauses from now on.
    pub(crate) fn after(mut pauses: Pauses) -> Self {
        Self { due: Instant::now() + pauses.next(), pauses }
    }
}

/// Logs that cannot be appended to. However many they are and however often they are tried: a line when it begins, and one when
/// the last of them is appended to again.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
    attempts: u64,
    tenants: HashSet<TenantId>,
}

impl Outage {
    /// An attempt has failed.
    pub(crate) fn note(&mut self, tenant: &TenantId, error: &StorageError) {
        match self.since {
            None => {
                tracing::error!(%tenant, %error, "the audit log cannot be appended to; its records wait, and it is tried again and again");
                self.since = Some(Instant::now());
            }
            Some(_) => tracing::debug!(%tenant, %error, "the audit log cannot be appended to yet"),
        }
        self.attempts += 1;
        self.tenants.insert(tenant.clone());
    }

    /// No log is behind any more.
    pub(crate) fn end(&mut self) {
        let Some(since) = self.since.take() else { return };
        let Self { attempts, tenants, .. } = std::mem::take(self);
        let (tenants, seconds) = (tenants.len(), since.elapsed().as_secs_f64());
        tracing::warn!(attempts, tenants, seconds, "the audit log is appended to again; nothing was lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(4));
        let taken = [(); 7].map(|()| pauses.next().as_millis());
        assert_eq!(taken, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!(Pauses::new(Duration::from_secs(9), Duration::from_secs(1)).next(), Duration::from_secs(1));
    }
}
