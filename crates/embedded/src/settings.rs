//! What can be set.

use crate::SearchSettings;

/// How much memory and disk the store takes, and how much may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Cached blocks of tables, in bytes.
    pub cache_bytes: u64,
    /// The write buffer of the postings, in bytes; the other keyspaces take parts of it.
    pub write_buffer_bytes: u64,
    /// The journal is cut down beyond this; at least 64 MiB.
    pub journal_bytes: u64,
    /// Threads that flush and compact. Of several, `fjall` lets the first spin while the others compact.
    pub background_threads: usize,
    /// Commits that may wait for the committer.
    pub queue_length: usize,
    /// What prepared commits may hold in memory while they wait, in bytes. Of large commits, one at a time holds some.
    pub queue_bytes: u64,
    /// Commits that share one sync at most.
    pub group_length: usize,
    /// Changes that stay in memory so that assumptions can be checked against them.
    pub recent_changes: usize,
    /// What those may hold in memory, in bytes.
    pub recent_bytes: usize,
    /// What searches may take.
    pub search: SearchSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache_bytes: 96 << 20,
            write_buffer_bytes: 24 << 20,
            journal_bytes: 64 << 20,
            background_threads: if cores < 4 { 1 } else { 2 },
            queue_length: 1024,
            queue_bytes: 192 << 20,
            group_length: 256,
            recent_changes: 16_384,
            recent_bytes: 24 << 20,
            search: SearchSettings::default(),
        }
    }
}
