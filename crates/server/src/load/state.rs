//! What was loaded already, a line a request.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(super) struct State {
    path: PathBuf,
    base: String,
    done: HashSet<String>,
    file: Mutex<std::fs::File>,
}

impl State {
    pub(super) fn open(path: &Path, base: &str) -> std::io::Result<Self> {
        let done = match std::fs::read_to_string(path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => HashSet::new(),
            Err(cause) => return Err(cause),
        };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), base: base.to_owned(), done, file: Mutex::new(file) })
    }

    fn line(&self, name: &str, bytes: u64) -> String {
        format!("{}\t{name}\t{bytes}", self.base)
    }

    pub(super) fn is_done(&self, name: &str, bytes: u64) -> bool {
        self.done.contains(&self.line(name, bytes))
    }

    /// A line that cannot be written costs a second sending, nothing else.
    pub(super) fn done(&self, name: &str, bytes: u64) {
        let line = self.line(name, bytes) + "\n";
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(cause) = file.write_all(line.as_bytes()) {
            tracing::warn!(%cause, path = %self.path.display(), "progress not kept");
        }
    }

    pub(super) fn remove(&self) {
        if let Err(cause) = std::fs::remove_file(&self.path) {
            tracing::warn!(%cause, path = %self.path.display(), "state file left behind");
        }
    }
}
