//! An indexer that follows the stream's shards under leases.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_storage::{ChangeFeed, ChangeLog, DeadLetters, FeedPosition, IndexWriter, Lease, Leases, Result, Shard, ShardId};
use rand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::apply::Applier;
use crate::balance::Observations;
use crate::refresher::Refresher;
use crate::shard::{Activity, End, Follower, Surroundings, micros};
use crate::watermark::register;
use crate::{Clock, Extraction, IndexerSettings, Watermarks};

/// What an indexer works with.
#[derive(Clone)]
pub struct IndexerPorts {
    /// What happens in the store.
    pub feed: Arc<dyn ChangeFeed>,
    /// Who follows what.
    pub leases: Arc<dyn Leases>,
    /// Where changes are logged for histories.
    pub log: Arc<dyn ChangeLog>,
    /// The index.
    pub writer: Arc<dyn IndexWriter>,
    /// Where changes go that cannot be applied.
    pub letters: Arc<dyn DeadLetters>,
    /// Makes index entries.
    pub extraction: Extraction,
    /// The watermark of this process, which those who wait here watch too.
    pub watermarks: Arc<Watermarks>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Follows shards, beside other indexers.
pub struct Indexer {
    around: Arc<Surroundings>,
    observations: Observations,
    shards: Vec<Shard>,
    discovered: Option<Instant>,
    checkpoints: HashMap<ShardId, Option<FeedPosition>>,
    following: HashMap<ShardId, Arc<Follower>>,
    tasks: JoinSet<(ShardId, End)>,
    stop: watch::Sender<bool>,
}

impl Indexer {
    /// Indexes until `shutdown` is there, then frees its leases. Failures of the parts are waited out.
    pub async fn run(ports: IndexerPorts, settings: IndexerSettings, shutdown: impl Future<Output = ()> + Send) {
        let mut indexer = Self::new(ports, settings);
        tokio::select! {
            () = indexer.keep() => {}
            () = shutdown => {}
        }
        indexer.stop().await;
    }

    fn new(ports: IndexerPorts, settings: IndexerSettings) -> Self {
        let IndexerPorts { feed, leases, log, writer, letters, extraction, watermarks, clock } = ports;
        let owner = format!("{:032x}", rand::rng().random::<u128>());
        watermarks.own(&owner);
        let refresher = Arc::new(Refresher::new(writer.clone(), watermarks.clone(), &settings));
        let applier = Applier::new(writer, log, letters, extraction, &settings);
        let observations = Observations::new(Duration::from_millis(settings.lease_ms));
        let activity = Activity::default();
        let around = Arc::new(Surroundings { feed, leases, applier, refresher, watermarks, clock, settings, activity, owner });
        Self {
            around,
            observations,
            shards: Vec::new(),
            discovered: None,
            checkpoints: HashMap::new(),
            following: HashMap::new(),
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Looks at shards and leases from time to time, and when a shard has ended. Never returns.
    async fn keep(&mut self) {
        let refresher = self.around.refresher.clone();
        let refreshing = refresher.run();
        let looking = async {
            let tick_ms = (self.around.settings.lease_ms / 4).max(10);
            loop {
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "shards and leases cannot be looked at; trying again");
                }
                let tick = Duration::from_millis(tick_ms).mul_f64(rand::rng().random_range(0.7..1.0));
                tokio::select! {
                    () = tokio::time::sleep(tick) => {}
                    Some(ended) = self.tasks.join_next() => self.forget(ended),
                }
            }
        };
        tokio::select! {
            () = refreshing => {}
            () = looking => {}
        }
    }

