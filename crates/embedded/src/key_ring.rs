//! Tenants' keys in the data folder, mode 0600.
//!
//! `keys/master` holds 32 random bytes. `keys/<tenant>.<epoch>` holds a tenant's data key of an epoch, sealed with
//! AES-256-GCM under the master key: nonce (12 bytes), key (32), tag (16); associated data is the file's name, thus tenant and
//! epoch; the master key wraps for no other purpose. An empty file says that the key was destroyed: its epoch is never used again.
//! A file is written under another name, synced and renamed, so that it is there as a whole or not at all.
//!
//! Deliberately absent: backups (they leave this folder out; [`LocalKeyRing::export`] is an act of its own).

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use fhirpool_authz::TenantId;
use fhirpool_storage::{KeyEpoch, KeyRing, Result, StorageError, TenantKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::store::DATABASE_FOLDER;

const MASTER_FILE: &str = "master";
const EXPORT_MAGIC: &str = "fhirpool keys 1";

/// The key ring of a data folder.
pub struct LocalKeyRing {
    folder: PathBuf,
    master: LessSafeKey,
    keys: RwLock<HashMap<(TenantId, KeyEpoch), Arc<TenantKey>>>,
    newest: RwLock<HashMap<TenantId, Arc<TenantKey>>>,
    /// Held while a key is made.
    making: Mutex<()>,
    /// Whether a tenant without keys gets one.
    makes_keys: bool,
}

/// Why a key ring does not open.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A file cannot be read or written.
    #[error("the key ring cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// A file holds something else.
    #[error("the key ring's file {0} is damaged")]
    Damaged(String),
    /// There are keys already.
    #[error("the folder has keys already")]
    Occupied,
    /// What is stored was sealed with keys that are not there; new ones would not open it.
    #[error(
        "the data folder {0} has no master key (keys/master): put the exported keys back by `fhirpool keys import`, \
         into a keys folder that is empty"
    )]
    NoMaster(String),
    /// A tenant's keys were destroyed for good.
    #[error("the keys of tenant {0} were destroyed")]
    Destroyed(TenantId),
    /// A tenant has no key, and none is made for it.
    #[error("tenant {0} has no key in the data folder: put the exported keys back by `fhirpool keys import`")]
    NoKey(TenantId),
}

