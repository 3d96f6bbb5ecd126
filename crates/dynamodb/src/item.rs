//! Items of the data table: what their attributes are called, written and read back.
//!
//! | attribute | of | type | meaning |
//! |---|---|---|---|
//! | `b` | version | B | the sealed value (see `storage::value`) |
//! | `o`, `ov`, `ol` | version | S, S, N | instead of `b`: name, object version and length of the sealed value in the content store |
//! | `x` | version, claim | B | the transaction that it belongs to; a version without one is committed by being there |
//! | `w` | version without `x`, record | B | who wrote it: node and a number of its own |
//! | `a` | version without `x`, record | N | microseconds since 1970 at which the writer committed it |
//! | `d` | version with `x`, claim, manifest | N | deadline of the transaction, microseconds since 1970 |
//! | `l` | version, committed record | N | FHIR's time of the version, milliseconds since 1970 |
//! | `z` | version | BOOL | whether it is a tombstone |
//! | `s` | record | S | `c` committed, `a` aborted |
//! | `m` | manifest | B | keys and versions, see [`ManifestEntry`] |
//! | `n` | manifest part 0 | N | how many parts there are |
//! | `ttl` | garbage to come | N | seconds since 1970 after which the table may forget the item |

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey, ResourceType, Timestamp, VersionId};
use fhirpool_storage::{ContentInfo, Result, StorageError};
use uuid::Uuid;

use crate::keys::{self, PARTITION, PartitionKey, SORT};

/// An item as the SDK has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Name of the attribute after whose time the table may forget an item.
pub(crate) const EXPIRY: &str = "ttl";
/// Name of the attribute that names an item's transaction.
pub(crate) const TRANSACTION: &str = "x";

const BODY: &str = "b";
const OBJECT: &str = "o";
const OBJECT_VERSION: &str = "ov";
const OBJECT_LENGTH: &str = "ol";
const WRITER: &str = "w";
const AT: &str = "a";
const DEADLINE: &str = "d";
const LAST_UPDATED: &str = "l";
const TOMBSTONE: &str = "z";
const STATE: &str = "s";
const MANIFEST: &str = "m";
const MANIFEST_PARTS: &str = "n";

const STATE_COMMITTED: &str = "c";
const STATE_ABORTED: &str = "a";

/// Names a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(Uuid);

impl TransactionId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads what `Display` writes: 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn attribute(self) -> AttributeValue {
        AttributeValue::B(Blob::new(self.bytes()))
    }
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// Names one process for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub u64);

/// Names one write: its node, and a number that the node gives once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WriterId {
    pub node: NodeId,
    pub number: u64,
}

impl WriterId {
    fn bytes(self) -> [u8; 16] {
        (u128::from(self.node.0) << 64 | u128::from(self.number)).to_be_bytes()
    }

    fn of_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { node: NodeId((both >> 64) as u64), number: both as u64 }
    }
}

/// A version as it is stored, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionItem {
    pub version: VersionId,
    pub last_updated: Timestamp,
    pub deleted: bool,
    pub standing: Standing,
    pub value: SealedValue,
}

/// What decides whether a version is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its being there. At which time (microseconds since 1970), and by whom.
    Alone { at: i64, writer: WriterId },
    /// The record of its transaction; undecided past the deadline (microseconds since 1970), anyone may abort it.
    Intent { transaction: TransactionId, deadline: i64 },
}

/// Where a sealed value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SealedValue {
    /// In the item.
    Inline(Vec<u8>),
    /// In the content store, under this opaque name.
    Object { name: String, info: ContentInfo },
}

/// Content type of sealed values.
pub(crate) const OBJECT_CONTENT_TYPE: &str = "application/octet-stream";

impl VersionItem {
    /// The transaction that decides, if one does.
    pub(crate) fn transaction(&self) -> Option<TransactionId> {
        match self.standing {
            Standing::Intent { transaction, .. } => Some(transaction),
            Standing::Alone { .. } => None,
        }
    }

    pub(crate) fn write(&self, partition: &PartitionKey) -> Item {
        let mut item = key(partition, keys::version(self.version));
        item.insert(LAST_UPDATED.into(), number(self.last_updated.0));
        if self.deleted {
            item.insert(TOMBSTONE.into(), AttributeValue::Bool(true));
        }
        match self.standing {
            Standing::Alone { at, writer } => {
                item.insert(AT.into(), number(at));
                item.insert(WRITER.into(), AttributeValue::B(Blob::new(writer.bytes())));
            }
            Standing::Intent { transaction, deadline } => {
                item.insert(TRANSACTION.into(), transaction.attribute());
                item.insert(DEADLINE.into(), number(deadline));
            }
        }
        match &self.value {
            SealedValue::Inline(bytes) => {
                item.insert(BODY.into(), AttributeValue::B(Blob::new(bytes.as_slice())));
            }
            SealedValue::Object { name, info } => {
                item.insert(OBJECT.into(), AttributeValue::S(name.clone()));
                item.insert(OBJECT_VERSION.into(), AttributeValue::S(info.object_version.clone()));
                item.insert(OBJECT_LENGTH.into(), number(info.length));
            }
        }
        item
    }

