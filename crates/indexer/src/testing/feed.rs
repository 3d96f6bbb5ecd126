//! A stream: what is committed comes out of one of several shards, later, sometimes twice; shards can be split.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fhirpool_authz::{Principal, ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::memory::MemoryStore;
use fhirpool_storage::{
    ChangeFeed, Commit, CommitOutcome, FeedChange, FeedPage, FeedPosition, FeedRecord, FeedVersion, HistoryPage, HistoryRequest,
    ResourceStore, Result, Shard, ShardId, StoredVersion, View,
};

use super::Faults;
use crate::Clock;

/// What is written can be read from the stream so much later: microseconds.
const DELAY: i64 = 5_000;

pub(crate) struct Stream {
    store: Arc<MemoryStore>,
    clock: Arc<dyn Clock>,
    faults: Arc<Faults>,
    shards: Mutex<Vec<Part>>,
    committing: tokio::sync::Mutex<u64>,
    /// What was swept.
    pub(crate) swept: Mutex<Vec<String>>,
    /// Acknowledged versions and when.
    pub(crate) acknowledged: Mutex<Vec<(ReadAccess, ResourceKey, VersionId, i64)>>,
}

struct Part {
    shard: Shard,
    /// With the time from which each can be read.
    records: Vec<(i64, FeedRecord)>,
}

impl Stream {
    pub(super) fn new(store: Arc<MemoryStore>, clock: Arc<dyn Clock>, faults: Arc<Faults>, shards: usize) -> Arc<Self> {
        let part = |number| Part { shard: Shard { id: ShardId(format!("s{number}")), parent: None, closed: false }, records: Vec::new() };
        let shards = Mutex::new((0..shards).map(part).collect());
        let (swept, acknowledged) = (Mutex::default(), Mutex::default());
        Arc::new(Self { store, clock, faults, shards, committing: tokio::sync::Mutex::new(0), swept, acknowledged })
    }

    /// Closes an open shard and gives it two children.
    pub(crate) fn split(&self, number: usize) {
        let mut shards = self.shards.lock().unwrap();
        let open: Vec<usize> = (0..shards.len()).filter(|index| !shards[*index].shard.closed).collect();
        let parent = &mut shards[open[number % open.len()]].shard;
        parent.closed = true;
        let parent = parent.id.clone();
        for child in ["l", "r"] {
            let shard = Shard { id: ShardId(format!("{}{child}", parent.0)), parent: Some(parent.clone()), closed: false };
            shards.push(Part { shard, records: Vec::new() });
        }
    }

    /// Tells something.
    pub(crate) fn tell(&self, by: impl Hash, change: FeedChange) {
        let mut hasher = DefaultHasher::new();
        by.hash(&mut hasher);
        let mut shards = self.shards.lock().unwrap();
        let open = shards.iter().filter(|part| !part.shard.closed).count();
        let chosen = hasher.finish() as usize % open;
        let part = shards.iter_mut().filter(|part| !part.shard.closed).nth(chosen).unwrap();
        let now = self.clock.now();
        let position = FeedPosition(part.records.len().to_string());
        part.records.push((now + DELAY, FeedRecord { position, written_at: now, change }));
    }

    async fn version(&self, access: &WriteAccess, key: &ResourceKey, version: VersionId) -> FeedVersion {
        let operator = WriteAccess::authorize(&Principal::operator(access.tenant().clone()), access.tenant()).unwrap();
        let stored = self.store.read_version(operator.as_read(), key, version).await.unwrap().unwrap();
        FeedVersion { key: key.clone(), stored }
    }
}

#[async_trait]
impl ChangeFeed for Stream {
    async fn shards(&self) -> Result<Vec<Shard>> {
        self.faults.strike("shards").await?;
        Ok(self.shards.lock().unwrap().iter().map(|part| part.shard.clone()).collect())
    }

    async fn poll(&self, shard: &ShardId, after: Option<&FeedPosition>) -> Result<FeedPage> {
        self.faults.strike("poll").await?;
        let (limit, again) = (1 + self.faults.below(20), self.faults.below(10));
        let shards = self.shards.lock().unwrap();
        let part = shards.iter().find(|part| part.shard.id == *shard).unwrap();
        let from = after.map_or(0, |after| after.0.parse::<usize>().unwrap() + 1);
        let now = self.clock.now();
        let readable = part.records.iter().take_while(|(from, _)| *from <= now).count().max(from);
        let to = readable.min(from + limit);
        let fresh = part.records[from..to].iter().map(|(_, record)| record.clone());
        // Some that came before come again ahead of them.
        let again = if again < 3 && to > from { from.saturating_sub(again)..from } else { 0..0 };
        let records: Vec<FeedRecord> = part.records[again].iter().map(|(_, record)| record.clone()).chain(fresh).collect();
        let next = (to > from).then(|| FeedPosition((to - 1).to_string()));
        let ended = part.shard.closed && to == part.records.len();
        Ok(FeedPage { records, next, caught_up: to == readable, ended })
    }

    async fn sweep(&self, _: &WriteAccess, transaction: &str) -> Result<bool> {
        self.faults.strike("sweep").await?;
        self.swept.lock().unwrap().push(transaction.to_owned());
        Ok(true)
    }

    async fn newest(&self, access: &WriteAccess, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        self.faults.strike("newest").await?;
        let view = self.store.view(access.as_read()).await?;
        self.store.read_many(access.as_read(), &view, keys).await
    }
}

#[async_trait]
impl ResourceStore for Stream {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        self.store.read(access, key).await
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        self.store.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        self.store.read_many(access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        self.store.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        let keys: Vec<ResourceKey> = commit.changes.iter().map(|change| change.key.clone()).collect();
        // One at a time: the shards then have a resource's versions in their order.
        let mut number = self.committing.lock().await;
        *number += 1;
        let outcome = self.store.commit(access, commit).await?;
        let CommitOutcome::Committed { changes, .. } = &outcome else { return Ok(outcome) };
        let mut versions = Vec::new();
        for (key, change) in keys.iter().zip(changes) {
            if let Some(version) = change.version {
                versions.push(self.version(access, key, version).await);
            }
        }
        let made: Vec<(ResourceKey, VersionId)> = versions.iter().map(|version| (version.key.clone(), version.stored.version)).collect();
        let access_of_feed = WriteAccess::authorize(&Principal::operator(access.tenant().clone()), access.tenant()).unwrap();
        match versions.as_slice() {
            [] => {}
            [single] => {
                let by = single.key.clone();
                self.tell(by, FeedChange::Committed { access: access_of_feed, versions, transaction: None });
            }
            _ => {
                let transaction = format!("t{number}");
                let deadline = self.clock.now() + 60_000_000;
                let begun = FeedChange::Begun { access: access_of_feed.clone(), transaction: transaction.clone(), deadline };
                self.tell(&transaction, begun);
                let by = transaction.clone();
                self.tell(by, FeedChange::Committed { access: access_of_feed, versions, transaction: Some(transaction) });
            }
        }
        let now = self.clock.now();
        let mut acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.extend(made.into_iter().map(|(key, version)| (access.as_read().clone(), key, version, now)));
        Ok(outcome)
    }
}
