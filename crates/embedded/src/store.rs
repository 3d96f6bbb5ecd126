//! The store: what is behind the ports of resources and of search.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceKey, Timestamp, VersionId};
use fhirpool_search::Extractors;
use fhirpool_storage::value::Codec;
use fhirpool_storage::{
    Change, Commit, CommitOutcome, HistoryEntry, HistoryPage, HistoryRequest, KeyEpoch, KeyRing, ResourceStore, Result, SearchIndex,
    SearchPage, SearchRequest, StorageError, StoredBytes, StoredVersion, TenantKey, View,
};
use tokio::sync::{Semaphore, oneshot};

use crate::Settings;
use crate::committer::{Committer, Job, Room, Waiting};
use crate::database::{Bytes, Database, Space};
use crate::error::OpenError;
use crate::history;
use crate::keys::{ResourceSlot, stored_bytes_key};
use crate::lock::FolderLock;
use crate::picture::Picture;
use crate::places::{Place, Places};
use crate::prepare::{Preparation, Prepared, PreparedChange, check_shape, prepared_bytes};
use crate::record;
use crate::search::{Found, StoredPostings, search, search_briefly};
use crate::shared::{Now, Shared};
use crate::tenants::Scope;
use crate::turns::Permits;

/// The folder of the database in the data folder.
pub(crate) const DATABASE_FOLDER: &str = "store";

/// Commits of at most so many changes are prepared where they are asked for.
const INLINE_CHANGES_MAX: usize = 8;
/// What takes more bytes, prepared or stored, is worked on by other threads, which requests need not wait for.
const INLINE_BYTES_MAX: u64 = 128 << 10;
/// So many records are read and opened where they are asked for.
const INLINE_RECORDS_MAX: usize = 50;
/// Larger ones are prepared on other threads, so many changes at a time.
const CHUNK_CHANGES: usize = 256;

/// What the store is built on.
pub struct Ports {
    /// Keeps the tenants' keys.
    pub keys: Arc<dyn KeyRing>,
    /// Gives the entry of `_lastUpdated`.
    pub extractors: Arc<Extractors>,
    /// Tells the time.
    pub now: Now,
}

/// The embedded store of one data folder. Closed when dropped.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    keys: Arc<dyn KeyRing>,
    /// Tenants whose keys open what is stored of them.
    keyed: RwLock<HashSet<TenantId>>,
    codec: Codec,
    /// The parameter of `_lastUpdated`.
    time: ParameterNumber,
    /// A place for each commit that may wait.
    places: Arc<Places>,
    /// A permit for each KiB that waiting commits may hold.
    memory: Arc<Semaphore>,
    memory_max: u32,
    /// The permit of the one large commit that may hold memory or wait for it: small ones never wait behind two.
    large: Arc<Permits<TenantId>>,
    queue: Option<SyncSender<Job>>,
    committer: Option<JoinHandle<()>>,
    /// Held as long as the database is open.
    _lock: FolderLock,
}

impl EmbeddedStore {
    /// Opens the store in a data folder, or makes it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process has the folder open.
    pub fn open(folder: &Path, settings: Settings, ports: Ports) -> std::result::Result<Self, OpenError> {
        std::fs::create_dir_all(folder)?;
        let lock = FolderLock::acquire(folder)?;
        let Ports { keys, extractors, now } = ports;
        let time = extractors.last_updated_entry(Timestamp(0)).parameter;
        let shared = Arc::new(Shared::new(extractors, now, settings.search.clone()));
        // One place more than commits may wait, for what is asked besides.
        let (sender, queue) = sync_channel(settings.queue_length + 16);
        let memory_max = u32::try_from(settings.queue_bytes / 1024).unwrap_or(u32::MAX).max(1);
        let places = Places::new(settings.queue_length, share_max(memory_max) as usize);
        let committer = Committer::open(&folder.join(DATABASE_FOLDER), settings, Arc::clone(&shared), queue)?;
        let committer = committer.start()?;
        Ok(Self {
            shared,
            keys,
            keyed: RwLock::default(),
            codec: Codec::default(),
            time,
            places,
            memory: Arc::new(Semaphore::new(memory_max as usize)),
            memory_max,
            large: Arc::new(Permits::new(1)),
            queue: Some(sender),
            committer: Some(committer),
            _lock: lock,
        })
    }

