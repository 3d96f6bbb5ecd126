//! The log of accesses: its port, and the form of what is appended.
//!
//! What is appended is a block: some records, sealed under the tenant's key, behind the digest of the block that its chain has
//! ahead of it. A chain is what one process (or one data folder) appends for one tenant, numbered from 1 without gaps, so whoever
//! holds the blocks can tell that one of them was changed, left out or moved, even without the key.
//!
//! ```text
//! previous  32 bytes  digest of the block ahead; zeros for the first
//! sealed              crate::value::seal_bytes of: length of the records u32, little-endian · the records as a zstd frame
//! ```
//! The digest of a block is SHA-256 over its name (time, chain, number, each of 8 bytes, big-endian) and these bytes.
//!
//! Deliberately absent: what a record says, and who appends when.

mod anchor;
mod check;

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::Timestamp;
use ring::digest::{Context, SHA256};

use crate::value::{Seal, open_bytes, seal_bytes, seal_of};
use crate::{KeyEpoch, KeyRing, Result, StorageError, TenantKey};

pub use anchor::{AuditAnchor, SealedAnchor};
pub use check::ChainCheck;

/// Milliseconds of an hour: no block holds records of two.
pub const AUDIT_HOUR_MS: i64 = 3_600_000;
/// No block spans more milliseconds, so that whoever wants a time knows where to begin.
pub const AUDIT_SPAN_MS: i64 = 10_000;
/// No block holds more bytes of records. Compressed and sealed it fits an item of DynamoDB, even where it does not shrink.
pub const AUDIT_BLOCK_BYTES_MAX: usize = 256 * 1024;

/// What seals of blocks are named by, ahead of everything else.
const SEALED_AS: &[u8] = b"audit log";
/// The same of anchors.
const SEALED_AS_ANCHOR: &[u8] = b"audit anchor";
const COMPRESSION_LEVEL: i32 = 1;

/// The digest of a block.
pub type BlockDigest = [u8; 32];

/// Where a block stands. The order of names is that of the log: by time, then by chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockName {
    /// Of its earliest record.
    pub time: Timestamp,
    /// Which chain: a number of the process that appends.
    pub chain: u64,
    /// From 1, without gaps.
    pub sequence: u64,
}

impl BlockName {
    /// Length of a name in bytes.
    pub const LENGTH: usize = 24;

    /// In an order that is that of names. Times before 1970 count as its beginning: no clock of ours tells them.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.time.0.max(0).to_be_bytes());
        bytes[8..16].copy_from_slice(&self.chain.to_be_bytes());
        bytes[16..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// What [`BlockName::to_bytes`] wrote; `None` for what it did not.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let (chain, sequence) = rest.split_first_chunk::<8>()?;
        let time = Timestamp(i64::from_be_bytes(*time));
        let name = Self { time, chain: u64::from_be_bytes(*chain), sequence: u64::from_be_bytes(sequence.try_into().ok()?) };
        (time.0 >= 0).then_some(name)
    }
}

/// A block as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBlock {
    /// Its place.
    pub name: BlockName,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl AuditBlock {
    /// Seals records.
    pub fn seal(key: &TenantKey, tenant: &TenantId, name: BlockName, previous: &BlockDigest, records: &[u8]) -> Self {
        let frame = zstd::bulk::compress(records, COMPRESSION_LEVEL).expect("compressing into memory does not fail");
        let mut text = (records.len() as u32).to_le_bytes().to_vec();
        text.extend_from_slice(&frame);
        let mut bytes = previous.to_vec();
        seal_bytes(key, &[SEALED_AS, tenant.as_str().as_bytes(), &name.to_bytes(), previous], &text, &mut bytes);
        Self { name, bytes }
    }

    /// The digest of the block ahead in the chain.
    pub fn previous(&self) -> Result<&BlockDigest> {
        self.bytes.first_chunk().ok_or_else(|| damaged("too short"))
    }

    /// What the next block of the chain begins with.
    pub fn digest(&self) -> BlockDigest {
        let mut context = Context::new(&SHA256);
        context.update(&self.name.to_bytes());
        context.update(&self.bytes);
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Which key opens it.
    pub fn epoch(&self) -> Result<KeyEpoch> {
        match seal_of(self.bytes.get(32..).unwrap_or_default())? {
            Seal::Key(epoch) => Ok(epoch),
            _ => Err(damaged("not sealed")),
        }
    }

    /// The records.
    pub fn open(&self, key: &TenantKey, tenant: &TenantId) -> Result<Vec<u8>> {
        let (previous, sealed) = self.bytes.split_first_chunk::<32>().ok_or_else(|| damaged("too short"))?;
        let text = open_bytes(key, &[SEALED_AS, tenant.as_str().as_bytes(), &self.name.to_bytes(), previous], sealed)?;
        let (length, frame) = text.split_first_chunk::<4>().ok_or_else(|| damaged("too short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > AUDIT_BLOCK_BYTES_MAX {
            return Err(damaged("too long"));
        }
        let records = zstd::bulk::decompress(frame, length).map_err(|_| damaged("frame"))?;
        if records.len() == length { Ok(records) } else { Err(damaged("length")) }
    }

    /// The records, by a key of the ring.
    pub async fn open_with(&self, keys: &dyn KeyRing, tenant: &TenantId) -> Result<Vec<u8>> {
        let key = keys.unwrap(tenant, self.epoch()?).await?;
        self.open(&key, tenant)
    }
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("a block of the audit log: {what}"))
}

/// The last block of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainEnd {
    /// Its place.
    pub name: BlockName,
    /// Its digest.
    pub digest: BlockDigest,
}

