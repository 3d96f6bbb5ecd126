//! The entries of a commit in a feed: packed, in the order of the changes, split into parts of about [`PART_BYTES`], one a key.
//!
//! Layout: for each: type u8 · method u8 · version varint · length of the id u8 · id ([`OrderedId::write`]).

use fhirpool_fhir::{OrderedId, ResourceKey, ResourceType, VersionId};
use fhirpool_storage::{Method, Result, StorageError};

use crate::record::{read_varint, write_varint};

/// A part that is as long takes no more entries.
pub(crate) const PART_BYTES: usize = 4096;

/// One version that a commit made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedEntry {
    pub(crate) resource_type: ResourceType,
    pub(crate) id: OrderedId,
    pub(crate) version: VersionId,
    pub(crate) method: Method,
}

impl FeedEntry {
    /// Which resource.
    pub(crate) fn key(&self) -> ResourceKey {
        ResourceKey::new(self.resource_type, (&self.id).into())
    }
}

/// Appends an entry; `id` is what [`OrderedId::write`] wrote.
pub(crate) fn write_entry(resource_type: ResourceType, id: &[u8], version: VersionId, method: Method, out: &mut Vec<u8>) {
    out.push(resource_type.number());
    out.push(method as u8);
    write_varint(version.0, out);
    out.push(id.len() as u8);
    out.extend_from_slice(id);
}

/// Reads a part.
pub(crate) fn read_part(mut bytes: &[u8]) -> Result<Vec<FeedEntry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (entry, rest) = read_entry(bytes).ok_or_else(|| StorageError::Damaged("a part of a feed cannot be read".into()))?;
        entries.push(entry);
        bytes = rest;
    }
    Ok(entries)
}

fn read_entry(bytes: &[u8]) -> Option<(FeedEntry, &[u8])> {
    let ([resource_type, method], rest) = bytes.split_first_chunk::<2>()?;
    let (version, rest) = read_varint(rest)?;
    let (length, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let method = [Method::Post, Method::Put, Method::Delete, Method::Patch].into_iter().find(|known| *known as u8 == *method)?;
    let entry = FeedEntry {
        resource_type: ResourceType::from_number(*resource_type)?,
        id: OrderedId::read(id)?,
        version: VersionId(version),
        method,
    };
    Some((entry, rest))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let ids = [OrderedId::Uuid([7; 16]), OrderedId::Text("a.b-c".into())];
        let patient = ResourceType::parse("Patient").unwrap();
        let mut part = Vec::new();
        for id in &ids {
            let mut bytes = Vec::new();
            id.write(&mut bytes);
            write_entry(patient, &bytes, VersionId(300), Method::Patch, &mut part);
        }
        let entries = read_part(&part).unwrap();
        assert_eq!(entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
        assert!(entries.iter().all(|entry| entry.version == VersionId(300) && entry.method == Method::Patch));
        assert!(read_part(&part[..part.len() - 1]).is_err());
    }
}