    /// Reads an item of a resource's partition.
    pub(crate) fn read(mut item: Item) -> Result<Self> {
        let version = keys::version_of(text(&item, SORT)?).ok_or_else(|| damaged(SORT))?;
        let standing = match optional_transaction(&item)? {
            Some(transaction) => Standing::Intent { transaction, deadline: integer(&item, DEADLINE)? },
            None => Standing::Alone { at: integer(&item, AT)?, writer: writer(&item)? },
        };
        let value = match item.remove(BODY) {
            Some(AttributeValue::B(bytes)) => SealedValue::Inline(bytes.into_inner()),
            Some(_) => return Err(damaged(BODY)),
            None => SealedValue::Object {
                name: text(&item, OBJECT)?.to_owned(),
                info: ContentInfo {
                    object_version: text(&item, OBJECT_VERSION)?.to_owned(),
                    length: integer(&item, OBJECT_LENGTH)?,
                    content_type: OBJECT_CONTENT_TYPE.to_owned(),
                },
            },
        };
        let deleted = matches!(item.get(TOMBSTONE), Some(AttributeValue::Bool(true)));
        Ok(Self { version, last_updated: Timestamp(integer(&item, LAST_UPDATED)?), deleted, standing, value })
    }
}

/// What became of a transaction. Final: the first that is written stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All its versions are.
    Committed {
        /// Microseconds since 1970, by the writer's clock.
        at: i64,
        /// FHIR's time of all its versions.
        last_updated: Timestamp,
        /// Who.
        writer: WriterId,
    },
    /// None of its versions ever was.
    Aborted,
}

impl Outcome {
    /// The transaction's record. An aborted one may be forgotten at the expiry (seconds since 1970), a committed one never.
    pub(crate) fn write(&self, partition: &PartitionKey, aborted_expiry_s: i64) -> Item {
        let mut item = key(partition, keys::RECORD.to_owned());
        match self {
            Self::Committed { at, last_updated, writer } => {
                item.insert(STATE.into(), AttributeValue::S(STATE_COMMITTED.into()));
                item.insert(AT.into(), number(at));
                item.insert(LAST_UPDATED.into(), number(last_updated.0));
                item.insert(WRITER.into(), AttributeValue::B(Blob::new(writer.bytes())));
            }
            Self::Aborted => {
                item.insert(STATE.into(), AttributeValue::S(STATE_ABORTED.into()));
                item.insert(EXPIRY.into(), number(aborted_expiry_s));
            }
        }
        item
    }

    pub(crate) fn read(item: &Item) -> Result<Self> {
        match text(item, STATE)? {
            STATE_COMMITTED => {
                Ok(Self::Committed { at: integer(item, AT)?, last_updated: Timestamp(integer(item, LAST_UPDATED)?), writer: writer(item)? })
            }
            STATE_ABORTED => Ok(Self::Aborted),
            _ => Err(damaged(STATE)),
        }
    }
}

/// One version that a transaction stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    pub key: ResourceKey,
    pub version: VersionId,
    /// Whether its value goes to the content store.
    pub large: bool,
}

/// What a transaction will stage, written before the first intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Microseconds since 1970.
    pub deadline: i64,
    /// Each key once.
    pub entries: Vec<ManifestEntry>,
}

/// A part of a manifest is not longer.
const MANIFEST_PART_BYTES_MAX: usize = 300 * 1024;
const UUID_BYTES: usize = 16;

impl Manifest {
    /// The items of its parts: type (1 byte), id (marker 0 and 16 bytes of a UUID, or marker 1, length and text), version and whether it
    /// is large (varint of twice the version, and one) of each entry, one behind the other.
    pub(crate) fn write(&self, partition: &PartitionKey, expiry_s: i64) -> Vec<Item> {
        let mut parts = vec![Vec::new()];
        for entry in &self.entries {
            if parts.last().is_none_or(|part| part.len() >= MANIFEST_PART_BYTES_MAX) {
                parts.push(Vec::new());
            }
            let part = parts.last_mut().expect("there is a first part");
            entry.write(part);
        }
        let count = parts.len();
        let part_item = |(index, part): (usize, Vec<u8>)| {
            let mut item = key(partition, keys::manifest_part(index));
            item.insert(MANIFEST.into(), AttributeValue::B(Blob::new(part)));
            item.insert(DEADLINE.into(), number(self.deadline));
            item.insert(EXPIRY.into(), number(expiry_s));
            if index == 0 {
                item.insert(MANIFEST_PARTS.into(), number(count));
            }
            item
        };
        parts.into_iter().enumerate().map(part_item).collect()
    }

