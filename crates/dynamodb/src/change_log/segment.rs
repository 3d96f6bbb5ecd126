//! What a segment of the change log holds, as bytes.
//!
//! Entries stand in the order of histories, one behind the other:
//!
//! ```text
//! head      1 byte    method (bits 0-2), same time as the entry ahead (3), same type (4), a UUID (5), first version (6)
//! time      varint    unless the same: milliseconds since 1970 of the first entry, else how much earlier than the one ahead
//! type      1 byte    unless the same
//! id        16 bytes of a UUID; else how much of the id ahead it begins with (1 byte), length of the rest (1 byte), the rest
//! version   varint    unless the first
//! ```
//!
//! An entry under an id of the server's takes 17 bytes.

use std::cmp::Reverse;

use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey, ResourceType, Timestamp, VersionId};
use fhirpool_storage::{HistoryPosition, LogEntry, Method, Result, StorageError};

const METHOD: u8 = 0b0000_0111;
const SAME_TIME: u8 = 0b0000_1000;
const SAME_TYPE: u8 = 0b0001_0000;
const UUID: u8 = 0b0010_0000;
const FIRST_VERSION: u8 = 0b0100_0000;
const UNKNOWN: u8 = 0b1000_0000;

/// The place of a version in histories of types and tenants: newest first, then by type, id and version. The order of places
/// is that of their tuples.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    time: Reverse<i64>,
    type_number: u8,
    id: OrderedId,
    version: Reverse<u64>,
}

impl Place {
    pub(super) fn of(entry: &LogEntry) -> Self {
        Self {
            time: Reverse(entry.last_updated.0),
            type_number: entry.key.resource_type.number(),
            id: OrderedId::from(&entry.key.id),
            version: Reverse(entry.version.0),
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp(self.time.0)
    }

    pub(super) fn version(&self) -> VersionId {
        VersionId(self.version.0)
    }

    pub(super) fn resource_type(&self) -> Result<ResourceType> {
        ResourceType::from_number(self.type_number).ok_or_else(|| damaged("type"))
    }

    pub(super) fn key(&self) -> Result<ResourceKey> {
        Ok(ResourceKey::new(self.resource_type()?, ResourceId::from(&self.id)))
    }

    /// As a client's next page names it.
    pub(super) fn position(&self) -> HistoryPosition {
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(&self.time.0.to_be_bytes());
        bytes.push(self.type_number);
        bytes.extend_from_slice(&self.version.0.to_be_bytes());
        self.id.write(&mut bytes);
        HistoryPosition(bytes)
    }

    pub(super) fn of_position(position: &HistoryPosition) -> Option<Self> {
        let (time, rest) = position.0.split_first_chunk::<8>()?;
        let (type_number, rest) = rest.split_first()?;
        let (version, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            time: Reverse(i64::from_be_bytes(*time)),
            type_number: *type_number,
            id: OrderedId::read(id)?,
            version: Reverse(u64::from_be_bytes(*version)),
        })
    }
}

/// Writes entries, which must be in order, as parts of about so many bytes at most.
pub(super) fn write(entries: &[(Place, Method)], part_bytes_max: usize) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut ahead: Option<&Place> = None;
    for (place, method) in entries {
        if parts.last().is_none_or(|part| part.len() >= part_bytes_max) {
            parts.push(Vec::new());
            ahead = None;
        }
        let part = parts.last_mut().expect("there is one");
        write_entry(place, *method, ahead, part);
        ahead = Some(place);
    }
    parts
}

fn write_entry(place: &Place, method: Method, ahead: Option<&Place>, out: &mut Vec<u8>) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let same_time = ahead.is_some_and(|ahead| ahead.time == place.time);
    let same_type = ahead.is_some_and(|ahead| ahead.type_number == place.type_number);
    let is_uuid = matches!(place.id, OrderedId::Uuid(_));
    let is_first = place.version.0 == 1;
    out.push(method as u8 | flag(same_time, SAME_TIME) | flag(same_type, SAME_TYPE) | flag(is_uuid, UUID) | flag(is_first, FIRST_VERSION));
    if !same_time {
        // Times fall from entry to entry.
        let time = ahead.map_or(place.time.0, |ahead| ahead.time.0.wrapping_sub(place.time.0));
        write_varint(time as u64, out);
    }
    if !same_type {
        out.push(place.type_number);
    }
    match &place.id {
        OrderedId::Uuid(bytes) => out.extend_from_slice(bytes),
        OrderedId::Text(text) => {
            let shared = ahead.map_or(0, |ahead| shared_length(&ahead.id, text));
            out.extend_from_slice(&[shared as u8, (text.len() - shared) as u8]);
            out.extend_from_slice(&text.as_bytes()[shared..]);
        }
    }
    if !is_first {
        write_varint(place.version.0, out);
    }
}

