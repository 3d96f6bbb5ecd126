//! Asking the index to make findable what was applied, for all shards of a process together and not too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fhirpool_storage::IndexWriter;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::{IndexerSettings, Watermarks};

/// Refreshes on behalf of all shards.
///
/// A refresh is asked for whenever something was applied since the last one began, whether somebody waits in this process or
/// not: those who wait on other nodes could not be told apart from nobody without writing and reading a note for it, which
/// costs more than refreshing. What a refresh costs grows with what it has to do, so while nobody waits here they are kept to
/// a fifth of the time.
pub(crate) struct Refresher {
    writer: Arc<dyn IndexWriter>,
    watermarks: Arc<Watermarks>,
    pause_min: Duration,
    pause_max: Duration,
    applied: AtomicU64,
    wanted: Notify,
    findable: watch::Sender<u64>,
}

impl Refresher {
    pub(crate) fn new(writer: Arc<dyn IndexWriter>, watermarks: Arc<Watermarks>, settings: &IndexerSettings) -> Self {
        let pause_min = Duration::from_millis(settings.refresh_ms_min);
        let pause_max = Duration::from_millis(settings.refresh_ms_max).max(pause_min);
        let findable = watch::Sender::new(0);
        Self { writer, watermarks, pause_min, pause_max, applied: AtomicU64::new(0), wanted: Notify::new(), findable }
    }

    /// Takes note that something was applied; it can be found once [`Refresher::findable`] reaches the number.
    pub(crate) fn applied(&self) -> u64 {
        let number = self.applied.fetch_add(1, Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        number
    }

    /// What can be found.
    pub(crate) fn findable(&self) -> watch::Receiver<u64> {
        self.findable.subscribe()
    }

    /// Refreshes until it is dropped.
    pub(crate) async fn run(&self) {
        let (mut begun, mut took) = (None::<Instant>, Duration::ZERO);
        loop {
            while self.applied.load(Ordering::SeqCst) == *self.findable.borrow() {
                self.wanted.notified().await;
            }
            if let Some(begun) = begun {
                self.pause(begun, took).await;
            }
            let start = Instant::now();
            // What is applied from now on may be missed by this refresh.
            let number = self.applied.load(Ordering::SeqCst);
            match self.writer.refresh().await {
                Ok(()) => {
                    self.findable.send_replace(number);
                    metrics::histogram!("fhirpool_index_refresh_seconds").record(start.elapsed().as_secs_f64());
                }
                Err(error) => {
                    tracing::warn!(%error, "the index was not refreshed");
                    metrics::counter!("fhirpool_index_refresh_failures_total").increment(1);
                }
            }
            (begun, took) = (Some(start), start.elapsed());
        }
    }

    /// Waits for the time of the next refresh, which comes earlier where someone waits.
    async fn pause(&self, begun: Instant, took: Duration) {
        let soon = begun + self.pause_min;
        tokio::time::sleep_until(soon).await;
        let late = begun + (took * 5).clamp(self.pause_min, self.pause_max);
        while self.watermarks.waiting() == 0 && Instant::now() < late {
            tokio::select! {
                () = tokio::time::sleep_until(late) => {}
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }
}
