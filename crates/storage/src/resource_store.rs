//! The port of resources and their versions.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceBody, ResourceKey, ResourceType, Timestamp, VersionId};

use crate::{Commit, CommitOutcome, Method, Result};

/// A committed version of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// From 1, without gaps.
    pub version: VersionId,
    /// When it was committed; grows with each version.
    pub last_updated: Timestamp,
    /// What made it.
    pub method: Method,
    /// The resource, or that it was deleted.
    pub content: Content,
}

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The resource.
    Resource(ResourceBody),
    /// Nothing: the resource was deleted.
    Deleted,
}

/// A consistent picture: everything committed up to one moment and nothing later.
#[derive(Clone)]
pub struct View {
    /// Grows with every commit; what [`crate::Assumption`] names.
    pub sequence: u64,
    /// The store's own.
    pub handle: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// Whose history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryScope {
    /// One resource's.
    Instance(ResourceKey),
    /// All of a type.
    Type(ResourceType),
    /// All of the tenant.
    Tenant,
}

/// A page of history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Whose.
    pub scope: HistoryScope,
    /// Only versions committed at or after this.
    pub since: Option<Timestamp>,
    /// Only versions that were current at some time in this span (both ends included).
    pub at: Option<(Timestamp, Timestamp)>,
    /// Only what comes behind this in the order.
    pub after: Option<HistoryPosition>,
    /// At most so many.
    pub limit: usize,
}

/// A place in a history; opaque to all but the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPosition(pub Vec<u8>);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The resource.
    pub key: ResourceKey,
    /// The version.
    pub version: StoredVersion,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// Newest first.
    pub entries: Vec<HistoryEntry>,
    /// Where the next page continues; `None` at the end.
    pub next: Option<HistoryPosition>,
    /// How many there are in all, where the store knows at no cost.
    pub total: Option<u64>,
}

/// Resources and their versions.
///
/// Contract: what a commit acknowledged is on stable storage. No method shows a part of a commit, or one that may still
/// fail. Versions of a resource run from 1 without gaps. Every method refuses what its access does not cover.
///
/// Who has leave to write writes:
/// ```
/// # use fhirpool_authz::WriteAccess;
/// # use fhirpool_storage::{Commit, ResourceStore};
/// async fn write(store: &dyn ResourceStore, access: &WriteAccess, commit: Commit) {
///     let _ = store.commit(access, commit).await;
/// }
/// ```
/// Leave to read is none to write:
/// ```compile_fail,E0308
/// # use fhirpool_authz::ReadAccess;
/// # use fhirpool_storage::{Commit, ResourceStore};
/// async fn write(store: &dyn ResourceStore, access: &ReadAccess, commit: Commit) {
///     let _ = store.commit(access, commit).await;
/// }
/// ```
/// And a tenant's name is none to read:
/// ```compile_fail,E0308
/// # use fhirpool_authz::TenantId;
/// # use fhirpool_fhir::ResourceKey;
/// # use fhirpool_storage::ResourceStore;
/// async fn read(store: &dyn ResourceStore, tenant: &TenantId, key: &ResourceKey) {
///     let _ = store.read(tenant, key).await;
/// }
/// ```
#[async_trait]
pub trait ResourceStore: Send + Sync {
    /// The newest version of a resource; `None` if there never was one.
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>>;

    /// The picture as of now.
    async fn view(&self, access: &ReadAccess) -> Result<View>;

    /// The newest versions in a view, in the order of the keys.
    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>>;

    /// A certain version; `None` if there is none.
    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>>;

    /// A page of history.
    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage>;

    /// Makes all changes or none.
    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome>;
}
