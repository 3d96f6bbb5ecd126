//! How much tenants may store: a store that refuses what would be more.
//!
//! Resources are counted by the index, which tells on the profile embedded what is there, and on the profile aws what was there
//! when it last caught up; what this node itself has made since, or is making, is added. So on one node the limit is exact, and
//! several may overshoot it by what they make while the index catches up. What is made while the index is asked may count twice
//! until it is asked again, half a second later where little room is left. Deletes pass, and so do updates of what is there.
//!
//! Bytes are those of the JSON that commits bring, every version's. A node adds what it has committed to a sum that all nodes see,
//! once a second and only while there is something to add: so others know it a second late, and a node that is killed takes what it
//! has not added yet with it. Counting begins when a tenant is first given a limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fhirpool_authz::{CurrentQuotas, Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, ResourceType, VersionId};
use fhirpool_search::TypeSearch;
use fhirpool_storage::{
    Change, ChangeContent, Commit, CommitOutcome, Content, Freshness, HistoryPage, HistoryRequest, ResourceStore, Result, SearchIndex,
    SearchRequest, StorageError, StoredBytes, StoredVersion, TotalMode, View,
};
use tracing::Instrument;

/// A count is taken for true for so long where much room is left.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// And where nine tenths are used up.
const STALE_AFTER_NEAR: Duration = Duration::from_millis(500);

/// A store that keeps tenants to what they may store.
pub(crate) struct LimitedStore {
    inner: Arc<dyn ResourceStore>,
    index: Arc<dyn SearchIndex>,
    quotas: Arc<CurrentQuotas>,
    counted: Arc<Counts>,
    bytes: Arc<Bytes>,
    every_type: Arc<[TypeSearch]>,
}

#[derive(Debug, Clone, Default)]
struct Counted {
    resources: u64,
    /// What this node has made in all.
    made: u64,
    /// When the index was last asked.
    at: Option<Instant>,
    /// What commits that have not ended may make.
    under_way: Arc<AtomicU64>,
}

/// Resources that tenants have stored.
#[derive(Default)]
struct Counts(Mutex<HashMap<TenantId, Counted>>);

/// Bytes that tenants have stored.
struct Bytes {
    sums: Arc<dyn StoredBytes>,
    known: Mutex<HashMap<TenantId, KnownBytes>>,
}

#[derive(Debug, Clone, Default)]
struct KnownBytes {
    /// The sum as all nodes see it, when this one last looked.
    sum: u64,
    /// What this node has committed and not added yet.
    more: u64,
    /// What commits that have not ended bring.
    under_way: Arc<AtomicU64>,
}

/// Room that a commit takes until it ends. Only under the lock of its count does it grow.
struct UnderWay {
    all: Arc<AtomicU64>,
    amount: u64,
}

impl UnderWay {
    /// Takes room beside what is there, if there is so much.
    fn take(all: &Arc<AtomicU64>, there: u64, amount: u64, most: u64) -> Option<Self> {
        if there.saturating_add(all.load(Ordering::Acquire)).saturating_add(amount) > most {
            return None;
        }
        all.fetch_add(amount, Ordering::AcqRel);
        Some(Self { all: Arc::clone(all), amount })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

/// What was committed is added after this.
const ADD_AFTER: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(1) };

impl Bytes {
    /// Takes room for bytes, or refuses them.
    async fn take(&self, tenant: &TenantId, bytes: u64, most: u64) -> Result<UnderWay> {
        let is_known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(tenant);
        if !is_known {
            self.add(tenant).await?;
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(tenant.clone()).or_default();
        let there = known.sum.saturating_add(known.more);
        UnderWay::take(&known.under_way, there, bytes, most).ok_or(StorageError::QuotaReached("bytes"))
    }

    /// Notes what was committed, and sees to it that it is added.
    fn note(self: &Arc<Self>, tenant: &TenantId, bytes: u64) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(tenant.clone()).or_default();
        let is_first = known.more == 0;
        known.more = known.more.saturating_add(bytes);
        if is_first && bytes > 0 {
            let (bytes, tenant) = (Arc::clone(self), tenant.clone());
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(ADD_AFTER).await;
                    match bytes.add(&tenant).await {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(StorageError::UnknownTenant) => {
                            // It was deleted, and its sum with it.
                            bytes.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
                            return;
                        }
                        Err(error) => tracing::warn!(%tenant, %error, "stored bytes cannot be added to their sum yet"),
                    }
                }
            });
        }
    }

    /// Adds what this node has committed to the sum, and takes notice of it; gives what was committed meanwhile.
    async fn add(&self, tenant: &TenantId) -> Result<u64> {
        let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)?;
        let more = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).map_or(0, |known| known.more);
        let sum = self.sums.add_bytes(&access, more).await?;
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(tenant.clone()).or_default();
        (known.sum, known.more) = (sum, known.more.saturating_sub(more));
        Ok(known.more)
    }
}

impl LimitedStore {
    /// Around a store; counted by its index, and bytes in their sums.
    pub(crate) fn new(
        inner: Arc<dyn ResourceStore>,
        index: Arc<dyn SearchIndex>,
        sums: Arc<dyn StoredBytes>,
        quotas: Arc<CurrentQuotas>,
    ) -> Self {
        let bytes = Arc::new(Bytes { sums, known: Mutex::default() });
        let every_type = ResourceType::all().map(|resource_type| TypeSearch { resource_type, filter: Vec::new(), sort: Vec::new() });
        Self { inner, index, quotas, counted: Arc::default(), bytes, every_type: every_type.collect() }
    }

