//! Up to when the index knows everything.
//!
//! Each shard has a claim: everything written to it before a time is applied and findable. The watermark is the least claim of
//! all open shards. Which shards there are and what other indexers claim stands in the leases; a set of leases that was read a
//! while ago gives a lower watermark, never one that is too high: a shard that ended since holds its claim at its end, and
//! whoever finishes it puts its children's leases, with that claim, before its own says that it ended.
//!
//! Before all shards of the beginning have leases there is no watermark; the lease [`register`] says that they have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fhirpool_storage::{Lease, Leases, Result, ShardId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The lease of no shard: its presence says that every shard has a lease, or will have one before its parent's says that it ended.
pub(crate) fn register() -> ShardId {
    ShardId("register".into())
}

/// The watermark, for all who wait for it in this process.
pub struct Watermarks {
    leases: Arc<dyn Leases>,
    read_pause: Duration,
    state: Mutex<State>,
    value: watch::Sender<i64>,
    waiting: AtomicUsize,
    /// Woken when someone begins to wait.
    wanted: Notify,
    reader: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Of the open shards; `None`: there is no register yet.
    open: Option<HashMap<ShardId, Row>>,
    /// What indexers of this process claim, which may be ahead of the leases.
    own: HashMap<ShardId, i64>,
    /// The indexer of this process.
    owner: Option<String>,
    read_at: Option<Instant>,
}

struct Row {
    owner: String,
    applied_until: i64,
}

/// Leases this old are read again by who waits, though all shards are followed in this process.
const OWN_READ_PAUSE: Duration = Duration::from_secs(1);

impl Watermarks {
    /// Reads these leases, at most so often, while someone waits.
    pub fn new(leases: Arc<dyn Leases>, read_ms: u64) -> Self {
        Self {
            leases,
            read_pause: Duration::from_millis(read_ms),
            state: Mutex::default(),
            value: watch::Sender::new(i64::MIN),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
            reader: tokio::sync::Mutex::default(),
        }
    }

    /// The watermark as far as it is known here: microseconds since 1970.
    pub fn current(&self) -> i64 {
        *self.value.borrow()
    }

    /// Waits until the watermark has reached a time; `false` if it has not by the deadline.
    pub async fn wait_until(&self, target: i64, deadline: Instant) -> bool {
        if self.current() >= target {
            return true;
        }
        let mut value = self.value.subscribe();
        let _waiting = Waiting::new(self);
        loop {
            // One read may outlast several changes: it is not begun anew with each.
            let mut read = std::pin::pin!(self.read());
            loop {
                if *value.borrow_and_update() >= target {
                    return true;
                }
                tokio::select! {
                    changed = value.changed() => if changed.is_err() { return false },
                    () = tokio::time::sleep_until(deadline) => return self.current() >= target,
                    () = &mut read => break,
                }
            }
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns when someone begins to wait, or at once where someone has begun since the last call.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Says who indexes in this process.
    pub(crate) fn own(&self, owner: &str) {
        self.state().owner = Some(owner.to_owned());
    }

    /// Takes the claim of a shard that is followed in this process.
    pub(crate) fn claim(&self, shard: &ShardId, until: i64) {
        let mut state = self.state();
        let known = state.own.entry(shard.clone()).or_insert(until);
        *known = until.max(*known);
        self.tell(&state);
    }

    /// Takes all leases, just read.
    pub(crate) fn observe(&self, leases: &[Lease]) {
        let mut state = self.state();
        state.read_at = Some(Instant::now());
        let registered = leases.iter().any(|lease| lease.shard == register());
        let open = leases.iter().filter(|lease| !lease.ended && lease.shard != register());
        let open: HashMap<ShardId, Row> =
            open.map(|lease| (lease.shard.clone(), Row { owner: lease.owner.clone(), applied_until: lease.applied_until })).collect();
        state.own.retain(|shard, _| open.contains_key(shard));
        state.open = registered.then_some(open);
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        let claim = |(shard, row): (&ShardId, &Row)| state.own.get(shard).map_or(row.applied_until, |own| row.applied_until.max(*own));
        // What was once applied stays so: the watermark never falls.
        let Some(least) = state.open.iter().flatten().map(claim).min() else { return };
        self.value.send_if_modified(|value| {
            let grows = least > *value;
            *value = least.max(*value);
            grows
        });
    }

    /// Reads the leases when their time has come, one reader for all who wait. The others wait for it until they are dropped.
    async fn read(&self) {
        let _reader = self.reader.lock().await;
        tokio::time::sleep_until(self.next_read()).await;
        match self.leases.list().await {
            Ok(leases) => self.observe(&leases),
            Err(error) => {
                tracing::warn!(%error, "the leases cannot be read");
                self.state().read_at = Some(Instant::now());
            }
        }
    }

    fn next_read(&self) -> Instant {
        let state = self.state();
        let Some(read_at) = state.read_at else { return Instant::now() };
        let all_own = state.open.as_ref().is_some_and(|open| {
            let own = |(shard, row): (&ShardId, &Row)| Some(&row.owner) == state.owner.as_ref() && state.own.contains_key(shard);
            open.iter().all(own)
        });
        read_at + if all_own { OWN_READ_PAUSE } else { self.read_pause }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts who waits.
struct Waiting<'a>(&'a Watermarks);

impl<'a> Waiting<'a> {
    fn new(watermarks: &'a Watermarks) -> Self {
        watermarks.waiting.fetch_add(1, Ordering::Relaxed);
        watermarks.wanted.notify_one();
        watermarks.wanted.notify_waiters();
        Self(watermarks)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads the leases once, for those who only look.
pub async fn read_watermark(leases: &dyn Leases) -> Result<Option<i64>> {
    let leases = leases.list().await?;
    if !leases.iter().any(|lease| lease.shard == register()) {
        return Ok(None);
    }
    Ok(leases.iter().filter(|lease| !lease.ended).map(|lease| lease.applied_until).min())
}
