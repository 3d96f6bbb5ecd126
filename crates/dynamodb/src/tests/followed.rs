//! A store whose log is brought up to date before each history is told from it, as an indexer does it beside a server.

use std::collections::HashMap;

use fhirpool_fhir::VersionId;
use fhirpool_storage::{
    ChangeFeed, ChangeLog, CommitOutcome, FeedChange, FeedPosition, HistoryPage, HistoryRequest, LogEntry, ShardId, StoredVersion, View,
};
use tokio::sync::Mutex;

use super::*;
use crate::testing::NamedKeys;
use crate::{DynamoChangeLog, StreamFeed};

pub(crate) struct Followed {
    store: DynamoStore,
    follower: Mutex<Follower>,
}

/// Takes what the feed tells to the log.
pub(crate) struct Follower {
    pub(crate) feed: StreamFeed,
    pub(crate) log: DynamoChangeLog,
    positions: HashMap<ShardId, FeedPosition>,
}

impl Follower {
    pub(crate) fn new(store: &DynamoStore) -> Self {
        let log = DynamoChangeLog::new(store.client().clone(), Arc::new(NamedKeys));
        Self { feed: StreamFeed::new(store), log, positions: HashMap::new() }
    }

    /// Reads all shards until there is nothing more; gives what was told.
    pub(crate) async fn changes(&mut self) -> Vec<FeedChange> {
        let mut changes = Vec::new();
        for shard in self.feed.shards().await.unwrap() {
            loop {
                let page = self.feed.poll(&shard.id, self.positions.get(&shard.id)).await.unwrap();
                if let Some(next) = page.next {
                    self.positions.insert(shard.id.clone(), next);
                }
                changes.extend(page.records.into_iter().map(|record| record.change));
                if page.caught_up {
                    break;
                }
            }
        }
        changes
    }

    pub(crate) async fn follow(&mut self) {
        for change in self.changes().await {
            let FeedChange::Committed { access, versions, .. } = change else { continue };
            let entries: Vec<LogEntry> = versions.iter().map(|version| log_entry(&version.key, &version.stored)).collect();
            self.log.append(&access, &ShardId("s".into()), &FeedPosition("p".into()), &entries).await.unwrap();
        }
    }
}

pub(crate) fn log_entry(key: &ResourceKey, stored: &StoredVersion) -> LogEntry {
    LogEntry { key: key.clone(), version: stored.version, last_updated: stored.last_updated, method: stored.method }
}

impl Followed {
    pub(crate) fn new(store: DynamoStore) -> Self {
        Self { follower: Mutex::new(Follower::new(&store)), store }
    }
}

#[async_trait]
impl ResourceStore for Followed {
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
        if request.after.is_none() {
            self.follower.lock().await.follow().await;
        }
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        self.store.commit(access, commit).await
    }
}