    /// Takes room for what changes make, or refuses them.
    async fn take(&self, access: &WriteAccess, changes: &[Change], most: u64) -> Result<Option<UnderWay>> {
        let puts: Vec<&Change> = changes.iter().filter(|change| matches!(change.content, ChangeContent::Put { .. })).collect();
        if puts.is_empty() {
            return Ok(None);
        }
        self.count(access.tenant(), most).await?;
        // Where much room is left it need not be known whether they make something new.
        if let Some(room) = self.counted.room(access.tenant(), puts.len() as u64, most / 10 * 9) {
            return Ok(Some(room));
        }
        let keys: Vec<ResourceKey> = puts.iter().map(|change| change.key.clone()).collect();
        let view = self.inner.view(access.as_read()).await?;
        let stored = self.inner.read_many(access.as_read(), &view, &keys).await?;
        let is_there = |version: &Option<StoredVersion>| version.as_ref().is_some_and(|version| version.content != Content::Deleted);
        match stored.iter().filter(|version| !is_there(version)).count() as u64 {
            0 => Ok(None),
            new => self.counted.room(access.tenant(), new, most).map(Some).ok_or(StorageError::QuotaReached("resources")),
        }
    }

    /// Sees to it that the count of a tenant's resources is not stale.
    async fn count(&self, tenant: &TenantId, most: u64) -> Result<()> {
        let counted = self.counted.of(tenant);
        let stale_after = if counted.resources < most / 10 * 9 { STALE_AFTER } else { STALE_AFTER_NEAR };
        if counted.at.is_some_and(|at| at.elapsed() < stale_after) {
            return Ok(());
        }
        let at = Instant::now();
        let access = ReadAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)?;
        let request = SearchRequest {
            parts: Arc::clone(&self.every_type),
            after: None,
            limit: 0,
            total: TotalMode::Accurate,
            view: None,
            freshness: Freshness::Eventual,
        };
        let resources = self.index.search(&access, &request).await?.total.unwrap_or(0);
        self.counted.set(tenant, resources, counted.made, at);
        Ok(())
    }
}

impl Counts {
    fn of(&self, tenant: &TenantId) -> Counted {
        self.lock().get(tenant).cloned().unwrap_or_default()
    }

    fn room(&self, tenant: &TenantId, amount: u64, most: u64) -> Option<UnderWay> {
        let mut all = self.lock();
        let counted = all.entry(tenant.clone()).or_default();
        UnderWay::take(&counted.under_way, counted.resources, amount, most)
    }

    /// Takes up what the index has told. It was asked when this node had made so much: it may not have seen what was made since.
    fn set(&self, tenant: &TenantId, resources: u64, made_before: u64, at: Instant) {
        let mut all = self.lock();
        let counted = all.entry(tenant.clone()).or_default();
        let made_since = counted.made.saturating_sub(made_before);
        (counted.resources, counted.at) = (resources.saturating_add(made_since), Some(at));
    }

    /// Adds what this node has made.
    fn note(&self, tenant: &TenantId, created: u64) {
        if let Some(counted) = self.lock().get_mut(tenant) {
            counted.resources = counted.resources.saturating_add(created);
            counted.made = counted.made.saturating_add(created);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ResourceStore for LimitedStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        self.inner.read(access, key).await
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        self.inner.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        self.inner.read_many(access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        self.inner.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        self.inner.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        let quota = self.quotas.of(access.tenant());
        if quota.stored_resources_max.is_none() && quota.stored_bytes_max.is_none() {
            return self.inner.commit(access, commit).await;
        }
        let bytes = commit.changes.iter().map(|change| match &change.content {
            ChangeContent::Put { body, .. } => body.text.len() as u64,
            ChangeContent::Delete => 0,
        });
        let bytes: u64 = bytes.sum();
        let resources_room = match quota.stored_resources_max {
            Some(most) => self.take(access, &commit.changes, most).await?,
            None => None,
        };
        let bytes_room = match quota.stored_bytes_max.filter(|_| bytes > 0) {
            Some(most) => Some(self.bytes.take(access.tenant(), bytes, most).await?),
            None => None,
        };
        // A commit goes on where nobody waits for it any more: what it makes is counted by a task of its own.
        let (inner, access) = (Arc::clone(&self.inner), access.clone());
        let (counts, sums) = (Arc::clone(&self.counted), Arc::clone(&self.bytes));
        let counted = async move {
            // Held until what was made is counted.
            let _rooms = (resources_room, bytes_room);
            let outcome = inner.commit(&access, commit).await?;
            if let CommitOutcome::Committed { changes, .. } = &outcome {
                counts.note(access.tenant(), changes.iter().filter(|change| change.created).count() as u64);
                if quota.stored_bytes_max.is_some() {
                    sums.note(access.tenant(), bytes);
                }
            }
            Ok(outcome)
        };
        tokio::spawn(counted.in_current_span()).await.map_err(|error| StorageError::Unavailable(error.to_string()))?
    }
}

#[cfg(test)]
mod tests;
