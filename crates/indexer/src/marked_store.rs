//! A store that notes which clients have written.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::{
    Commit, CommitOutcome, Freshness, HistoryPage, HistoryRequest, HistoryScope, ResourceStore, Result, StoredVersion, View,
};

use crate::marks::Cover;
use crate::{Recency, seen};

/// Marks a client's writes before they are acknowledged, and lets histories of types and tenants, which are told from the
/// change log, wait for them. Where such a history does not get there in time it is told as it is: a history has no place to
/// say that it may lack something.
pub struct MarkedStore {
    store: Arc<dyn ResourceStore>,
    recency: Arc<Recency>,
}

impl MarkedStore {
    /// Marks what is written to this store.
    pub fn new(store: Arc<dyn ResourceStore>, recency: Arc<Recency>) -> Self {
        Self { store, recency }
    }

    /// Commits under a mark that reaches beyond its beginning.
    async fn commit_marked(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        let marks = &self.recency.marks;
        match marks.cover(access) {
            Cover::Long => self.store.commit(access, commit).await,
            Cover::Short => {
                let (renewed, outcome) = tokio::join!(marks.renew(access), self.store.commit(access, commit));
                // Not fatal by itself: the mark is looked at again before the commit is acknowledged.
                if let Err(error) = renewed {
                    tracing::warn!(%error, "a client's mark was not renewed");
                }
                outcome
            }
            Cover::None => {
                // Ahead of the commit: where it fails, nothing has been written.
                marks.renew(access).await?;
                self.store.commit(access, commit).await
            }
        }
    }
}

#[async_trait]
impl ResourceStore for MarkedStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        self.store.read(access, key).await
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        self.store.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        seen::read_many(&*self.store, access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        self.store.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        let is_first_page = request.after.is_none();
        if is_first_page && matches!(request.scope, HistoryScope::Type(_) | HistoryScope::Tenant) {
            self.recency.wait(access, Freshness::OwnWrites, self.recency.clock.now()).await;
        }
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        let outcome = self.commit_marked(access, commit).await?;
        // A commit may have outlasted its mark, which must reach beyond it before the client hears of it.
        if matches!(outcome, CommitOutcome::Committed { .. }) && self.recency.marks.cover(access) == Cover::None {
            self.recency.marks.renew(access).await?;
        }
        Ok(outcome)
    }
}
