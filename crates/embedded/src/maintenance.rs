//! Looking after a data folder: [`verify`], [`backup`], [`restore`], [`repair`].
//!
//! They take the folder's lock, so no server may have it open; a running store offers [`EmbeddedStore::verify`] and
//! [`EmbeddedStore::backup`] on its newest picture. All of them must be called within a tokio runtime.
//!
//! Deliberately absent: keys. A backup holds sealed values; who restores it needs the keys besides ([`LocalKeyRing::export`]).
//!
//! [`LocalKeyRing::export`]: crate::LocalKeyRing::export

mod backup;
mod check;
mod fingerprint;
mod index;
mod repair;
mod restore;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fhirpool_authz::TenantId;
use fhirpool_fhir::{ResourceBody, ResourceKey, ResourceType};
use fhirpool_search::{Extractors, IndexEntry};
use fhirpool_storage::{KeyEpoch, KeyRing, StorageError, StoredVersion, TenantKey};

pub use backup::BackupSummary;
pub use repair::{RepairReport, SetAside};
pub use restore::RestoreSummary;
pub use verify::{Problem, Report};

use crate::committer::{DatabaseError, check_format};
use crate::database::Database;
use crate::lock::FolderLock;
use crate::store::DATABASE_FOLDER;
use crate::tenants::{TenantNumber, Tenants};
use crate::{EmbeddedStore, LocalKeyRing, OpenError, Settings, record};

/// How index entries are made anew, since the store itself does not know the definitions.
#[derive(Clone)]
pub struct Extraction {
    /// Gives the entry of `_lastUpdated`.
    pub extractors: Arc<Extractors>,
    /// The entries of a resource of a tenant, `_lastUpdated` aside.
    pub entries: Arc<ExtractEntries>,
}

/// From a resource of a tenant to its entries.
pub type ExtractEntries = dyn Fn(&TenantId, ResourceType, &ResourceBody) -> Vec<IndexEntry> + Send + Sync;

/// Why maintenance could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The folder does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is stored cannot be read, or not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file or stream cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What was given is no backup, or not all of one.
    #[error("the backup cannot be used: {0}")]
    NotABackup(&'static str),
    /// Nothing is overwritten.
    #[error("the data folder {0} holds a store already")]
    Occupied(String),
    /// There is nothing to look after.
    #[error("the data folder {0} holds no store")]
    Empty(String),
}

impl From<DatabaseError> for MaintenanceError {
    fn from(error: DatabaseError) -> Self {
        Self::Open(error.into())
    }
}

impl From<fjall::Error> for MaintenanceError {
    fn from(error: fjall::Error) -> Self {
        Self::Storage(crate::database::storage_error(error))
    }
}

type Result<T> = std::result::Result<T, MaintenanceError>;

/// Checks everything in a folder that no server has open.
pub async fn verify(folder: &Path, keys: Arc<dyn KeyRing>) -> Result<Report> {
    let folder = folder.to_owned();
    in_background(move || {
        let (_lock, database) = open_existing(&folder)?;
        let snapshot = database.snapshot();
        verify::verify(&snapshot, &mut Keys::new(keys))
    })
    .await
}

/// Writes a backup of a folder that no server has open.
pub async fn backup(folder: &Path, mut to: impl Write + Send + 'static) -> Result<BackupSummary> {
    let folder = folder.to_owned();
    in_background(move || {
        let (_lock, database) = open_existing(&folder)?;
        let snapshot = database.snapshot();
        backup::write(&snapshot, &mut to)
    })
    .await
}

/// Makes the store of a folder that has none from a backup. The keys must be in place already: tenants whose keys they say were
/// destroyed are being deleted in it, whether the backup has them or not, so that a server removes what came along with it, and
/// gives their ids to nobody.
pub async fn restore(
    folder: &Path,
    mut from: impl Read + Send + 'static,
    keys: Arc<LocalKeyRing>,
    extraction: Extraction,
) -> Result<RestoreSummary> {
    let folder = folder.to_owned();
    in_background(move || {
        std::fs::create_dir_all(&folder)?;
        let _lock = FolderLock::acquire(&folder)?;
        let destroyed = keys.destroyed()?;
        restore::restore(&folder, &mut from, &mut Keys::new(keys), destroyed, &extraction)
    })
    .await
}