    /// Of all its parts, in their order. `None`: some are missing, so that nothing can have been staged.
    pub(crate) fn read(parts: &[Item]) -> Result<Option<Self>> {
        let Some(first) = parts.first().filter(|first| first.contains_key(MANIFEST_PARTS)) else { return Ok(None) };
        if parts.len() < integer::<usize>(first, MANIFEST_PARTS)? {
            return Ok(None);
        }
        let mut entries = Vec::new();
        for part in parts {
            let mut bytes = match part.get(MANIFEST) {
                Some(AttributeValue::B(bytes)) => bytes.as_ref(),
                _ => return Err(damaged(MANIFEST)),
            };
            while !bytes.is_empty() {
                entries.push(ManifestEntry::read(&mut bytes).ok_or_else(|| damaged(MANIFEST))?);
            }
        }
        Ok(Some(Self { deadline: integer(first, DEADLINE)?, entries }))
    }

    /// The deadline that a part tells.
    pub(crate) fn deadline_of(part: &Item) -> Result<i64> {
        integer(part, DEADLINE)
    }
}

impl ManifestEntry {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.key.resource_type.number());
        match OrderedId::from(&self.key.id) {
            OrderedId::Uuid(bytes) => {
                out.push(OrderedId::UUID_MARKER);
                out.extend_from_slice(&bytes);
            }
            OrderedId::Text(text) => {
                out.extend_from_slice(&[OrderedId::TEXT_MARKER, text.len() as u8]);
                out.extend_from_slice(text.as_bytes());
            }
        }
        let mut number = self.version.0 << 1 | u64::from(self.large);
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let resource_type = ResourceType::from_number(take(bytes, 1)?[0])?;
        let id = match take(bytes, 1)?[0] {
            OrderedId::UUID_MARKER => ResourceId::from(&OrderedId::Uuid(take(bytes, UUID_BYTES)?.try_into().ok()?)),
            OrderedId::TEXT_MARKER => {
                let length = usize::from(take(bytes, 1)?[0]);
                ResourceId::parse(std::str::from_utf8(take(bytes, length)?).ok()?)?
            }
            _ => return None,
        };
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = take(bytes, 1)?[0];
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(Self { key: ResourceKey::new(resource_type, id), version: VersionId(number >> 1), large: number & 1 == 1 });
            }
        }
        None
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// An exclusive claim or lock, free once its transaction is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimItem {
    pub transaction: TransactionId,
    /// Microseconds since 1970.
    pub deadline: i64,
}

impl ClaimItem {
    pub(crate) fn write(&self, partition: &PartitionKey, sort: &str, expiry_s: i64) -> Item {
        let mut item = key(partition, sort.to_owned());
        item.insert(TRANSACTION.into(), self.transaction.attribute());
        item.insert(DEADLINE.into(), number(self.deadline));
        item.insert(EXPIRY.into(), number(expiry_s));
        item
    }

    pub(crate) fn read(item: &Item) -> Result<Self> {
        let transaction = optional_transaction(item)?.ok_or_else(|| damaged(TRANSACTION))?;
        Ok(Self { transaction, deadline: integer(item, DEADLINE)? })
    }
}

/// The two attributes that name an item.
pub(crate) fn key(partition: &PartitionKey, sort: String) -> Item {
    Item::from([(PARTITION.to_owned(), partition.attribute()), (SORT.to_owned(), AttributeValue::S(sort))])
}

/// A number's attribute.
pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A text that must be there.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(damaged(name)),
    }
}

/// A number that must be there.
pub(crate) fn integer<T: std::str::FromStr>(item: &Item, name: &str) -> Result<T> {
    match item.get(name) {
        Some(AttributeValue::N(digits)) => digits.parse().map_err(|_| damaged(name)),
        _ => Err(damaged(name)),
    }
}

fn optional_transaction(item: &Item) -> Result<Option<TransactionId>> {
    match item.get(TRANSACTION) {
        Some(AttributeValue::B(bytes)) => {
            let id = Uuid::from_slice(bytes.as_ref()).map_err(|_| damaged(TRANSACTION))?;
            Ok(Some(TransactionId(id)))
        }
        Some(_) => Err(damaged(TRANSACTION)),
        None => Ok(None),
    }
}

/// Who wrote a version without transaction, if it is one.
pub(crate) fn writer_of(item: &Item) -> Option<WriterId> {
    writer(item).ok()
}

fn writer(item: &Item) -> Result<WriterId> {
    match item.get(WRITER) {
        Some(AttributeValue::B(bytes)) => {
            bytes.as_ref().try_into().map(WriterId::of_bytes).map_err(|_: std::array::TryFromSliceError| damaged(WRITER))
        }
        _ => Err(damaged(WRITER)),
    }
}

/// What is stored is not what was written.
pub(crate) fn damaged(attribute: &str) -> StorageError {
    StorageError::Damaged(format!("item: attribute {attribute}"))
}

#[cfg(test)]
mod tests;