impl std::fmt::Debug for LocalKeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKeyRing").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl LocalKeyRing {
    /// The folder of the keys in a data folder.
    pub const FOLDER: &str = "keys";

    /// Opens the key ring of a data folder, or makes it in one that holds neither a store nor keys.
    ///
    /// # Errors
    /// [`KeyRingError::NoMaster`] where there is no master key but something that was sealed under one.
    pub fn open(data_folder: &Path) -> std::result::Result<Self, KeyRingError> {
        let folder = data_folder.join(Self::FOLDER);
        make_folder(&folder)?;
        let is_new = !data_folder.join(DATABASE_FOLDER).exists() && file_names(&folder)?.is_empty();
        if is_new {
            write_file(&folder, MASTER_FILE, &random_key()?)?;
        }
        Ok(Self { makes_keys: true, ..Self::open_existing(data_folder)? })
    }

    /// Opens the key ring of a data folder and makes nothing, neither now nor later: for maintenance, which has no use for new
    /// keys.
    ///
    /// # Errors
    /// [`KeyRingError::NoMaster`] where there is no master key.
    pub fn open_existing(data_folder: &Path) -> std::result::Result<Self, KeyRingError> {
        let folder = data_folder.join(Self::FOLDER);
        let bytes = std::fs::read(folder.join(MASTER_FILE)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => KeyRingError::NoMaster(data_folder.display().to_string()),
            _ => error.into(),
        })?;
        let master = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyRingError::Damaged(MASTER_FILE.into()))?;
        Ok(Self {
            folder,
            master: LessSafeKey::new(master),
            keys: RwLock::default(),
            newest: RwLock::default(),
            making: Mutex::default(),
            makes_keys: false,
        })
    }

    /// The tenants whose keys were destroyed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn destroyed(&self) -> std::io::Result<HashSet<TenantId>> {
        let mut newest: HashMap<TenantId, KeyEpoch> = HashMap::new();
        for (tenant, epoch) in file_names(&self.folder)?.iter().filter_map(|name| parse_name(name)) {
            let known = newest.entry(tenant).or_insert(epoch);
            *known = epoch.max(*known);
        }
        let mut destroyed = HashSet::new();
        for (tenant, epoch) in newest {
            if self.is_destroyed(&tenant, epoch)? {
                destroyed.insert(tenant);
            }
        }
        Ok(destroyed)
    }

    /// All keys, the master key among them, as text. Who has it and a backup has everything.
    pub fn export(&self) -> std::result::Result<String, KeyRingError> {
        let mut text = format!("{EXPORT_MAGIC}\n");
        for name in file_names(&self.folder)? {
            let bytes = std::fs::read(self.folder.join(&name))?;
            text.push_str(&name);
            text.push(' ');
            bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text.push('\n');
        }
        Ok(text)
    }

    /// Puts exported keys into a data folder that has none.
    pub fn import(data_folder: &Path, text: &str) -> std::result::Result<(), KeyRingError> {
        let folder = data_folder.join(Self::FOLDER);
        make_folder(&folder)?;
        if !file_names(&folder)?.is_empty() {
            return Err(KeyRingError::Occupied);
        }
        let damaged = || KeyRingError::Damaged("export".into());
        let mut lines = text.lines();
        if lines.next() != Some(EXPORT_MAGIC) {
            return Err(damaged());
        }
        let mut files = Vec::new();
        for line in lines {
            let (name, digits) = line.split_once(' ').ok_or_else(damaged)?;
            let is_name = name == MASTER_FILE || parse_name(name).is_some();
            files.push((name, read_hex(digits).filter(|_| is_name).ok_or_else(damaged)?));
        }
        if !files.iter().any(|(name, _)| *name == MASTER_FILE) {
            return Err(damaged());
        }
        // All of it can be read: now it is put there.
        Ok(files.iter().try_for_each(|(name, bytes)| write_file(&folder, name, bytes))?)
    }

    /// Adds a key of the next epoch, with which everything is sealed from now on. What was sealed before stays readable. A
    /// server that runs on the folder follows when it is started next.
    ///
    /// # Errors
    /// [`KeyRingError::Destroyed`] if the tenant's keys were; [`KeyRingError::NoKey`] if it never had one: the first is made by the
    /// server alone.
    pub fn rotate(&self, tenant: &TenantId) -> std::result::Result<KeyEpoch, KeyRingError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = match self.epochs(tenant)?.last() {
            Some(newest) if self.is_destroyed(tenant, *newest)? => return Err(KeyRingError::Destroyed(tenant.clone())),
            Some(newest) => newest.0,
            None => return Err(KeyRingError::NoKey(tenant.clone())),
        };
        let key = self.make(tenant, KeyEpoch(newest + 1))?;
        self.newest.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), Arc::clone(&key));
        Ok(key.epoch())
    }

    fn destroy_files(&self, tenant: &TenantId) -> std::result::Result<(), KeyRingError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut epochs = self.epochs(tenant)?;
        if epochs.is_empty() {
            // It had none: this one is none, and stands in the way of any other.
            epochs.push(KeyEpoch(1));
        }
        for epoch in epochs {
            write_file(&self.folder, &file_name(tenant, epoch), &[])?;
        }
        self.drop_kept(tenant);
        Ok(())
    }

    fn drop_kept(&self, tenant: &TenantId) {
        self.newest.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|(other, _), _| other != tenant);
    }

    /// The epochs of a tenant's keys, ascending.
    fn epochs(&self, tenant: &TenantId) -> std::io::Result<Vec<KeyEpoch>> {
        let names = file_names(&self.folder)?;
        let mine = names.iter().filter_map(|name| parse_name(name)).filter(|(other, _)| other == tenant);
        let mut epochs: Vec<_> = mine.map(|(_, epoch)| epoch).collect();
        epochs.sort();
        Ok(epochs)
    }

    fn is_destroyed(&self, tenant: &TenantId, epoch: KeyEpoch) -> std::io::Result<bool> {
        Ok(std::fs::metadata(self.folder.join(file_name(tenant, epoch)))?.len() == 0)
    }

    fn newest(&self, tenant: &TenantId) -> std::result::Result<Arc<TenantKey>, KeyRingError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match self.epochs(tenant)?.last() {
            Some(epoch) => self.load(tenant, *epoch)?,
            None if self.makes_keys => self.make(tenant, KeyEpoch(1))?,
            None => return Err(KeyRingError::NoKey(tenant.clone())),
        };
        self.newest.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), Arc::clone(&key));
        Ok(key)
    }

    fn make(&self, tenant: &TenantId, epoch: KeyEpoch) -> std::result::Result<Arc<TenantKey>, KeyRingError> {
        let bytes = random_key()?;
        let name = file_name(tenant, epoch);
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce)?;
        let mut sealed = bytes.to_vec();
        let tag = self.master.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut sealed);
        let tag = tag.map_err(|_| KeyRingError::Damaged(MASTER_FILE.into()))?;
        write_file(&self.folder, &name, &[&nonce[..], &sealed, tag.as_ref()].concat())?;
        Ok(self.keep(tenant, epoch, &bytes))
    }

    fn load(&self, tenant: &TenantId, epoch: KeyEpoch) -> std::result::Result<Arc<TenantKey>, KeyRingError> {
        let name = file_name(tenant, epoch);
        let file = std::fs::read(self.folder.join(&name))?;
        if file.is_empty() {
            return Err(KeyRingError::Destroyed(tenant.clone()));
        }
        let damaged = || KeyRingError::Damaged(name.clone());
        let (nonce, sealed) = file.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut sealed = sealed.to_vec();
        let bytes = self.master.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name.as_bytes()), &mut sealed);
        let bytes: &[u8; TenantKey::LENGTH] = bytes.ok().and_then(|bytes| (&*bytes).try_into().ok()).ok_or_else(damaged)?;
        Ok(self.keep(tenant, epoch, bytes))
    }

    fn keep(&self, tenant: &TenantId, epoch: KeyEpoch, bytes: &[u8; TenantKey::LENGTH]) -> Arc<TenantKey> {
        let key = Arc::new(TenantKey::new(epoch, bytes));
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert((tenant.clone(), epoch), Arc::clone(&key));
        key
    }
}