    /// Bytes on disk, by part of the store.
    pub async fn disk_bytes(&self) -> Result<Vec<(&'static str, u64)>> {
        Ok(self.lend().await?.disk_bytes())
    }

    /// Writes out what is in memory and merges all tables, which takes its time; reads and writes go on.
    pub async fn compact(&self) -> Result<()> {
        let database = self.lend().await?;
        in_background(move || database.compact()).await
    }

    /// Where tests put in faults.
    #[cfg(any(test, feature = "faults"))]
    pub fn faults(&self) -> &crate::faults::Faults {
        &self.shared.faults
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn keys(&self) -> &Arc<dyn KeyRing> {
        &self.keys
    }

    pub(crate) async fn lend(&self) -> Result<Database> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Lend(reply), answer).await
    }

    pub(crate) async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(job).map_err(|_| StorageError::Overloaded)?;
        answer.await.map_err(|_| stopped())?
    }

    /// The key to seal a tenant's values with. The ring makes none for a tenant whose resources were sealed with one that is
    /// gone: they would seem to be there, and could not be read.
    pub(crate) async fn sealing_key(&self, access: &WriteAccess) -> Result<Arc<TenantKey>> {
        let tenant = access.tenant();
        if !self.keyed.read().unwrap_or_else(PoisonError::into_inner).contains(tenant) {
            let picture = self.shared.picture()?;
            let number = Scope::of(access.as_read(), &picture.tenants)?.tenant().0;
            let stored = picture.snapshot.prefix(Space::Resources, &number.to_be_bytes()).next().transpose()?;
            if let Some(epoch) = stored.map(|(_, record)| record::epoch(&record)).transpose()?.flatten() {
                self.keys.unwrap(tenant, epoch).await.map_err(|error| match error {
                    StorageError::UnknownTenant => StorageError::Damaged(format!(
                        "the store holds resources of tenant {tenant}, but their key is gone: put the exported keys back by `fhirpool keys import`"
                    )),
                    error => error,
                })?;
            }
            self.keyed.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
        }
        self.keys.data_key(tenant).await
    }

    async fn open_record(&self, tenant: &TenantId, key: &ResourceKey, bytes: Bytes) -> Result<StoredVersion> {
        let epoch = record::epoch(&bytes)?.unwrap_or(KeyEpoch(0));
        let tenant_key = self.keys.unwrap(tenant, epoch).await?;
        if bytes.len() as u64 <= INLINE_BYTES_MAX {
            return record::read(&bytes, tenant, key, &tenant_key);
        }
        let (tenant, key) = (tenant.clone(), key.clone());
        in_background(move || record::read(&bytes, &tenant, &key, &tenant_key)).await
    }

    /// Opens many, in their order.
    async fn open_records(&self, tenant: &TenantId, records: Vec<(ResourceKey, Bytes)>) -> Result<Vec<HistoryEntry>> {
        let mut tenant_keys = HashMap::new();
        for (_, bytes) in &records {
            let epoch = record::epoch(bytes)?.unwrap_or(KeyEpoch(0));
            if let Entry::Vacant(place) = tenant_keys.entry(epoch) {
                place.insert(self.keys.unwrap(tenant, epoch).await?);
            }
        }
        let bytes: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
        let is_long = records.len() > INLINE_RECORDS_MAX || bytes as u64 > INLINE_BYTES_MAX;
        let tenant = tenant.clone();
        let open = move || {
            let open = |(key, bytes): (ResourceKey, Bytes)| {
                let epoch = record::epoch(&bytes)?.unwrap_or(KeyEpoch(0));
                let tenant_key = tenant_keys.get(&epoch).ok_or(StorageError::UnknownTenant)?;
                Ok(HistoryEntry { version: record::read(&bytes, &tenant, &key, tenant_key)?, key })
            };
            records.into_iter().map(open).collect()
        };
        here_or_apart(is_long, open).await
    }

    /// Waits for the memory that a commit of so many bytes takes. The largest gets three quarters of all there is, so that small
    /// ones pass beside it; the small ones of one tenant get an eighth, so that those of others pass beside them.
    async fn room(&self, place: Place, bytes: u64) -> Result<Room> {
        let large_max = (self.memory_max - self.memory_max / 4).max(1);
        let kibibytes = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(1, large_max);
        let (mut share, mut large) = (None, None);
        if kibibytes > self.memory_max / 4 {
            large = Some(self.large.acquire(&place.tenant).await);
        } else {
            let part = kibibytes.min(share_max(self.memory_max));
            share = Some(Arc::clone(&place.memory).acquire_many_owned(part).await.map_err(|_| stopped())?);
        }
        let memory = Arc::clone(&self.memory).acquire_many_owned(kibibytes).await.map_err(|_| stopped())?;
        Ok(Room { _place: place, _memory: memory, _share: share, _large: large })
    }

    /// `None`: an assumption does not hold.
    async fn prepare(&self, access: &WriteAccess, commit: Commit, key: Arc<TenantKey>) -> Result<Option<Prepared>> {
        let preparation = Arc::new(Preparation { picture: self.shared.picture()?, key, codec: self.codec, time: self.time });
        let assumptions = match commit.assumptions.is_empty() {
            true => Some(Vec::new()),
            false => {
                let (preparation, shared, access) = (Arc::clone(&preparation), Arc::clone(&self.shared), access.clone());
                in_background(move || preparation.assumptions(&shared, &access, commit.assumptions)).await?
            }
        };
        let Some(assumptions) = assumptions else { return Ok(None) };
        let is_short = commit.changes.len() <= INLINE_CHANGES_MAX && prepared_bytes(&commit.changes) <= INLINE_BYTES_MAX;
        let changes = match is_short {
            true => preparation.changes(access, commit.changes)?,
            false => prepare_apart(&preparation, access, commit.changes).await?,
        };
        let sequence = preparation.picture.sequence;
        Ok(Some(Prepared { access: access.clone(), key: Arc::clone(&preparation.key), sequence, changes, assumptions }))
    }
}

