//! One stack's folder in the cache, its lock, and the file that says which processes it consists of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::part::Part;
use super::process::Process;
use super::{http, install};
use crate::Failure;

/// What runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) parts: BTreeMap<Part, Entry>,
    /// The id of the key that KMS made for this instance.
    pub(super) kms_key: Option<String>,
}

/// A part as it was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) process: Process,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl Entry {
    /// `http://127.0.0.1:port`
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl State {
    pub(super) fn get(&self, part: Part) -> Option<&Entry> {
        self.parts.get(&part)
    }

    /// Makes the KMS key, once for each life of the process that keeps it.
    pub(super) fn ensure_key(&mut self) -> Result<(), Failure> {
        let address = self.get(Part::MiniStack).map(Entry::address).ok_or("MiniStack was not started")?;
        if !self.kms_key.as_ref().is_some_and(|key| http::has_key(&address, key)) {
            self.kms_key = Some(http::create_key(&address)?);
        }
        Ok(())
    }
}

/// The folder of one stack, locked against every other run of this program until dropped.
#[derive(Debug)]
pub(super) struct Instance {
    folder: PathBuf,
    _lock: File,
}

impl Instance {
    /// Makes the folder if it is not there.
    pub(super) fn lock(name: &str) -> Result<Self, Failure> {
        let folder = folder(name)?;
        loop {
            std::fs::create_dir_all(&folder)?;
            if let Some(instance) = Self::lock_folder(&folder)? {
                return Ok(instance);
            }
        }
    }

    /// `None` if there is no such stack.
    pub(super) fn lock_existing(name: &str) -> Result<Option<Self>, Failure> {
        Self::lock_folder(&folder(name)?)
    }

    fn lock_folder(folder: &Path) -> Result<Option<Self>, Failure> {
        let lock = match File::open(folder) {
            Ok(lock) => lock,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause.into()),
        };
        lock.lock()?;
        // Whoever held the lock before may have removed the folder; the lock is then one on nothing.
        let is_current = std::fs::metadata(folder).is_ok_and(|now| lock.metadata().is_ok_and(|locked| locked.ino() == now.ino()));
        Ok(is_current.then(|| Self { folder: folder.to_path_buf(), _lock: lock }))
    }

    /// What the instance consists of, without waiting for whoever changes it.
    pub(super) fn peek(name: &str) -> Result<State, Failure> {
        read_state(&folder(name)?)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn state(&self) -> Result<State, Failure> {
        read_state(&self.folder)
    }

    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        let unfinished = self.path("state.json.new");
        std::fs::write(&unfinished, serde_json::to_vec_pretty(state)?)?;
        Ok(std::fs::rename(unfinished, self.path("state.json"))?)
    }

    /// Deletes the folder with all that the stack stored.
    pub(super) fn remove(self) -> Result<(), Failure> {
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }
}

fn folder(name: &str) -> Result<PathBuf, Failure> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!("--instance: found \"{name}\"; allowed: letters, digits and -").into());
    }
    Ok(install::folder()?.join("instances").join(name))
}

fn read_state(folder: &Path) -> Result<State, Failure> {
    match std::fs::read(folder.join("state.json")) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(State::default()),
        Err(cause) => Err(cause.into()),
    }
}
