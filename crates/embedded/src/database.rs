//! The key-value store below: open, snapshot, get, range, atomic batch. Nothing above knows `fjall`.
//!
//! Reads go through a [`Snapshot`] only. A batch is written to the journal, synced, put into the memtables and published in
//! this order, under one lock; a snapshot shows what was published. So nothing that is not on stable storage can be read.

mod torn;

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use fhirpool_storage::StorageError;
use fjall::config::{BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, RestartIntervalPolicy};
use fjall::{AbstractTree, CompressionType, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use ring::rand::{SecureRandom, SystemRandom};

use crate::Settings;

/// Bytes that share their buffer.
pub(crate) type Bytes = fjall::Slice;

/// One ordered map among those that a batch writes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    /// Resource → its newest version.
    Resources,
    /// Resource and version → a version that is not the newest.
    Versions,
    /// Parameter, value, resource → length of the value.
    Postings,
    /// Resource → what is posted for it.
    Forward,
    /// Commits in their order, by tenant and by type.
    Feed,
    /// Everything that is one of a kind: format, tenants, counters, the state of the clock.
    Meta,
    /// Blocks of the log of accesses, by tenant.
    Audit,
}

impl Space {
    pub(crate) const ALL: [Self; 7] = [Self::Resources, Self::Versions, Self::Postings, Self::Forward, Self::Feed, Self::Meta, Self::Audit];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Versions => "versions",
            Self::Postings => "postings",
            Self::Forward => "forward",
            Self::Feed => "feed",
            Self::Meta => "meta",
            Self::Audit => "audit",
        }
    }

    /// A memtable that is as large is written out.
    fn memtable_bytes(self, settings: &Settings) -> u64 {
        let part = match self {
            Self::Postings => 1,
            Self::Resources | Self::Forward | Self::Versions => 2,
            Self::Feed | Self::Audit => 8,
            Self::Meta => 16,
        };
        (settings.write_buffer_bytes / part).max(1 << 20)
    }

    fn options(self) -> KeyspaceCreateOptions {
        let (block_bytes, restart_interval) = match self {
            // Read one at a time.
            Self::Resources => (8 << 10, 8),
            // Scanned in order; long shared prefixes.
            Self::Postings => (16 << 10, 32),
            Self::Forward => (16 << 10, 8),
            Self::Versions | Self::Feed | Self::Audit => (32 << 10, 16),
            Self::Meta => (4 << 10, 16),
        };
        let filter = match self {
            // Never asked for a single key.
            Self::Postings | Self::Feed => FilterPolicy::disabled(),
            _ => FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0))),
        };
        KeyspaceCreateOptions::default()
            // Only `wait_for_room` seals memtables. `fjall` itself would ask its threads to with every write to a full one; while
            // they merge tables, that fills their queue, and a thread that then seals one waits for room in the queue for ever.
            .max_memtable_size(u64::MAX)
            .data_block_size_policy(BlockSizePolicy::all(block_bytes))
            .data_block_restart_interval_policy(RestartIntervalPolicy::all(restart_interval))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
            .filter_policy(filter)
    }
}

/// The open folder. Clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    inner: fjall::Database,
    spaces: Arc<[Keyspace; 7]>,
    memtable_bytes: [u64; 7],
}

/// Beyond this `fjall` takes a new journal when it writes a memtable out.
const JOURNAL_BYTES_MAX: usize = 64_000_000;
const FILLER_BYTES: usize = 1 << 20;
/// Where it is put in `meta`, for a moment; no key of any other keyspace is so short that it could be this.
const FILLER_KEY: &[u8] = b"pad";
const JOURNAL_REMOVAL_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

impl Database {
    /// Opens the folder, or makes it. A last batch that was torn by a loss of power is dropped.
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Self, fjall::Error> {
        let error = match Self::try_open(path, settings) {
            Err(error) if torn::may_be_torn(&error) => error,
            opened => return opened,
        };
        let Some(cut) = torn::Cut::make(path)? else { return Err(error) };
        match Self::try_open(path, settings) {
            Ok(database) => {
                tracing::warn!(%error, "dropped a torn batch at the end of the journal, which was never acknowledged");
                Ok(database)
            }
            Err(_) => {
                cut.undo()?;
                Err(error)
            }
        }
    }

    fn try_open(path: &Path, settings: &Settings) -> Result<Self, fjall::Error> {
        let inner = fjall::Database::builder(path)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(settings.journal_bytes.max(64 << 20))
            .worker_threads(settings.background_threads.max(1))
            .manual_journal_persist(true)
            .open()?;
        let open = |space: Space| inner.keyspace(space.name(), || space.options());
        let spaces = Arc::new([
            open(Space::Resources)?,
            open(Space::Versions)?,
            open(Space::Postings)?,
            open(Space::Forward)?,
            open(Space::Feed)?,
            open(Space::Meta)?,
            open(Space::Audit)?,
        ]);
        Ok(Self { inner, spaces, memtable_bytes: Space::ALL.map(|space| space.memtable_bytes(settings)) })
    }