/// What the small commits of one tenant may hold of so much memory.
fn share_max(memory_max: u32) -> u32 {
    (memory_max / 8).max(1)
}

/// Prepares a large commit on other threads, two chunks at a time.
async fn prepare_apart(preparation: &Arc<Preparation>, access: &WriteAccess, mut changes: Vec<Change>) -> Result<Vec<PreparedChange>> {
    const AT_ONCE: usize = 2;
    let mut prepared = Vec::with_capacity(changes.len());
    let mut running = std::collections::VecDeque::with_capacity(AT_ONCE);
    // From the front, so that bodies are dropped as they are done.
    changes.reverse();
    while !changes.is_empty() || !running.is_empty() {
        if !changes.is_empty() && running.len() < AT_ONCE {
            let mut chunk = changes.split_off(changes.len().saturating_sub(CHUNK_CHANGES));
            chunk.reverse();
            let (preparation, access) = (Arc::clone(preparation), access.clone());
            running.push_back(tokio::task::spawn_blocking(move || preparation.changes(&access, chunk)));
        } else if let Some(done) = running.pop_front() {
            prepared.extend(done.await.map_err(|error| StorageError::Unavailable(error.to_string()))??);
        }
    }
    Ok(prepared)
}

pub(crate) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StorageError::Unavailable(error.to_string()))?
}

/// Does work that is long on another thread.
async fn here_or_apart<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if is_long { in_background(work).await } else { work() }
}

fn stopped() -> StorageError {
    StorageError::Unavailable("the store is closing".into())
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The committer ends when nobody can send any more; then the database is closed.
        drop(self.queue.take());
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
        self.shared.publish(None);
    }
}

