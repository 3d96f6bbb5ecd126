//! The small tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_search::TypeSearch;
use fhirpool_storage::{
    ChangeLog, DeadLetter, DeadLetters, ExactLookup, FeedPosition, Lease, Leases, LogEntry, Result, ShardId, StorageError, WriteMarks,
};

use super::Faults;

pub(crate) struct MemoryLeases {
    faults: Arc<Faults>,
    leases: Mutex<BTreeMap<ShardId, Lease>>,
}

impl MemoryLeases {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        Self { faults, leases: Mutex::default() }
    }

    pub(crate) fn all(&self) -> Vec<Lease> {
        self.leases.lock().unwrap().values().cloned().collect()
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn list(&self) -> Result<Vec<Lease>> {
        self.faults.strike("leases").await?;
        Ok(self.all())
    }

    async fn put(&self, lease: &Lease, expected: Option<u64>) -> Result<bool> {
        self.faults.strike("lease").await?;
        {
            let mut leases = self.leases.lock().unwrap();
            if leases.get(&lease.shard).map(|there| there.counter) != expected {
                return Ok(false);
            }
            leases.insert(lease.shard.clone(), lease.clone());
        }
        self.faults.strike("lease, done").await?;
        Ok(true)
    }

    async fn remove(&self, shard: &ShardId) -> Result<()> {
        self.leases.lock().unwrap().remove(shard);
        Ok(())
    }
}

pub(crate) struct MemoryLog {
    faults: Arc<Faults>,
    versions: Mutex<HashSet<(TenantId, ResourceKey, VersionId)>>,
    closed: Mutex<HashSet<TenantId>>,
}

impl MemoryLog {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        Self { faults, versions: Mutex::default(), closed: Mutex::default() }
    }

    /// Has no key of the tenant any more.
    pub(crate) fn close(&self, tenant: &TenantId) {
        self.closed.lock().unwrap().insert(tenant.clone());
    }

    pub(crate) fn has(&self, tenant: &TenantId, key: &ResourceKey, version: VersionId) -> bool {
        self.versions.lock().unwrap().contains(&(tenant.clone(), key.clone(), version))
    }
}

#[async_trait]
impl ChangeLog for MemoryLog {
    async fn append(&self, access: &WriteAccess, _: &ShardId, _: &FeedPosition, entries: &[LogEntry]) -> Result<()> {
        self.faults.strike("log").await?;
        if self.closed.lock().unwrap().contains(access.tenant()) {
            return Err(StorageError::UnknownTenant);
        }
        let entry = |entry: &LogEntry| (access.tenant().clone(), entry.key.clone(), entry.version);
        self.versions.lock().unwrap().extend(entries.iter().map(entry));
        self.faults.strike("log, done").await
    }

    async fn resources(&self, access: &WriteAccess, after: Option<&str>) -> Result<(Vec<ResourceKey>, Option<String>)> {
        let versions = self.versions.lock().unwrap();
        let of_tenant = versions.iter().filter(|(tenant, ..)| tenant == access.tenant());
        let mut keys: Vec<ResourceKey> = of_tenant.map(|(_, key, _)| key.clone()).collect();
        keys.sort_by_key(ToString::to_string);
        keys.dedup();
        keys.retain(|key| after.is_none_or(|after| key.to_string().as_str() > after));
        keys.truncate(10);
        let next = keys.last().map(ToString::to_string);
        Ok((keys, next))
    }
}

#[derive(Default)]
pub(crate) struct MemoryLetters {
    letters: Mutex<BTreeMap<usize, (DeadLetter, bool)>>,
    failing: AtomicBool,
    /// Letters that were not taken.
    pub(crate) failed: AtomicUsize,
}

impl MemoryLetters {
    pub(crate) fn all(&self) -> Vec<DeadLetter> {
        self.letters.lock().unwrap().values().map(|(letter, _)| letter.clone()).collect()
    }

    /// Takes no letter from now on, or takes them again.
    pub(crate) fn fail(&self, fail: bool) {
        self.failing.store(fail, Ordering::SeqCst);
    }

    /// What was taken and not removed comes again.
    pub(crate) fn come_again(&self) {
        self.letters.lock().unwrap().values_mut().for_each(|(_, taken)| *taken = false);
    }
}

#[async_trait]
impl DeadLetters for MemoryLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<()> {
        if self.failing.load(Ordering::SeqCst) {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Err(StorageError::Unavailable("a fault of the test in letters".into()));
        }
        let mut letters = self.letters.lock().unwrap();
        let number = letters.keys().last().map_or(0, |last| last + 1);
        letters.insert(number, (letter.clone(), false));
        Ok(())
    }

    async fn take(&self, limit: usize) -> Result<Vec<(DeadLetter, String)>> {
        let mut letters = self.letters.lock().unwrap();
        let free = letters.iter_mut().filter(|(_, (_, taken))| !taken).take(limit);
        Ok(free
            .map(|(number, (letter, taken))| {
                *taken = true;
                (letter.clone(), number.to_string())
            })
            .collect())
    }

    async fn remove(&self, receipt: &str) -> Result<()> {
        self.letters.lock().unwrap().remove(&receipt.parse().unwrap());
        Ok(())
    }
}

/// By tenant, subject and application.
type Marked = HashMap<(TenantId, String, Option<String>), i64>;

#[derive(Default)]
pub(crate) struct MemoryMarks {
    marks: Mutex<Marked>,
    pub(crate) written: Mutex<usize>,
    pub(crate) read: Mutex<usize>,
}

fn client(access: &ReadAccess) -> (TenantId, String, Option<String>) {
    (access.tenant().clone(), access.subject().to_owned(), access.client().map(str::to_owned))
}

#[async_trait]
impl WriteMarks for MemoryMarks {
    async fn mark(&self, access: &WriteAccess, until: i64) -> Result<()> {
        *self.written.lock().unwrap() += 1;
        let mut marks = self.marks.lock().unwrap();
        let mark = marks.entry(client(access.as_read())).or_insert(until);
        *mark = until.max(*mark);
        Ok(())
    }

    async fn marked_until(&self, access: &ReadAccess) -> Result<Option<i64>> {
        *self.read.lock().unwrap() += 1;
        Ok(self.marks.lock().unwrap().get(&client(access)).copied())
    }
}

/// A store that finds nothing by itself.
pub(crate) struct NoLookup;

#[async_trait]
impl ExactLookup for NoLookup {
    async fn lookup(&self, _: &ReadAccess, _: &TypeSearch) -> Result<Option<Vec<ResourceKey>>> {
        Ok(None)
    }
}