    /// What is published now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { inner: self.inner.snapshot(), spaces: self.spaces.clone() }
    }

    /// Room for a batch of this many items.
    pub(crate) fn batch(&self, items: usize) -> Batch {
        let inner = fjall::OwnedWriteBatch::with_capacity(self.inner.clone(), items).durability(Some(PersistMode::SyncAll));
        Batch { inner, spaces: self.spaces.clone() }
    }

    /// Seals memtables that are full, and waits while the tables cannot keep up with the writes. `fjall` waits too, but for ever
    /// where its threads ended on an error; here that is an error. Every writer calls this ahead of each batch.
    pub(crate) fn wait_for_room(&self) -> Result<(), fjall::Error> {
        const SEALED_MAX: usize = 3;
        const UNMERGED_MAX: usize = 24;
        let is_behind = |space: &Keyspace| space.sealed_memtable_count() >= SEALED_MAX || space.l0_table_count() >= UNMERGED_MAX;
        for (space, bytes) in self.spaces.iter().zip(self.memtable_bytes) {
            if space.tree.active_memtable().size() > bytes {
                // Fails where the database is poisoned.
                self.inner.persist(PersistMode::Buffer)?;
                space.rotate_memtable()?;
            }
        }
        while self.spaces.iter().any(is_behind) {
            self.inner.persist(PersistMode::Buffer)?;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    /// Bytes on disk by keyspace, the journal last.
    pub(crate) fn disk_bytes(&self) -> Vec<(&'static str, u64)> {
        let mut bytes: Vec<_> = Space::ALL.iter().map(|space| (space.name(), self.space(*space).disk_space())).collect();
        bytes.push(("journal", self.inner.journal_disk_space().unwrap_or(0)));
        bytes
    }

    /// Writes the memtables out and merges all tables; blocks until done.
    pub(crate) fn compact(&self) -> Result<(), StorageError> {
        for space in Space::ALL {
            self.space(space).rotate_memtable_and_wait().map_err(storage_error)?;
            self.space(space).major_compact().map_err(storage_error)?;
        }
        Ok(())
    }

    /// The same, and no file of a journal that there is now is left: what was removed is in no file any more. `fjall` takes a new
    /// journal once one is long enough, so this writes what makes it so.
    pub(crate) fn compact_with_journal(&self) -> Result<(), StorageError> {
        let mut filler = vec![0; FILLER_BYTES];
        let no_randomness = |_| StorageError::Unavailable("the operating system gives no random bytes".into());
        // What can be compressed would not make the journal longer.
        SystemRandom::new().fill(&mut filler).map_err(no_randomness)?;
        for _ in 0..=JOURNAL_BYTES_MAX / FILLER_BYTES {
            self.wait_for_room().map_err(storage_error)?;
            let mut batch = self.batch(1);
            batch.insert(Space::Meta, FILLER_KEY, filler.as_slice());
            batch.commit().map_err(storage_error)?;
        }
        let mut batch = self.batch(1);
        batch.remove(Space::Meta, FILLER_KEY);
        batch.commit().map_err(storage_error)?;
        self.compact()?;
        let began = std::time::Instant::now();
        // A journal goes once every keyspace has a table with something newer than what the journal holds of it. Merging may have
        // left none, where all that was newest was removals: one more of each, of a key that never is, and this time not merged.
        while self.inner.journal_count() > 1 {
            if began.elapsed() > JOURNAL_REMOVAL_TIME_MAX {
                return Err(StorageError::Unavailable("an old journal is not removed".into()));
            }
            let mut batch = self.batch(Space::ALL.len());
            Space::ALL.into_iter().for_each(|space| batch.remove(space, FILLER_KEY));
            batch.commit().map_err(storage_error)?;
            for space in Space::ALL {
                self.space(space).rotate_memtable_and_wait().map_err(storage_error)?;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether no snapshot, scan or batch of it is left.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.spaces) == 1
    }

    fn space(&self, space: Space) -> &Keyspace {
        &self.spaces[space as usize]
    }
}

/// Writes that happen together.
pub(crate) struct Batch {
    inner: fjall::OwnedWriteBatch,
    spaces: Arc<[Keyspace; 7]>,
}

impl Batch {
    /// Puts a value. A key is written once in a batch.
    pub(crate) fn insert(&mut self, space: Space, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.inner.insert(&self.spaces[space as usize], key, value);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, space: Space, key: impl Into<Bytes>) {
        self.inner.remove(&self.spaces[space as usize], key);
    }

    /// How many writes.
    pub(crate) fn len(&self) -> usize {
        self.inner.len()
    }

    /// Writes, syncs and publishes. After an error the database takes no more writes until it is opened anew.
    pub(crate) fn commit(self) -> Result<(), fjall::Error> {
        self.inner.commit()
    }
}

/// A consistent picture of all keyspaces.
#[derive(Clone)]
pub(crate) struct Snapshot {
    inner: fjall::Snapshot,
    spaces: Arc<[Keyspace; 7]>,
}

impl Snapshot {
    /// The value of a key.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(&self.spaces[space as usize], key).map_err(storage_error)
    }

    /// Keys and values in order, from either end.
    pub(crate) fn range<K: AsRef<[u8]>>(&self, space: Space, range: impl RangeBounds<K>) -> Scan {
        Scan { inner: self.inner.range(&self.spaces[space as usize], range), _spaces: Arc::clone(&self.spaces) }
    }

    /// Keys that begin so, and their values, in order, from either end.
    pub(crate) fn prefix(&self, space: Space, prefix: &[u8]) -> Scan {
        let until = successor(prefix);
        let until = until.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.range::<&[u8]>(space, (Bound::Included(prefix), until))
    }
}

/// The least byte string that is greater than all that begin with the prefix; `None` where there is none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}

/// Walks a range. It holds its snapshot.
pub(crate) struct Scan {
    inner: fjall::Iter,
    _spaces: Arc<[Keyspace; 7]>,
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next().map(|guard| guard.into_inner().map_err(storage_error))
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.inner.next_back().map(|guard| guard.into_inner().map_err(storage_error))
    }
}

/// What a failure of the database below means to callers.
pub(crate) fn storage_error(error: fjall::Error) -> StorageError {
    match error {
        fjall::Error::Io(_) | fjall::Error::Poisoned | fjall::Error::Storage(fjall::LsmError::Io(_)) => {
            StorageError::Unavailable(error.to_string())
        }
        _ => StorageError::Damaged(error.to_string()),
    }
}