#[async_trait]
impl ResourceStore for EmbeddedStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        let picture = self.shared.picture()?;
        let slot = slot(&picture, access, key)?;
        match picture.snapshot.get(Space::Resources, slot.as_bytes())? {
            Some(bytes) => self.open_record(access.tenant(), key, bytes).await.map(Some),
            None => Ok(None),
        }
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        let picture = self.shared.picture()?;
        Scope::of(access, &picture.tenants)?;
        Ok(picture.view())
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        let picture = Picture::of(view)?;
        let slots = keys.iter().map(|key| Ok((key.clone(), slot(&picture, access, key)?))).collect::<Result<Vec<_>>>()?;
        let find = move || {
            let find = |(key, slot): (ResourceKey, ResourceSlot)| {
                let record = picture.snapshot.get(Space::Resources, slot.as_bytes())?;
                Ok(record.map(|record| (key, record)))
            };
            slots.into_iter().map(find).collect::<Result<Vec<_>>>()
        };
        let found = here_or_apart(keys.len() > INLINE_RECORDS_MAX, find).await?;
        let is_there: Vec<_> = found.iter().map(Option::is_some).collect();
        let mut opened = self.open_records(access.tenant(), found.into_iter().flatten().collect()).await?.into_iter();
        Ok(is_there.into_iter().map(|is_there| if is_there { opened.next().map(|entry| entry.version) } else { None }).collect())
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        let picture = self.shared.picture()?;
        let slot = slot(&picture, access, key)?;
        match history::record(&picture.snapshot, &slot, version)? {
            Some(bytes) => self.open_record(access.tenant(), key, bytes).await.map(Some),
            None => Ok(None),
        }
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        let picture = self.shared.picture()?;
        Scope::of(access, &picture.tenants)?;
        // Where only some versions are wanted, many may be looked at for each.
        let is_long = request.limit > INLINE_RECORDS_MAX || request.since.is_some() || request.at.is_some();
        let (of_access, request) = (access.clone(), request.clone());
        let find = move || history::page(&Scope::of(&of_access, &picture.tenants)?, &picture, &request);
        let found = here_or_apart(is_long, find).await?;
        let entries = self.open_records(access.tenant(), found.records).await?;
        Ok(HistoryPage { entries, next: found.next, total: found.total })
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        check_shape(&commit.changes)?;
        Scope::of(access.as_read(), &self.shared.tenants)?;
        let place = self.places.enter(access.tenant()).ok_or(StorageError::Overloaded)?;
        let room = self.room(place, prepared_bytes(&commit.changes)).await?;
        let key = self.sealing_key(access).await?;
        let Some(commit) = self.prepare(access, commit, key).await? else { return Ok(CommitOutcome::Stale) };
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Commit(Box::new(Waiting { commit, reply, room })), answer).await
    }
}

#[async_trait]
impl StoredBytes for EmbeddedStore {
    async fn add_bytes(&self, access: &WriteAccess, bytes: u64) -> Result<u64> {
        let key = stored_bytes_key(&Scope::of(access.as_read(), &self.shared.tenants)?);
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Count(key, bytes, reply), answer).await
    }
}

fn slot(picture: &Picture, access: &ReadAccess, key: &ResourceKey) -> Result<ResourceSlot> {
    let scope = Scope::of(access, &picture.tenants)?;
    ResourceSlot::new(&scope, key.resource_type, &OrderedId::from(&key.id))
}

#[async_trait]
impl SearchIndex for EmbeddedStore {
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage> {
        let picture = match &request.view {
            Some(view) => Picture::of(view)?,
            None => self.shared.picture()?,
        };
        let scope = Scope::of(access, &picture.tenants)?;
        request.parts.iter().try_for_each(|part| scope.check(part.resource_type))?;
        let postings = StoredPostings::new(scope, &picture);
        let page =
            |found: Found| SearchPage { view: picture.view(), hits: found.hits, more: found.more, total: found.total, caught_up: true };
        if let Some(found) = search_briefly(&postings, &self.shared.search_cache, &self.shared.search_settings, request)? {
            return Ok(page(found));
        }
        let (shared, access, request, picture_there) = (Arc::clone(&self.shared), access.clone(), request.clone(), Arc::clone(&picture));
        let turn = shared.long_searches.acquire(access.tenant()).await;
        let found = in_background(move || {
            // Held by the work, not by who waits for it: a client that goes away does not end it.
            let _turn = turn;
            let postings = StoredPostings::new(Scope::of(&access, &picture_there.tenants)?, &picture_there);
            search(&postings, &shared.search_cache, &shared.search_settings, &request)
        });
        found.await.map(page)
    }
}

#[cfg(test)]
mod tests;
