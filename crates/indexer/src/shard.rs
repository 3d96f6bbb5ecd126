//! Following one shard under a lease.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fhirpool_authz::{Principal, WriteAccess};
use fhirpool_storage::{ChangeFeed, FeedPage, FeedPosition, FeedRecord, Lease, Leases, PendingSweep, Result, ShardId};
use futures_util::stream::{self, StreamExt};
use rand::Rng;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::apply::Applier;
use crate::progress::Progress;
use crate::refresher::Refresher;
use crate::{Clock, IndexerSettings, Watermarks};

/// What the shards of an indexer share.
pub(crate) struct Surroundings {
    pub(crate) feed: Arc<dyn ChangeFeed>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) applier: Applier,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: IndexerSettings,
    pub(crate) activity: Activity,
    /// This indexer.
    pub(crate) owner: String,
}

/// When something was last written anywhere, as far as this indexer knows.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicI64);

impl Activity {
    pub(crate) fn note(&self, now: i64) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }

    fn is_recent(&self, now: i64, span_ms: u64) -> bool {
        now.saturating_sub(self.0.load(Ordering::Relaxed)) < micros(span_ms)
    }
}

/// Milliseconds as microseconds.
pub(crate) fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// Why following a shard came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was read to its end, and its children have leases.
    Ended,
    /// Another indexer holds it now.
    Lost,
    /// The indexer was told to stop; the lease is free.
    Stopped,
}

/// A shard that is followed.
pub(crate) struct Follower {
    around: Arc<Surroundings>,
    shard: ShardId,
    progress: Mutex<Progress>,
    lease: tokio::sync::Mutex<Lease>,
    advanced: Notify,
}

/// The first pause behind a failure, and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// At most so many transactions are swept beside each other.
const SWEEPS_AT_ONCE: usize = 8;
/// A lease is put at most so often for one change of it.
const PUTS_MAX: usize = 3;
const SWEEP_TICK: Duration = Duration::from_millis(500);

impl Follower {
    /// Of a lease that was just taken.
    pub(crate) fn new(around: Arc<Surroundings>, lease: Lease) -> Self {
        let progress = Mutex::new(Progress::of(&lease));
        Self { around, shard: lease.shard.clone(), progress, lease: tokio::sync::Mutex::new(lease), advanced: Notify::new() }
    }

