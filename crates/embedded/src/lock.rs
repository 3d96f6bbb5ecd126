//! One process on a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::OpenError;

/// The lock on a data folder. The operating system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    const FILE: &str = "lock";

    /// Takes the lock of a folder that is there.
    pub(crate) fn acquire(folder: &Path) -> Result<Self, OpenError> {
        let file = File::options().create(true).truncate(false).write(true).open(folder.join(Self::FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.display().to_string())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
