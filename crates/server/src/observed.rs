//! Stores and indexes seen from outside: a span and a time for each call, and what became of commits.
//!
//! Around every profile's parts alike. What an adapter knows of itself (units consumed, retries, lags), it counts itself.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::{
    Commit, CommitOutcome, HistoryPage, HistoryRequest, ResourceStore, Result, SearchIndex, SearchPage, SearchRequest, StorageError,
    StoredVersion, View,
};
use metrics::{Counter, Histogram, counter, histogram};
use tracing::Instrument;

/// One method of a port. Its handles are looked up once.
struct Operation {
    /// `part.method`
    name: &'static str,
    seconds: Histogram,
}

impl Operation {
    fn new(name: &'static str) -> Self {
        Self { name, seconds: histogram!("fhirpool_part_seconds", "operation" => name) }
    }

    async fn watch<T>(&self, tenant: &TenantId, call: impl Future<Output = Result<T>>) -> Result<T> {
        let span = tracing::debug_span!(target: "fhirpool::span", "part", otel.name = self.name, tenant = tenant.as_str());
        let started = Instant::now();
        let result = call.instrument(span).await;
        self.seconds.record(started.elapsed().as_secs_f64());
        if let Err(error) = &result {
            // Rare, and only what has happened is shown.
            counter!("fhirpool_part_failures_total", "operation" => self.name, "kind" => kind(error)).increment(1);
        }
        result
    }
}

fn kind(error: &StorageError) -> &'static str {
    match error {
        StorageError::Unavailable(_) => "unavailable",
        StorageError::Overloaded => "overloaded",
        StorageError::TooCostly(_) => "too-costly",
        StorageError::QuotaReached(_) => "quota-reached",
        StorageError::Denied => "denied",
        StorageError::UnknownTenant => "unknown-tenant",
        StorageError::Damaged(_) => "damaged",
        StorageError::Busy => "busy",
    }
}

/// A store that is watched.
pub(crate) struct ObservedStore {
    inner: Arc<dyn ResourceStore>,
    read: Operation,
    view: Operation,
    read_many: Operation,
    read_version: Operation,
    history: Operation,
    commit: Operation,
    committed: Counter,
    precondition_failed: Counter,
    stale: Counter,
    changes: Counter,
}

impl ObservedStore {
    pub(crate) fn new(inner: Arc<dyn ResourceStore>) -> Self {
        let outcome = |outcome: &'static str| counter!("fhirpool_commits_total", "outcome" => outcome);
        Self {
            inner,
            read: Operation::new("store.read"),
            view: Operation::new("store.view"),
            read_many: Operation::new("store.read-many"),
            read_version: Operation::new("store.read-version"),
            history: Operation::new("store.history"),
            commit: Operation::new("store.commit"),
            committed: outcome("committed"),
            precondition_failed: outcome("precondition-failed"),
            stale: outcome("stale"),
            changes: counter!("fhirpool_changes_total"),
        }
    }
}

#[async_trait]
impl ResourceStore for ObservedStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        self.read.watch(access.tenant(), self.inner.read(access, key)).await
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        self.view.watch(access.tenant(), self.inner.view(access)).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        self.read_many.watch(access.tenant(), self.inner.read_many(access, view, keys)).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        self.read_version.watch(access.tenant(), self.inner.read_version(access, key, version)).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        self.history.watch(access.tenant(), self.inner.history(access, request)).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        let outcome = self.commit.watch(access.tenant(), self.inner.commit(access, commit)).await?;
        match &outcome {
            CommitOutcome::Committed { changes, .. } => {
                self.committed.increment(1);
                self.changes.increment(changes.len() as u64);
            }
            CommitOutcome::PreconditionFailed { .. } => self.precondition_failed.increment(1),
            CommitOutcome::Stale => self.stale.increment(1),
        }
        Ok(outcome)
    }
}

/// An index that is watched.
pub(crate) struct ObservedIndex {
    inner: Arc<dyn SearchIndex>,
    search: Operation,
    not_caught_up: Counter,
}

impl ObservedIndex {
    pub(crate) fn new(inner: Arc<dyn SearchIndex>) -> Self {
        Self { inner, search: Operation::new("index.search"), not_caught_up: counter!("fhirpool_searches_not_caught_up_total") }
    }
}

#[async_trait]
impl SearchIndex for ObservedIndex {
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage> {
        let page = self.search.watch(access.tenant(), self.inner.search(access, request)).await?;
        if !page.caught_up {
            self.not_caught_up.increment(1);
        }
        Ok(page)
    }
}
