//! The form of a backup: everything but what is derived (postings, their lists, counters) and the keys.
//!
//! ```text
//! "fhirpool backup 1\n"
//! chunks: length u32 · payload · SHA-256 of the checksum before it (of the first line for the first) and the payload
//! payload: items, each: keyspace u8 · length of the key u16 · length of the value u32 · key · value
//! the end: length 0 · number of items u64 · SHA-256 of the checksum before it and this number
//! ```
//! Numbers are big-endian. So no chunk can be changed, left out or moved, and no end be cut off, without being noticed.

use std::io::{Read, Write};

use fhirpool_storage::StorageError;
use ring::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN};

use super::{MaintenanceError, Result};
use crate::database::{Snapshot, Space};
use crate::keys::CounterKey;
use crate::meta::Clock;

const MAGIC: &[u8] = b"fhirpool backup 1\n";
/// A chunk that is as long takes no more items.
const CHUNK_BYTES: usize = 1 << 20;
/// No chunk is longer: one value may be large.
const CHUNK_BYTES_MAX: usize = 1 << 30;
/// What is in a backup, in this order.
pub(super) const SPACES: [Space; 5] = [Space::Meta, Space::Feed, Space::Resources, Space::Versions, Space::Audit];

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSummary {
    /// Resources and tombstones.
    pub resources: u64,
    /// Superseded versions besides.
    pub superseded: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The last commit in it.
    pub sequence: u64,
}

/// Writes a snapshot.
pub(super) fn write(snapshot: &Snapshot, to: &mut dyn Write) -> Result<BackupSummary> {
    let mut writer = Writer { checksum: checksum(&[], MAGIC), to, payload: Vec::new(), items: 0, bytes: MAGIC.len() as u64 };
    writer.to.write_all(MAGIC)?;
    let mut counts = [0; SPACES.len()];
    for (position, space) in SPACES.into_iter().enumerate() {
        for item in snapshot.range::<&[u8]>(space, ..) {
            let (key, value) = item?;
            if space == Space::Meta && CounterKey::parse(&key).is_some() {
                continue;
            }
            writer.item(space, &key, &value)?;
            counts[position] += 1;
        }
    }
    let bytes = writer.finish()?;
    Ok(BackupSummary { resources: counts[2], superseded: counts[3], bytes, sequence: Clock::read(snapshot)?.sequence })
}

fn checksum(before: &[u8], payload: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(payload);
    context.finish()
}

struct Writer<'a> {
    to: &'a mut dyn Write,
    checksum: Digest,
    payload: Vec<u8>,
    items: u64,
    bytes: u64,
}

impl Writer<'_> {
    fn item(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<()> {
        let lengths = u16::try_from(key.len()).ok().zip(u32::try_from(value.len()).ok());
        let (key_length, value_length) = lengths.ok_or_else(|| StorageError::Damaged("a key or value is too long".into()))?;
        self.payload.push(space as u8);
        self.payload.extend_from_slice(&key_length.to_be_bytes());
        self.payload.extend_from_slice(&value_length.to_be_bytes());
        self.payload.extend_from_slice(key);
        self.payload.extend_from_slice(value);
        self.items += 1;
        if self.payload.len() >= CHUNK_BYTES { self.chunk() } else { Ok(()) }
    }

    fn chunk(&mut self) -> Result<()> {
        let payload = std::mem::take(&mut self.payload);
        let length = u32::try_from(payload.len()).map_err(|_| StorageError::Damaged("a value is too long".into()))?;
        self.write(&length.to_be_bytes(), &payload)
    }

    fn write(&mut self, length: &[u8], payload: &[u8]) -> Result<()> {
        self.checksum = checksum(self.checksum.as_ref(), payload);
        self.to.write_all(length)?;
        self.to.write_all(payload)?;
        self.to.write_all(self.checksum.as_ref())?;
        self.bytes += (length.len() + payload.len() + SHA256_OUTPUT_LEN) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        if !self.payload.is_empty() {
            self.chunk()?;
        }
        let items = self.items.to_be_bytes();
        self.write(&0_u32.to_be_bytes(), &items)?;
        self.to.flush()?;
        Ok(self.bytes)
    }
}

/// Reads a backup and gives each item; nothing of a chunk is given before its checksum is right.
pub(super) fn read(from: &mut dyn Read, mut take: impl FnMut(Space, &[u8], &[u8]) -> Result<()>) -> Result<()> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).map_err(cut)?;
    if magic != MAGIC {
        return Err(MaintenanceError::NotABackup("it does not begin as one"));
    }
    let mut before = checksum(&[], MAGIC);
    let (mut payload, mut items) = (Vec::new(), 0_u64);
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > CHUNK_BYTES_MAX {
            return Err(MaintenanceError::NotABackup("a chunk is too long"));
        }
        let is_end = length == 0;
        payload.clear();
        let wanted = if is_end { 8 } else { length as u64 };
        // Grows as bytes come, not as the length claims.
        let read = (&mut *from).take(wanted).read_to_end(&mut payload)?;
        let mut found = [0; SHA256_OUTPUT_LEN];
        from.read_exact(&mut found).map_err(cut)?;
        before = checksum(before.as_ref(), &payload);
        if read as u64 != wanted || before.as_ref() != found {
            return Err(MaintenanceError::NotABackup("a checksum is wrong"));
        }
        if is_end {
            return match payload == items.to_be_bytes() {
                true => Ok(()),
                false => Err(MaintenanceError::NotABackup("the number of items is wrong")),
            };
        }
        items += give_items(&payload, &mut take)?;
    }
}

fn give_items(mut payload: &[u8], take: &mut impl FnMut(Space, &[u8], &[u8]) -> Result<()>) -> Result<u64> {
    let mut items = 0;
    while !payload.is_empty() {
        let (item, rest) = split_item(payload).ok_or(MaintenanceError::NotABackup("an item cannot be read"))?;
        take(item.space, item.key, item.value)?;
        payload = rest;
        items += 1;
    }
    Ok(items)
}

struct Item<'a> {
    space: Space,
    key: &'a [u8],
    value: &'a [u8],
}

/// The first item and what is behind it.
fn split_item(payload: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (space, rest) = payload.split_first()?;
    let (key_length, rest) = rest.split_first_chunk::<2>()?;
    let (value_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key_length)))?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_length) as usize)?;
    let space = SPACES.into_iter().find(|known| *known as u8 == *space)?;
    Some((Item { space, key, value }, rest))
}

fn cut(error: std::io::Error) -> MaintenanceError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => MaintenanceError::NotABackup("it ends too early"),
        _ => MaintenanceError::Io(error),
    }
}
