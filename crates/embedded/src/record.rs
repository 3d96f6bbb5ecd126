//! A stored version: what must be known of it without its key, then the sealed value.
//!
//! Layout: flags u8 (bit 0: deleted) · version varint · last updated i64 · [`fhirpool_storage::value`]. All of the head is
//! sealed too, and compared when the value is opened.

use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_storage::value::{Compressed, ItemName, Seal, open, seal_of};
use fhirpool_storage::{Content, KeyEpoch, Result, StorageError, StoredVersion, TenantKey};

use fhirpool_authz::TenantId;

const DELETED: u8 = 1;

/// What a record says in clear text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: VersionId,
    pub(crate) last_updated: Timestamp,
    pub(crate) deleted: bool,
}

impl Head {
    /// The head and the sealed value behind it.
    pub(crate) fn read(record: &[u8]) -> Result<(Self, &[u8])> {
        split(record).ok_or_else(|| StorageError::Damaged("the head of a version cannot be read".into()))
    }

    /// The head alone.
    pub(crate) fn of(record: &[u8]) -> Result<Self> {
        Self::read(record).map(|(head, _)| head)
    }

    /// The record: this head, and the content sealed with it.
    pub(crate) fn seal(&self, content: &Compressed, tenant: &TenantId, resource: &ResourceKey, key: &TenantKey) -> Vec<u8> {
        let mut record = Vec::with_capacity(24 + content.length());
        record.push(if self.deleted { DELETED } else { 0 });
        write_varint(self.version.0, &mut record);
        record.extend_from_slice(&self.last_updated.0.to_be_bytes());
        content.seal(key, &item(tenant, resource, self.version), self.last_updated, &mut record);
        record
    }
}

fn split(record: &[u8]) -> Option<(Head, &[u8])> {
    let (flags, rest) = record.split_first()?;
    let (version, rest) = read_varint(rest)?;
    let (time, value) = rest.split_first_chunk::<8>()?;
    let head = Head { version: VersionId(version), last_updated: Timestamp(i64::from_be_bytes(*time)), deleted: *flags == DELETED };
    (*flags <= DELETED).then_some((head, value))
}

/// The key that opens a record; `None`: it is not sealed.
pub(crate) fn epoch(record: &[u8]) -> Result<Option<KeyEpoch>> {
    let (_, value) = Head::read(record)?;
    Ok(match seal_of(value)? {
        Seal::Key(epoch) => Some(epoch),
        Seal::Checksum => None,
    })
}

/// Opens a record.
pub(crate) fn read(record: &[u8], tenant: &TenantId, resource: &ResourceKey, key: &TenantKey) -> Result<StoredVersion> {
    let (head, value) = Head::read(record)?;
    let version = open(key, &item(tenant, resource, head.version), value)?;
    let deleted = version.content == Content::Deleted;
    if version.last_updated != head.last_updated || deleted != head.deleted {
        return Err(StorageError::Damaged("the head of a version contradicts its sealed value".into()));
    }
    Ok(version)
}

fn item<'a>(tenant: &'a TenantId, resource: &'a ResourceKey, version: VersionId) -> ItemName<'a> {
    ItemName { tenant, resource_type: resource.resource_type, id: &resource.id, version, transaction: &[] }
}

/// Seven bits a byte, the lowest first.
pub(crate) fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number and what stands behind it.
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7F).checked_shl(7 * position as u32)?;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[position + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write_varint(number, &mut bytes);
            bytes.push(9);
            assert_eq!(read_varint(&bytes), Some((number, &[9][..])));
        }
        assert_eq!(read_varint(&[0x80; 12]), None);
        assert_eq!(read_varint(&[]), None);
    }
}