#[async_trait]
impl KeyRing for LocalKeyRing {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        let kept = self.newest.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        match kept {
            Some(key) => Ok(key),
            None => self.newest(tenant).map_err(storage_error),
        }
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        let name = (tenant.clone(), epoch);
        let kept = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        match kept {
            Some(key) => Ok(key),
            None => self.load(tenant, epoch).map_err(storage_error),
        }
    }

    fn forget(&self, tenant: &TenantId) {
        self.drop_kept(tenant);
    }

    async fn destroy(&self, tenant: &TenantId) -> Result<()> {
        self.destroy_files(tenant).map_err(storage_error)
    }
}

fn storage_error(error: KeyRingError) -> StorageError {
    match error {
        KeyRingError::Destroyed(_) => StorageError::UnknownTenant,
        KeyRingError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => StorageError::UnknownTenant,
        KeyRingError::Io(error) => StorageError::Unavailable(error.to_string()),
        error => StorageError::Damaged(error.to_string()),
    }
}

fn file_name(tenant: &TenantId, epoch: KeyEpoch) -> String {
    format!("{tenant}.{}", epoch.0)
}

fn parse_name(name: &str) -> Option<(TenantId, KeyEpoch)> {
    let (tenant, epoch) = name.split_once('.')?;
    Some((TenantId::parse(tenant)?, KeyEpoch(epoch.parse().ok()?)))
}

/// The names of all key files, the master key's first.
fn file_names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        if let Ok(name) = entry?.file_name().into_string()
            && (name == MASTER_FILE || parse_name(&name).is_some())
        {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (name != MASTER_FILE, name.clone()));
    Ok(names)
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = folder.join(format!("{name}.new"));
    // Left over from a process that ended while it wrote.
    let _ = std::fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn random_key() -> std::io::Result<[u8; TenantKey::LENGTH]> {
    let mut bytes = [0; TenantKey::LENGTH];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    SystemRandom::new().fill(bytes).map_err(|_| std::io::Error::other("the operating system gives no random bytes"))
}

fn read_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

#[cfg(test)]
mod tests;