    /// Follows the shard until it ends, the lease is lost or the indexer stops.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>) -> End {
        tokio::select! {
            () = self.follow() => {}
            () = self.publish() => return End::Lost,
            () = self.sweep() => {}
            () = stopped(&mut stop) => return self.release().await,
        }
        // Read to its end: nothing is left but to hand over, while the lease is still kept.
        tokio::select! {
            () = self.hand_over() => End::Ended,
            () = self.publish() => End::Lost,
            () = stopped(&mut stop) => self.release().await,
        }
    }

    /// Reads and applies, page by page, until the shard has ended.
    async fn follow(&self) {
        let settings = &self.around.settings;
        let mut pause_ms = settings.poll_ms_min;
        let mut fetched = None;
        loop {
            let (begun, page) = match fetched.take() {
                Some(fetched) => fetched,
                None => {
                    let position = self.progress().position().cloned();
                    self.poll(position).await
                }
            };
            let position = page.next.clone().or_else(|| page.records.last().map(|record| record.position.clone()));
            let is_empty = page.records.is_empty();
            let (caught_up, ended) = (page.caught_up, page.ended);
            self.tell_age(&page, begun);
            let until = self.claimed(&page, begun);
            if is_empty {
                self.progress().advance(position, None, until, 0);
            } else {
                self.around.activity.note(begun);
                let oldest = page.records.iter().map(|record| record.written_at).find(|written_at| *written_at > 0).unwrap_or(0);
                let last = position.clone().unwrap_or_else(|| FeedPosition(String::new()));
                self.progress().note(&page.records);
                // What comes next is read while this is applied, where more is known to come.
                let next = async {
                    match caught_up || ended {
                        true => None,
                        false => Some(self.poll(position.clone()).await),
                    }
                };
                let (indexed, next) = tokio::join!(self.apply(&last, page.records), next);
                fetched = next;
                let number = (indexed > 0).then(|| self.around.refresher.applied());
                self.progress().advance(position, number, until, oldest);
            }
            self.advanced.notify_one();
            if ended {
                return;
            }
            if !is_empty || !caught_up {
                pause_ms = settings.poll_ms_min;
            }
            if caught_up && fetched.is_none() {
                self.idle(&mut pause_ms, is_empty).await;
            }
        }
    }

    /// A pause between polls that gave nothing. Who waits for the watermark ends it.
    async fn idle(&self, pause_ms: &mut u64, is_empty: bool) {
        let settings = &self.around.settings;
        tokio::time::sleep(Duration::from_millis(settings.poll_ms_min)).await;
        if !is_empty || self.around.watermarks.waiting() > 0 {
            return;
        }
        let rest = pause_ms.saturating_sub(settings.poll_ms_min);
        *pause_ms = (*pause_ms * 2).clamp(1, settings.poll_ms_max.max(1));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(rest)) => {}
            () = self.around.watermarks.wanted() => {}
        }
    }

    /// The next page, and when it was asked for. What fails is asked for again.
    async fn poll(&self, position: Option<FeedPosition>) -> (i64, FeedPage) {
        let mut retry = Retry::new();
        loop {
            let begun = self.around.clock.now();
            match self.around.feed.poll(&self.shard, position.as_ref()).await {
                Ok(page) => return (begun, page),
                Err(error) => retry.pause("the stream cannot be read", &error).await,
            }
        }
    }

    /// Before which time everything was read with this page. The end of a shard claims nothing by itself: what came later is in
    /// its children.
    fn claimed(&self, page: &FeedPage, begun: i64) -> i64 {
        let margin = micros(self.around.settings.stream_margin_ms);
        if page.caught_up && !page.ended {
            return begun.saturating_sub(margin);
        }
        let last = page.records.iter().map(|record| record.written_at).rev().find(|written_at| *written_at > 0);
        // A writer's clock that is ahead must not carry the claim into the future.
        last.map_or(i64::MIN, |last| last.min(begun).saturating_sub(margin))
    }

    /// Applies records, again and again while that fails: the shard waits.
    async fn apply(&self, last: &FeedPosition, records: Vec<FeedRecord>) -> usize {
        let mut retry = Retry::new();
        loop {
            match self.around.applier.apply(&self.shard, last, records.clone()).await {
                Ok(indexed) => return indexed,
                Err(error) => {
                    metrics::counter!("fhirpool_index_failures_total").increment(1);
                    retry.pause("changes cannot be applied", &error).await;
                }
            }
        }
    }

    /// Tells how far the shard was followed: those who wait in this process at once, all others by the lease. Returns when the
    /// lease is lost.
    async fn publish(&self) {
        let settings = &self.around.settings;
        let mut findable = self.around.refresher.findable();
        let mut told = (Instant::now(), self.progress().applied_until());
        let mut due = told.0 + Duration::from_millis(settings.renew_ms);
        loop {
            tokio::select! {
                _ = findable.changed() => {}
                () = self.advanced.notified() => {}
                () = tokio::time::sleep_until(due) => {}
            }
            let now = self.around.clock.now();
            let applied_until = self.settle(*findable.borrow_and_update(), now);
            let pause_ms = match self.around.activity.is_recent(now, settings.activity_ms) && applied_until > told.1 {
                true => settings.publish_ms,
                false => settings.renew_ms,
            };
            due = told.0 + Duration::from_millis(pause_ms);
            if Instant::now() < due {
                continue;
            }
            match self.renew(|_| {}).await {
                Ok(true) => told = (Instant::now(), applied_until),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "a lease cannot be renewed");
                    told.0 = Instant::now();
                }
            }
            due = told.0 + Duration::from_millis(settings.renew_ms);
        }
    }

    fn settle(&self, findable: u64, now: i64) -> i64 {
        let mut progress = self.progress();
        for oldest in progress.settle(findable) {
            metrics::histogram!("fhirpool_index_delay_seconds").record(now.saturating_sub(oldest).max(0) as f64 / 1e6);
        }
        let applied_until = progress.applied_until();
        drop(progress);
        self.around.watermarks.claim(&self.shard, applied_until);
        applied_until
    }

    /// Puts the lease as it stands now, with a change. `false`: another indexer has it.
    async fn renew(&self, change: impl FnOnce(&mut Lease)) -> Result<bool> {
        let mut lease = self.lease.lock().await;
        let mut next = lease.clone();
        {
            let progress = self.progress();
            (next.checkpoint, next.sweeps) = progress.checkpoint();
            next.applied_until = progress.applied_until();
        }
        change(&mut next);
        for _ in 0..PUTS_MAX {
            next.counter = lease.counter + 1;
            if self.around.leases.put(&next, Some(lease.counter)).await? {
                *lease = next;
                return Ok(true);
            }
            // An earlier put whose answer was lost may have been done all the same.
            let leases = self.around.leases.list().await?;
            match leases.into_iter().find(|found| found.shard == self.shard && found.owner == self.around.owner) {
                Some(found) => lease.counter = found.counter,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Sweeps transactions whose deadline has passed. Never returns.
    async fn sweep(&self) {
        let grace = micros(self.around.settings.sweep_grace_ms);
        loop {
            tokio::time::sleep(SWEEP_TICK).await;
            let due = self.progress().due(self.around.clock.now(), grace, 64);
            self.sweep_all(due).await;
        }
    }

    async fn sweep_all(&self, due: Vec<PendingSweep>) {
        let sweeps: Vec<_> = due.into_iter().map(|sweep| self.sweep_one(sweep)).collect();
        stream::iter(sweeps).buffer_unordered(SWEEPS_AT_ONCE).collect::<()>().await;
    }

    async fn sweep_one(&self, sweep: PendingSweep) {
        let Ok(access) = WriteAccess::authorize(&Principal::operator(sweep.tenant.clone()), &sweep.tenant) else { return };
        match self.around.feed.sweep(&access, &sweep.transaction).await {
            Ok(true) => {
                self.progress().swept(&sweep.transaction);
                metrics::counter!("fhirpool_swept_transactions_total").increment(1);
            }
            Ok(false) => {}
            Err(fhirpool_storage::StorageError::UnknownTenant) => self.progress().swept(&sweep.transaction),
            Err(error) => tracing::warn!(%error, transaction = %sweep.transaction, "a transaction was not swept; it is tried again"),
        }
    }

    /// Gives the children of an ended shard their leases, and only then says that it has ended.
    async fn hand_over(&self) {
        let mut retry = Retry::new();
        loop {
            match self.try_hand_over().await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(RETRY_PAUSES.0).await,
                Err(error) => retry.pause("an ended shard cannot be handed over", &error).await,
            }
        }
    }

    /// `false`: it is not yet time.
    async fn try_hand_over(&self) -> Result<bool> {
        let is_portable = {
            let progress = self.progress();
            progress.is_settled() && progress.is_portable()
        };
        if !is_portable {
            self.sweep_now().await;
            return Ok(false);
        }
        let children = self.around.feed.shards().await?.into_iter().filter(|shard| shard.parent.as_ref() == Some(&self.shard));
        let children: Vec<ShardId> = children.map(|shard| shard.id).collect();
        if children.is_empty() {
            // A stream that goes on has them soon; one that does not must not be taken for one in which nothing happens.
            tokio::time::sleep(Duration::from_millis(self.around.settings.poll_ms_max)).await;
            return Ok(false);
        }
        let (applied_until, (_, mut sweeps)) = {
            let progress = self.progress();
            (progress.applied_until(), progress.checkpoint())
        };
        for shard in children {
            // The first child inherits what is still to be swept.
            let sweeps = std::mem::take(&mut sweeps);
            let lease = Lease { shard, owner: String::new(), counter: 0, checkpoint: None, applied_until, ended: false, sweeps };
            self.around.leases.put(&lease, None).await?;
        }
        let ended = self.renew(|lease| {
            lease.ended = true;
            lease.owner.clear();
            lease.sweeps.clear();
        });
        ended.await
    }

    async fn sweep_now(&self) {
        let due = self.progress().due(self.around.clock.now(), micros(self.around.settings.sweep_grace_ms), 64);
        self.sweep_all(due).await;
    }

    /// Leaves the lease to whoever comes first.
    async fn release(&self) -> End {
        let released = tokio::time::timeout(Duration::from_secs(1), self.renew(|lease| lease.owner.clear())).await;
        if !matches!(released, Ok(Ok(_))) {
            tracing::info!(shard = %self.shard.0, "a lease was not released; it will be taken over");
        }
        End::Stopped
    }

    fn tell_age(&self, page: &FeedPage, begun: i64) {
        let last = page.records.iter().map(|record| record.written_at).rev().find(|written_at| *written_at > 0);
        let age = match last {
            Some(written_at) if !page.caught_up => begun.saturating_sub(written_at).max(0),
            _ => 0,
        };
        metrics::gauge!("fhirpool_stream_age_seconds").set(age as f64 / 1e6);
    }

    /// How long ago that was up to which everything is applied and findable.
    pub(crate) fn lag(&self, now: i64) -> i64 {
        now.saturating_sub(self.progress().applied_until()).max(0)
    }

    /// How many transactions are looked after.
    pub(crate) fn sweeps(&self) -> usize {
        self.progress().sweeps()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the indexer is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let told = stop.wait_for(|stop| *stop).await;
    drop(told);
}

/// Pauses that grow while something keeps failing.
struct Retry {
    next: Duration,
}

impl Retry {
    fn new() -> Self {
        Self { next: RETRY_PAUSES.0 }
    }

    async fn pause(&mut self, what: &'static str, error: &fhirpool_storage::StorageError) {
        tracing::warn!(%error, pause_ms = self.next.as_millis(), "{what}; trying again");
        let share = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(self.next.mul_f64(share)).await;
        self.next = (self.next * 2).min(RETRY_PAUSES.1);
    }
}