/// The chain that a process appends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Its number.
    pub number: u64,
    /// Its last block; `None`: there is none yet.
    pub end: Option<ChainEnd>,
}

/// A part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRange {
    /// Blocks whose time is not before this.
    pub from: Timestamp,
    /// Blocks whose time is before this.
    pub until: Timestamp,
    /// Only blocks whose names are less than this.
    pub before: Option<BlockName>,
    /// At most so many.
    pub limit: usize,
}

/// A page of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// By name, the greatest first.
    pub blocks: Vec<AuditBlock>,
    /// Whether there may be more behind them.
    pub more: bool,
}

/// What goes because its time is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpiredBlocks {
    /// The blocks, of any chains and hours.
    pub blocks: Vec<BlockName>,
    /// Where the chains begin then, one for each chain.
    pub anchors: Vec<SealedAnchor>,
}

/// Keeps the log.
///
/// Contract: what was appended is on stable storage once the call returns, is never changed, or removed but by
/// [`AuditLog::expire`], and is found by every scan that begins later. The same block twice is one; another block of the same name is refused as
/// [`StorageError::Damaged`]. Scans need an access for the audit ([`ReadAccess::is_for_audit`]), else [`StorageError::Denied`].
/// A tenant that is not there is [`StorageError::UnknownTenant`].
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// The chain that this process appends to for the tenant. Nobody else does as long as it runs.
    async fn chain(&self, access: &WriteAccess) -> Result<Chain>;

    /// Appends blocks of that chain, in their order. Of several, an error leaves it open how many were.
    async fn append(&self, access: &WriteAccess, blocks: &[AuditBlock]) -> Result<()>;

    /// Reads the log downwards.
    async fn scan(&self, access: &ReadAccess, range: &AuditRange) -> Result<AuditPage>;

    /// A certain block.
    async fn block(&self, access: &ReadAccess, name: &BlockName) -> Result<Option<AuditBlock>>;

    /// The ends of chains as the log notes them besides the blocks, where it does: a chain that ends earlier was cut.
    async fn ends(&self, access: &ReadAccess) -> Result<Vec<ChainEnd>>;

    /// The beginning of the first hour that begins at this time or later and may hold blocks; `from` begins an hour.
    async fn next_hour(&self, access: &ReadAccess, from: Timestamp) -> Result<Option<Timestamp>>;

    /// Removes blocks. Ahead of that each anchor is kept, in place of an earlier one of its chain; one that is earlier than what is
    /// there changes nothing. Broken off, it can be done again. Nobody may append to an hour that loses blocks.
    async fn expire(&self, access: &WriteAccess, expired: &ExpiredBlocks) -> Result<()>;

    /// The anchors of all chains that have one.
    async fn anchors(&self, access: &ReadAccess) -> Result<Vec<SealedAnchor>>;
}

/// Refuses an access that is not for the audit.
pub fn check_audit(access: &ReadAccess) -> Result<()> {
    if access.is_for_audit() { Ok(()) } else { Err(StorageError::Denied) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_block_opens_under_its_name_tenant_and_predecessor_alone() {
        let (key, tenant) = (TenantKey::new(KeyEpoch(2), &[7; TenantKey::LENGTH]), TenantId::parse("acme").unwrap());
        let name = BlockName { time: Timestamp(1_700_000_000_000), chain: 9, sequence: 1 };
        let block = AuditBlock::seal(&key, &tenant, name, &[3; 32], b"records records records");
        assert_eq!((block.epoch(), block.previous()), (Ok(KeyEpoch(2)), Ok(&[3; 32])));
        assert_eq!(block.open(&key, &tenant).unwrap(), b"records records records");
        assert!(block.open(&key, &TenantId::parse("demo").unwrap()).is_err());
        for name in [BlockName { sequence: 2, ..name }, BlockName { chain: 8, ..name }, BlockName { time: Timestamp(5), ..name }] {
            let moved = AuditBlock { name, bytes: block.bytes.clone() };
            assert!(moved.open(&key, &tenant).is_err() && moved.digest() != block.digest());
        }
        for place in 0..block.bytes.len() {
            let mut changed = block.clone();
            changed.bytes[place] ^= 1;
            assert!(changed.open(&key, &tenant).is_err() && changed.digest() != block.digest(), "byte {place}");
            changed.bytes.truncate(place);
            assert!(changed.open(&key, &tenant).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn names_are_ordered_as_their_bytes() {
        let name = |time, chain, sequence| BlockName { time: Timestamp(time), chain, sequence };
        let names = [name(0, 0, 1), name(0, 0, 256), name(0, 1, 1), name(1, 0, 1), name(256, 0, 1)];
        assert!(names.windows(2).all(|pair| pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes()));
        assert!(names.iter().all(|name| BlockName::of_bytes(&name.to_bytes()) == Some(*name)));
        assert_eq!((BlockName::of_bytes(&[0; 23]), BlockName::of_bytes(&[0xFF; 24])), (None, None));
    }
}
