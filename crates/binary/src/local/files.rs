//! Files that are there as a whole or not at all.
//!
//! An object `tenant/acme/Binary/1/1` lies at that path below the folder. What is being written lies in `unfinished` and is
//! removed when the folder is opened next. A file is synced before it gets its name, and its folders after.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fhirpool_storage::{Result, StorageError};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::unavailable;
use crate::object::ObjectName;
use crate::seal::{CONTENT_TYPE_BYTES_MAX, HEAD_LENGTH_MIN, Head, damaged};

const UNFINISHED_FOLDER: &str = "unfinished";

/// The folder.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    next: AtomicU64,
}

/// An object's file, read up to a little behind its head.
pub(super) struct OpenedFile {
    pub file: File,
    pub head: Head,
    /// Sealed bytes behind the head that were read already.
    pub ahead: Vec<u8>,
    /// Bytes of the file.
    pub length: u64,
}

impl Files {
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        make_folder(folder)?;
        let unfinished = folder.join(UNFINISHED_FOLDER);
        match std::fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => make_folder(&unfinished)?,
        }
        Ok(Self { folder: folder.to_owned(), next: AtomicU64::new(1) })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, object: &ObjectName) -> PathBuf {
        self.folder.join(object.as_str())
    }

    /// Opens an object's file; `None`: it is not there.
    pub async fn read(&self, object: &ObjectName) -> Result<Option<OpenedFile>> {
        let mut file = match File::open(self.path(object)).await {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(unavailable(&error)),
        };
        let length = file.metadata().await.map_err(|error| unavailable(&error))?.len();
        let mut ahead = Vec::new();
        let wanted = (HEAD_LENGTH_MIN + CONTENT_TYPE_BYTES_MAX) as u64;
        (&mut file).take(wanted).read_to_end(&mut ahead).await.map_err(|error| unavailable(&error))?;
        let head = Head::read(&ahead)?.ok_or_else(|| damaged("it is cut off"))?;
        let ahead = ahead.split_off(head.length());
        if ahead.is_empty() {
            return Err(damaged("it is cut off"));
        }
        Ok(Some(OpenedFile { file, head, ahead, length }))
    }

    /// Removes an object's file, if it is there.
    pub async fn remove(&self, object: &ObjectName) -> Result<()> {
        let path = self.path(object);
        in_background(move || match std::fs::remove_file(&path) {
            Ok(()) => sync_folder(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }
}

/// A file that nobody sees yet. Dropped before it got a name, it is gone.
pub(super) struct NewFile {
    files: Arc<Files>,
    path: PathBuf,
    file: Option<File>,
}

impl NewFile {
    pub async fn create(files: &Arc<Files>) -> Result<Self> {
        let number = files.next.fetch_add(1, Ordering::Relaxed);
        let path = files.folder.join(UNFINISHED_FOLDER).join(number.to_string());
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&path).await.map_err(|error| unavailable(&error))?;
        Ok(Self { files: Arc::clone(files), path, file: Some(file) })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Err(StorageError::Unavailable("the file has ended".into())) };
        file.write_all(bytes).await.map_err(|error| unavailable(&error))
    }

    /// Gives it the object's name if no file has it yet; `false`: one has.
    pub async fn add(self, object: &ObjectName) -> Result<bool> {
        self.place(object, |from, to| match std::fs::hard_link(from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// Gives it the object's name; a file that had it is gone.
    pub async fn replace(self, object: &ObjectName) -> Result<()> {
        self.place(object, |from, to| std::fs::rename(from, to).map(|()| true)).await?;
        Ok(())
    }

    async fn place(mut self, object: &ObjectName, name: fn(&Path, &Path) -> std::io::Result<bool>) -> Result<bool> {
        if let Some(mut file) = self.file.take() {
            file.flush().await.map_err(|error| unavailable(&error))?;
            file.sync_all().await.map_err(|error| unavailable(&error))?;
        }
        let (from, to, folder) = (self.path.clone(), self.files.path(object), self.files.folder.clone());
        in_background(move || {
            make_folders(&folder, &to)?;
            let is_named = name(&from, &to)?;
            sync_folder(&to)?;
            Ok(is_named)
        })
        .await
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename it is not there; what stays behind is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(super) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| StorageError::Unavailable(format!("content file: {error}")))?;
    done.map_err(|error| unavailable(&error))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the folders of a path below the top one, each lasting.
fn make_folders(top: &Path, path: &Path) -> std::io::Result<()> {
    let Some(parent) = path.parent().filter(|parent| parent.starts_with(top) && *parent != top) else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    make_folders(top, parent)?;
    match DirBuilder::new().mode(0o700).create(parent) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

/// Makes what happened to a name lasting.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}
