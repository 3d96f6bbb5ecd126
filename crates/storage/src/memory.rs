//! A store in memory: the plainest thing that keeps the ports' contracts. The model that backends are compared with, and a
//! quick stand-in for tests of what is built on the ports.
//!
//! Each commit copies the index of all resources, and each search looks at all of them: right, and slow.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_search::{Extractors, IndexEntry};

use crate::{
    Assumption, Change, ChangeContent, ChangeOutcome, Commit, CommitOutcome, Content, HistoryEntry, HistoryPage, HistoryPosition,
    HistoryRequest, HistoryScope, Precondition, ResourceStore, Result, SearchIndex, SearchPage, SearchRequest, StorageError, StoredVersion,
    View,
};

mod duties;
mod quotas;
mod registry;
mod search;

pub use duties::MemoryDutyLeases;
pub use quotas::MemoryQuotaLeases;
pub use registry::MemoryRegistry;

/// All that was ever committed.
pub struct MemoryStore {
    newest: Mutex<Arc<State>>,
    extractors: Arc<Extractors>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

#[derive(Clone, Default)]
struct State {
    sequence: u64,
    tenants: HashMap<TenantId, Tenant>,
}

#[derive(Clone, Default)]
struct Tenant {
    resources: BTreeMap<(u8, String), Arc<Resource>>,
    /// Every version, in the order of the commits.
    log: Vec<(ResourceKey, VersionId)>,
}

struct Resource {
    key: ResourceKey,
    /// From 1 on.
    versions: Vec<Arc<StoredVersion>>,
    /// Of the newest version; empty where that is a tombstone.
    entries: Arc<[IndexEntry]>,
}

impl MemoryStore {
    /// With these tenants and nothing else.
    pub fn new(tenants: &[TenantId], extractors: Arc<Extractors>, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let tenants = tenants.iter().map(|tenant| (tenant.clone(), Tenant::default())).collect();
        Self { newest: Mutex::new(Arc::new(State { sequence: 0, tenants })), extractors, now: Box::new(now) }
    }

    fn state(&self) -> Arc<State> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn of_view(view: &View) -> Result<&State> {
    view.handle.downcast_ref::<State>().ok_or_else(|| StorageError::Unavailable("the view is of another store".into()))
}

impl State {
    fn tenant(&self, tenant: &TenantId) -> Result<&Tenant> {
        self.tenants.get(tenant).ok_or(StorageError::UnknownTenant)
    }
}

fn place(key: &ResourceKey) -> (u8, String) {
    (key.resource_type.number(), key.id.as_str().to_owned())
}

fn covers(access: &ReadAccess, key: &ResourceKey) -> Result<()> {
    if access.allows(key.resource_type) { Ok(()) } else { Err(StorageError::Denied) }
}

impl Tenant {
    fn resource(&self, key: &ResourceKey) -> Option<&Arc<Resource>> {
        self.resources.get(&place(key))
    }

    fn newest(&self, key: &ResourceKey) -> Option<&StoredVersion> {
        self.resource(key).and_then(|resource| resource.versions.last()).map(|version| &**version)
    }

    /// The newest version and whether it is a tombstone.
    fn current(&self, key: &ResourceKey) -> Option<(VersionId, bool)> {
        self.newest(key).map(|version| (version.version, version.content == Content::Deleted))
    }

    fn holds(&self, change: &Change) -> bool {
        let current = self.current(&change.key);
        match change.precondition {
            Precondition::None => true,
            Precondition::NeverExisted => current.is_none(),
            Precondition::Version(version) => current == Some((version, false)),
            Precondition::Unchanged(version) => current.map(|(version, _)| version) == version,
        }
    }

    fn apply(&mut self, change: Change, last_updated: Timestamp, extractors: &Extractors) -> ChangeOutcome {
        let current = self.current(&change.key);
        let there = matches!(current, Some((_, false)));
        let (content, entries) = match change.content {
            ChangeContent::Delete if !there => return ChangeOutcome { version: current.map(|(version, _)| version), created: false },
            ChangeContent::Delete => (Content::Deleted, Vec::new()),
            ChangeContent::Put { body, mut entries } => {
                entries.push(extractors.last_updated_entry(last_updated));
                (Content::Resource(body), entries)
            }
        };
        let version = VersionId(current.map_or(1, |(version, _)| version.0 + 1));
        let stored = Arc::new(StoredVersion { version, last_updated, method: change.method, content });
        let mut versions = self.resource(&change.key).map(|resource| resource.versions.clone()).unwrap_or_default();
        versions.push(stored);
        self.log.push((change.key.clone(), version));
        let created = !there;
        let resource = Resource { key: change.key.clone(), versions, entries: entries.into() };
        self.resources.insert(place(&change.key), Arc::new(resource));
        ChangeOutcome { version: Some(version), created }
    }