    fn forget(&mut self, ended: std::result::Result<(ShardId, End), tokio::task::JoinError>) {
        match ended {
            Ok((shard, end)) => {
                tracing::info!(shard = %shard.0, ?end, "no longer following a shard");
                self.following.remove(&shard);
                if end == End::Ended {
                    self.discovered = None;
                }
            }
            Err(error) => {
                // The task panicked: its lease runs out and is taken over, by this indexer or another.
                tracing::error!(%error, "following a shard has failed");
                metrics::counter!("fhirpool_indexer_panics_total").increment(1);
                self.following.retain(|_, follower| Arc::strong_count(follower) > 1);
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let settings = &self.around.settings;
        let mut leases = self.around.leases.list().await?;
        let is_due = self.discovered.is_none_or(|at| at.elapsed() >= Duration::from_millis(settings.discover_ms));
        if is_due {
            self.shards = self.around.feed.shards().await?;
            if self.register(&leases).await? {
                leases = self.around.leases.list().await?;
            }
            self.discovered = Some(Instant::now());
        }
        let now = Instant::now();
        self.observations.observe(&leases, now);
        self.around.watermarks.observe(&leases);
        self.notice_activity(&leases);
        for lease in self.observations.choose(&leases, &self.shards, &self.around.owner, now).take {
            self.take(lease).await?;
        }
        self.tell(&leases);
        Ok(())
    }

    /// Gives leases to shards that nobody else will give them to, and forgets those of shards that are gone. `true`: some changed.
    async fn register(&self, leases: &[Lease]) -> Result<bool> {
        let find = |shard: &ShardId| leases.iter().find(|lease| lease.shard == *shard);
        let is_listed = |shard: &ShardId| self.shards.iter().any(|listed| listed.id == *shard);
        let mut changed = false;
        for shard in self.shards.iter().filter(|shard| find(&shard.id).is_none()) {
            // A child's lease is given by whoever finishes its parent.
            let parent = shard.parent.as_ref().filter(|parent| is_listed(parent));
            if parent.is_some_and(|parent| !find(parent).is_some_and(|lease| lease.ended)) {
                continue;
            }
            let lease = empty_lease(shard.id.clone());
            changed |= self.around.leases.put(&lease, None).await?;
        }
        if find(&register()).is_none() && !self.shards.is_empty() {
            changed |= self.around.leases.put(&Lease { ended: true, ..empty_lease(register()) }, None).await?;
        }
        let gone = leases.iter().filter(|lease| lease.shard != register() && !is_listed(&lease.shard) && !self.shards.is_empty());
        for lease in gone {
            if !lease.ended {
                tracing::error!(shard = %lease.shard.0, "the stream has dropped a shard that was not read to its end: rebuild the index");
                metrics::counter!("fhirpool_stream_gaps_total").increment(1);
            }
            self.around.leases.remove(&lease.shard).await?;
            changed = true;
        }
        Ok(changed)
    }

    /// Other indexers' progress shows that something is written.
    fn notice_activity(&mut self, leases: &[Lease]) {
        let checkpoints: HashMap<ShardId, Option<FeedPosition>> =
            leases.iter().map(|lease| (lease.shard.clone(), lease.checkpoint.clone())).collect();
        let moved = checkpoints.iter().any(|(shard, checkpoint)| self.checkpoints.get(shard).is_some_and(|before| before != checkpoint));
        if moved {
            self.around.activity.note(self.around.clock.now());
        }
        self.checkpoints = checkpoints;
    }

    async fn take(&mut self, seen: Lease) -> Result<()> {
        if self.following.contains_key(&seen.shard) {
            return Ok(());
        }
        let lease = Lease { owner: self.around.owner.clone(), counter: seen.counter + 1, ..seen.clone() };
        if !self.around.leases.put(&lease, Some(seen.counter)).await? {
            return Ok(());
        }
        tracing::info!(shard = %lease.shard.0, from = %seen.owner, "following a shard");
        metrics::counter!("fhirpool_leases_taken_total").increment(1);
        let (shard, stop) = (lease.shard.clone(), self.stop.subscribe());
        let follower = Arc::new(Follower::new(self.around.clone(), lease));
        self.following.insert(shard.clone(), follower.clone());
        self.tasks.spawn(async move { (shard, follower.run(stop).await) });
        Ok(())
    }

    fn tell(&self, leases: &[Lease]) {
        let now = self.around.clock.now();
        let lag = self.following.values().map(|follower| follower.lag(now)).max().unwrap_or(0);
        metrics::gauge!("fhirpool_index_lag_seconds").set(lag.min(micros(86_400_000)) as f64 / 1e6);
        metrics::gauge!("fhirpool_shards_followed").set(self.following.len() as f64);
        metrics::gauge!("fhirpool_shards_open").set(leases.iter().filter(|lease| !lease.ended).count() as f64);
        metrics::gauge!("fhirpool_pending_sweeps").set(self.following.values().map(|follower| follower.sweeps()).sum::<usize>() as f64);
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(2), all_ended).await.is_err() {
            self.tasks.abort_all();
        }
    }
}

fn empty_lease(shard: ShardId) -> Lease {
    Lease { shard, owner: String::new(), counter: 0, checkpoint: None, applied_until: 0, ended: false, sweeps: Vec::new() }
}
