//! A journal whose last batch was torn by a loss of power.
//!
//! `fjall` drops a last batch that is cut off, but refuses to open where one is complete in length and wrong in content, as
//! when the disk wrote its end and not its middle. Such a batch was never synced, thus never acknowledged: it is dropped here.
//! A copy of the journal stays beside it. A batch that is wrong ahead of the last one is damage and no tear.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Whether an error may come from a torn batch.
pub(super) fn may_be_torn(error: &fjall::Error) -> bool {
    use fjall::JournalRecoveryError::{ChecksumMismatch, InsufficientLength, TooManyItems};
    matches!(error, fjall::Error::JournalRecovery(ChecksumMismatch | InsufficientLength | TooManyItems))
}

/// A journal without its last batch, and the copy of what it was.
pub(super) struct Cut {
    journal: PathBuf,
    copy: PathBuf,
}

impl Cut {
    /// Cuts the last batch off the newest journal; `None` if there is none.
    pub(super) fn make(folder: &Path) -> std::io::Result<Option<Self>> {
        let Some(journal) = newest_journal(folder)? else { return Ok(None) };
        let Some(start) = last_batch(&std::fs::read(&journal)?) else { return Ok(None) };
        let copy = journal.with_extension("torn");
        std::fs::copy(&journal, &copy)?;
        File::open(&copy)?.sync_all()?;
        let file = OpenOptions::new().write(true).open(&journal)?;
        file.set_len(start as u64)?;
        file.sync_all()?;
        Ok(Some(Self { journal, copy }))
    }

    /// Puts the journal back as it was.
    pub(super) fn undo(self) -> std::io::Result<()> {
        std::fs::rename(self.copy, self.journal)
    }
}

fn newest_journal(folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the last complete batch begins.
fn last_batch(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut begun, mut last) = (bytes, None, None);
    while let Some((tag, behind)) = split_entry(rest) {
        match tag {
            START => begun = Some(bytes.len() - rest.len()),
            END => last = begun.take(),
            _ => {}
        }
        rest = behind;
    }
    last
}

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// The tag of the first entry, and what is behind it. An entry is as `fjall` 3 writes it, integers little-endian:
/// start: items u32, sequence u64 · item: value type u8, compression u8, keyspace u64, length of the key u16, of the value u32,
/// of the stored value u32, key, stored value · end: checksum u64, four bytes · clear: keyspace u64.
fn split_entry(bytes: &[u8]) -> Option<(u8, &[u8])> {
    const ITEM_HEAD: usize = 20;
    let (tag, rest) = bytes.split_first()?;
    let length = match *tag {
        START | END => 12,
        CLEAR => 8,
        ITEM => {
            let head = rest.first_chunk::<ITEM_HEAD>()?;
            let key = u16::from_le_bytes([head[10], head[11]]);
            let value = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
            ITEM_HEAD + usize::from(key) + value as usize
        }
        _ => return None,
    };
    Some((*tag, rest.get(length..)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{Database, Space};
    use super::*;
    use crate::Settings;

    fn open(folder: &Path) -> Result<Database, fjall::Error> {
        Database::open(folder, &Settings::default())
    }

    fn write(database: &Database, key: &str) {
        let mut batch = database.batch(2);
        batch.insert(Space::Feed, key.as_bytes(), &[7; 600][..]);
        batch.insert(Space::Meta, key.as_bytes(), "x");
        batch.commit().unwrap();
    }

    fn flip(journal: &Path, position: usize) {
        let mut bytes = std::fs::read(journal).unwrap();
        bytes[position] ^= 0xFF;
        std::fs::write(journal, bytes).unwrap();
    }

    fn has(database: &Database, key: &str) -> bool {
        database.snapshot().get(Space::Feed, key.as_bytes()).unwrap().is_some()
    }

    #[test]
    fn a_torn_last_batch_is_dropped_as_a_whole_and_what_was_ahead_stays() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path()).unwrap();
        write(&database, "one");
        write(&database, "two");
        drop(database);
        let journal = newest_journal(folder.path()).unwrap().unwrap();
        let start = last_batch(&std::fs::read(&journal).unwrap()).unwrap();
        // Within the value of the batch's first item.
        flip(&journal, start + 300);
        let database = open(folder.path()).unwrap();
        assert!(has(&database, "one") && !has(&database, "two"));
        assert!(database.snapshot().get(Space::Meta, b"two").unwrap().is_none());
        write(&database, "three");
        drop(database);
        let database = open(folder.path()).unwrap();
        assert!(has(&database, "one") && !has(&database, "two") && has(&database, "three"));
    }

    #[test]
    fn damage_ahead_of_the_last_batch_is_an_error_and_leaves_the_journal_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path()).unwrap();
        write(&database, "one");
        let journal = newest_journal(folder.path()).unwrap().unwrap();
        let start = last_batch(&std::fs::read(&journal).unwrap()).unwrap();
        write(&database, "two");
        drop(database);
        flip(&journal, start + 300);
        let before = std::fs::read(&journal).unwrap();
        assert!(open(folder.path()).is_err());
        assert!(std::fs::read(&journal).unwrap().starts_with(&before[..start]));
        let restored = std::fs::read(&journal).unwrap();
        assert_eq!(last_batch(&restored), last_batch(&before));
    }
}
