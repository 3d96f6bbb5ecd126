//! How long a search waits, and for what.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::ReadAccess;
use fhirpool_storage::{Freshness, StorageError, WriteMarks};
use tokio::time::Instant;

use crate::marks::ClientMarks;
use crate::{Clock, FreshnessSettings, Watermarks};

/// What searches and writes of one node share to keep the promise that a search sees its client's writes.
pub struct Recency {
    pub(crate) marks: ClientMarks,
    pub(crate) clock: Arc<dyn Clock>,
    watermarks: Arc<Watermarks>,
    wait: Duration,
    clock_margin: i64,
}

impl Recency {
    /// Of these marks and this watermark.
    pub fn new(marks: Arc<dyn WriteMarks>, watermarks: Arc<Watermarks>, clock: Arc<dyn Clock>, settings: &FreshnessSettings) -> Self {
        Self {
            marks: ClientMarks::new(marks, clock.clone(), settings.mark_ms, settings.clients_max),
            clock,
            watermarks,
            wait: Duration::from_millis(settings.wait_ms_max),
            clock_margin: i64::try_from(settings.clock_margin_ms).unwrap_or(i64::MAX).saturating_mul(1_000),
        }
    }

    /// Waits until the index knows what a request that arrived at a time (microseconds since 1970) must know of; `false` if it
    /// does not in time.
    pub(crate) async fn wait(&self, access: &ReadAccess, freshness: Freshness, arrival: i64) -> bool {
        let begun = Instant::now();
        let target = match freshness {
            Freshness::Eventual => None,
            Freshness::Tenant | Freshness::Exact => Some(arrival),
            Freshness::OwnWrites => match self.marks.wanted(access, arrival).await {
                Ok(target) => target,
                // The store is about to say so.
                Err(StorageError::UnknownTenant) => None,
                Err(error) => {
                    tracing::warn!(%error, "a client's mark cannot be read; waiting as if it had just written");
                    Some(arrival)
                }
            },
        };
        let Some(target) = target.map(|target| target.saturating_add(self.clock_margin)) else {
            metrics::counter!("fhirpool_search_waits_total", "outcome" => "none").increment(1);
            return true;
        };
        if self.watermarks.current() >= target {
            metrics::counter!("fhirpool_search_waits_total", "outcome" => "none").increment(1);
            return true;
        }
        let caught_up = self.watermarks.wait_until(target, begun + self.wait).await;
        let outcome = if caught_up { "caught_up" } else { "late" };
        metrics::counter!("fhirpool_search_waits_total", "outcome" => outcome).increment(1);
        metrics::histogram!("fhirpool_search_wait_seconds").record(begun.elapsed().as_secs_f64());
        caught_up
    }
}