    fn still_holds(&self, assumption: &Assumption) -> Result<bool> {
        let found = search::all(self, None, &assumption.search)?.into_iter().map(|hit| hit.key.id);
        Ok(found.eq(assumption.found.iter().cloned()))
    }

    fn entry(&self, (key, version): &(ResourceKey, VersionId)) -> Option<HistoryEntry> {
        let resource = self.resource(key)?;
        let index = usize::try_from(version.0).ok()?.checked_sub(1)?;
        Some(HistoryEntry { key: key.clone(), version: StoredVersion::clone(resource.versions.get(index)?) })
    }

    /// Until when a version was current.
    fn end_of(&self, entry: &HistoryEntry) -> Option<Timestamp> {
        let resource = self.resource(&entry.key)?;
        resource.versions.get(entry.version.version.0 as usize).map(|next| next.last_updated)
    }
}

fn version_is_put(resource: &Resource) -> bool {
    resource.versions.last().is_some_and(|version| version.content != Content::Deleted)
}

#[async_trait]
impl ResourceStore for MemoryStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        covers(access, key)?;
        Ok(self.state().tenant(access.tenant())?.newest(key).cloned())
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        let state = self.state();
        state.tenant(access.tenant())?;
        Ok(View { sequence: state.sequence, handle: state })
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        keys.iter().try_for_each(|key| covers(access, key))?;
        let tenant = of_view(view)?.tenant(access.tenant())?;
        Ok(keys.iter().map(|key| tenant.newest(key).cloned()).collect())
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        covers(access, key)?;
        Ok(self.state().tenant(access.tenant())?.entry(&(key.clone(), version)).map(|entry| entry.version))
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        let state = self.state();
        let tenant = state.tenant(access.tenant())?;
        match &request.scope {
            HistoryScope::Instance(key) => covers(access, key)?,
            HistoryScope::Type(resource_type) if !access.allows(*resource_type) => return Err(StorageError::Denied),
            HistoryScope::Type(_) | HistoryScope::Tenant => {}
        }
        let before = match &request.after {
            Some(HistoryPosition(bytes)) => {
                u64::from_be_bytes(bytes.as_slice().try_into().map_err(|_| StorageError::Unavailable("no place in a history".into()))?)
            }
            None => u64::MAX,
        };
        let wanted = tenant.log.iter().enumerate().rev().filter_map(|(index, place)| {
            let entry = tenant.entry(place)?;
            let within = match &request.scope {
                HistoryScope::Instance(key) => entry.key == *key,
                HistoryScope::Type(resource_type) => entry.key.resource_type == *resource_type,
                HistoryScope::Tenant => access.allows(entry.key.resource_type),
            };
            let since = request.since.is_none_or(|since| entry.version.last_updated >= since);
            let at =
                request.at.is_none_or(|(from, to)| entry.version.last_updated <= to && tenant.end_of(&entry).is_none_or(|end| end > from));
            ((index as u64) < before && within && since && at).then_some((index as u64, entry))
        });
        let mut entries: Vec<(u64, HistoryEntry)> = wanted.take(request.limit.saturating_add(1)).collect();
        let more = entries.len() > request.limit;
        entries.truncate(request.limit);
        let next = entries.last().filter(|_| more).map(|(index, _)| HistoryPosition(index.to_be_bytes().to_vec()));
        Ok(HistoryPage { entries: entries.into_iter().map(|(_, entry)| entry).collect(), next, total: None })
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        if commit.changes.iter().any(|change| !access.allows(change.key.resource_type)) {
            return Err(StorageError::Denied);
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = newest.tenant(access.tenant())?;
        for assumption in &commit.assumptions {
            if !tenant.still_holds(assumption)? {
                return Ok(CommitOutcome::Stale);
            }
        }
        if let Some((change, failed)) = commit.changes.iter().enumerate().find(|(_, change)| !tenant.holds(change)) {
            return Ok(CommitOutcome::PreconditionFailed { change, current: tenant.current(&failed.key) });
        }
        let previous =
            commit.changes.iter().filter_map(|change| tenant.newest(&change.key)).map(|version| version.last_updated.0 + 1).max();
        let last_updated = Timestamp((self.now)().0.max(previous.unwrap_or(i64::MIN)));
        let mut state = State::clone(&newest);
        state.sequence += 1;
        let tenant = state.tenants.entry(access.tenant().clone()).or_default();
        let changes = commit.changes.into_iter().map(|change| tenant.apply(change, last_updated, &self.extractors)).collect();
        *newest = Arc::new(state);
        Ok(CommitOutcome::Committed { last_updated, changes })
    }
}

#[async_trait]
impl SearchIndex for MemoryStore {
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage> {
        if request.parts.iter().any(|part| !access.allows(part.resource_type)) {
            return Err(StorageError::Denied);
        }
        let view = match &request.view {
            Some(view) => view.clone(),
            None => self.view(access).await?,
        };
        search::page(of_view(&view)?.tenant(access.tenant())?, access, request, view.clone())
    }
}