/// Ids are ASCII and at most 64 bytes long.
fn shared_length(ahead: &OrderedId, text: &str) -> usize {
    match ahead {
        OrderedId::Text(ahead) => ahead.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count(),
        OrderedId::Uuid(_) => 0,
    }
}

/// Reads a part.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<(Place, Method)>> {
    let mut entries: Vec<(Place, Method)> = Vec::new();
    while !bytes.is_empty() {
        let entry = read_entry(&mut bytes, entries.last().map(|(place, _)| place)).ok_or_else(|| damaged("entry"))?;
        entries.push(entry);
    }
    Ok(entries)
}

fn read_entry(bytes: &mut &[u8], ahead: Option<&Place>) -> Option<(Place, Method)> {
    let [head] = take(bytes)?;
    if head & UNKNOWN != 0 {
        return None;
    }
    let method = [Method::Post, Method::Put, Method::Delete, Method::Patch].into_iter().find(|method| *method as u8 == head & METHOD)?;
    let time = if head & SAME_TIME != 0 {
        ahead?.time.0
    } else {
        let number = read_varint(bytes)? as i64;
        ahead.map_or(number, |ahead| ahead.time.0.wrapping_sub(number))
    };
    let type_number = if head & SAME_TYPE != 0 { ahead?.type_number } else { take::<1>(bytes)?[0] };
    ResourceType::from_number(type_number)?;
    let id = if head & UUID != 0 { OrderedId::Uuid(take(bytes)?) } else { read_text(bytes, ahead)? };
    let version = if head & FIRST_VERSION != 0 { 1 } else { read_varint(bytes)? };
    Some((Place { time: Reverse(time), type_number, id, version: Reverse(version) }, method))
}

fn read_text(bytes: &mut &[u8], ahead: Option<&Place>) -> Option<OrderedId> {
    let [shared, length] = take(bytes)?;
    let mut text = match ahead.map(|ahead| &ahead.id) {
        Some(OrderedId::Text(ahead)) => ahead.get(..usize::from(shared))?.to_owned(),
        _ if shared == 0 => String::new(),
        _ => return None,
    };
    let (rest, behind) = bytes.split_at_checked(usize::from(length))?;
    *bytes = behind;
    text.push_str(std::str::from_utf8(rest).ok()?);
    ResourceId::is_valid(&text).then(|| OrderedId::Text(text.into()))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = take(bytes)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

pub(super) fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("change log: {what}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn entry(id: &str, time: i64, version: u64, type_number: u8) -> (Place, Method) {
        let key = ResourceKey::new(ResourceType::from_number(type_number).unwrap(), ResourceId::parse(id).unwrap());
        let entry = LogEntry { key, version: VersionId(version), last_updated: Timestamp(time), method: Method::Put };
        (Place::of(&entry), entry.method)
    }

    fn ids() -> impl Strategy<Value = String> {
        prop_oneof!["[A-Za-z0-9.-]{1,64}", "patient-[0-9]{3}", any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string())]
    }

    proptest! {
        #[test]
        fn entries_come_back_from_parts_of_any_length(
            entries in prop::collection::vec((ids(), any::<i64>(), any::<u64>(), 0_u8..146), 0..60),
            part_bytes_max in 1_usize..2_000,
        ) {
            let mut entries: Vec<_> = entries.iter().map(|(id, time, version, number)| entry(id, *time, *version, *number)).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            let parts = write(&entries, part_bytes_max);
            let read: Vec<_> = parts.iter().flat_map(|part| read(part).unwrap()).collect();
            prop_assert_eq!(read, entries.clone());
            for (place, _) in entries {
                prop_assert_eq!(Place::of_position(&place.position()), Some(place));
            }
        }

        #[test]
        fn any_bytes_are_a_part_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = Place::of_position(&HistoryPosition(bytes));
        }
    }

    #[test]
    fn an_entry_under_an_id_of_the_servers_takes_17_bytes() {
        let entries: Vec<_> = (0..100).map(|id| entry(&uuid::Uuid::from_u128(id).to_string(), 1_795_250_572_007, 1, 3)).collect();
        assert_eq!(write(&entries, usize::MAX)[0].len(), 100 * 17 + 6 + 1);
    }
}