/// Builds the store of a folder anew from what can be read of it: the index, the counters and the feeds too. The old one is
/// kept beside it.
pub async fn repair(folder: &Path, keys: Arc<dyn KeyRing>, extraction: Extraction) -> Result<RepairReport> {
    let folder = folder.to_owned();
    in_background(move || {
        let (_lock, database) = open_existing(&folder)?;
        repair::repair(&folder, database, &mut Keys::new(keys), &extraction)
    })
    .await
}

impl EmbeddedStore {
    /// Checks everything in the newest picture, while reads and writes go on.
    pub async fn verify(&self) -> Result<Report> {
        let (picture, keys) = (self.shared().picture()?, Arc::clone(self.keys()));
        in_background(move || verify::verify(&picture.snapshot, &mut Keys::new(keys))).await
    }

    /// Writes a backup of the newest picture, while reads and writes go on.
    pub async fn backup(&self, mut to: impl Write + Send + 'static) -> Result<BackupSummary> {
        let picture = self.shared().picture()?;
        in_background(move || backup::write(&picture.snapshot, &mut to)).await
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StorageError::Unavailable(error.to_string()))?
}

fn open_existing(folder: &Path) -> Result<(FolderLock, Database)> {
    let path = folder.join(DATABASE_FOLDER);
    if !path.is_dir() {
        return Err(MaintenanceError::Empty(folder.display().to_string()));
    }
    let lock = FolderLock::acquire(folder)?;
    Ok((lock, open_database(&path)?))
}

fn open_database(path: &Path) -> Result<Database> {
    let database = Database::open(path, &Settings::default()).map_err(DatabaseError::from)?;
    check_format(&database)?;
    Ok(database)
}

/// Where a new database is built before it takes the place of the old one.
fn unfinished(folder: &Path) -> PathBuf {
    folder.join(format!("{DATABASE_FOLDER}.unfinished"))
}

/// Makes renames in a folder lasting.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// The keys of all tenants, each asked for once.
struct Keys {
    ring: Arc<dyn KeyRing>,
    kept: HashMap<(TenantId, KeyEpoch), Arc<TenantKey>>,
}

impl Keys {
    fn new(ring: Arc<dyn KeyRing>) -> Self {
        Self { ring, kept: HashMap::new() }
    }

    /// Opens a record.
    fn open(&mut self, bytes: &[u8], tenant: &TenantId, key: &ResourceKey) -> std::result::Result<StoredVersion, StorageError> {
        let epoch = record::epoch(bytes)?.unwrap_or(KeyEpoch(0));
        record::read(bytes, tenant, key, &*self.key(tenant, epoch)?)
    }

    fn key(&mut self, tenant: &TenantId, epoch: KeyEpoch) -> std::result::Result<Arc<TenantKey>, StorageError> {
        let name = (tenant.clone(), epoch);
        if let Some(key) = self.kept.get(&name) {
            return Ok(Arc::clone(key));
        }
        let ring = Arc::clone(&self.ring);
        let key = tokio::runtime::Handle::current().block_on(ring.unwrap(tenant, epoch));
        let key = key.map_err(|error| match error {
            // Of the key, not of what it opens.
            StorageError::Damaged(reason) => StorageError::Unavailable(reason),
            error => error,
        })?;
        self.kept.insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// The newest key of a tenant.
    fn newest(&self, tenant: &TenantId) -> std::result::Result<Arc<TenantKey>, StorageError> {
        tokio::runtime::Handle::current().block_on(self.ring.data_key(tenant))
    }
}

/// Tenants' names by their numbers.
struct Names(HashMap<TenantNumber, TenantId>);

impl Names {
    fn of(tenants: &Tenants) -> Self {
        Self(tenants.all().into_iter().map(|(id, tenant)| (tenant.number, id)).collect())
    }

    fn get(&self, number: TenantNumber) -> Option<&TenantId> {
        self.0.get(&number)
    }
}
