//! The format of a stored version, which every backend shares.
//!
//! ```text
//! format      1 byte    1
//! dictionary  1 byte    of the body's compression; 0: none
//! seal        1 byte    0: checksum, 1: AES-256-GCM
//! key epoch   varint    0 where not sealed
//! nonce       12 bytes  only where sealed
//! ┌ last updated  8 bytes, little-endian, milliseconds since 1970
//! │ flags         1 byte    method, place of meta, deleted, whether the body is compressed
//! │ meta offset   varint    absent where deleted
//! │ raw length    varint    absent where deleted
//! └ body          the resource's text: a zstd frame, or as it is where that is no longer
//! tag         16 bytes where sealed, else 4 bytes of CRC-32
//! ```
//!
//! What stands in the frame is encrypted where sealed. Each item has a key of its own, by HKDF-SHA256 from the tenant's
//! key and the item's name (tenant, type, id, version, transaction); the name and all that stands ahead of the nonce are
//! authenticated too. So bytes that are moved to another tenant, resource, version or transaction do not open.
//!
//! Work is in two steps, so that a store can compress before it knows the version and time of a commit:
//! [`Codec::compress`] is the costly one (some microseconds), [`Compressed::seal`] costs about one.
//!
//! Deliberately absent: where values are stored, and the keys' custody ([`crate::KeyRing`]).

use fhirpool_authz::TenantId;
use fhirpool_fhir::resource::MetaPlace;
use fhirpool_fhir::{ResourceBody, ResourceId, ResourceType, Timestamp, VersionId};

use crate::{Content, KeyEpoch, Method, Result, StorageError, StoredVersion, TenantKey};

mod body;
mod bytes;
mod dictionary;
mod other;
mod seal;
#[cfg(test)]
mod tests;

use bytes::{Reader, write_varint};
pub use dictionary::DictionaryId;
pub use other::{SEAL_LENGTH_MAX, open_bytes, seal_bytes};

/// The format written. A new one takes the next number; all that were ever released are read for ever.
const FORMAT: u8 = 1;
const SEAL_CHECKSUM: u8 = 0;
const SEAL_AES_256_GCM: u8 = 1;

const FLAG_METHOD: u8 = 0b0000_0111;
const FLAG_META: u8 = 0b0001_1000;
const FLAG_META_SHIFT: u32 = 3;
const FLAG_DELETED: u8 = 0b0010_0000;
const FLAG_COMPRESSED: u8 = 0b0100_0000;
const FLAG_UNKNOWN: u8 = 0b1000_0000;

/// What a stored value is the value of. Part of its key and of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub struct ItemName<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// The resource's type.
    pub resource_type: ResourceType,
    /// The resource's id.
    pub id: &'a ResourceId,
    /// The version.
    pub version: VersionId,
    /// The transaction that wrote it, for backends that tell them apart; else empty.
    pub transaction: &'a [u8],
}

impl ItemName<'_> {
    /// Each part behind its length, so that no two names are written alike.
    fn write(&self, out: &mut Vec<u8>) {
        let type_name = self.resource_type.name();
        for part in [self.tenant.as_str().as_bytes(), type_name.as_bytes(), self.id.as_str().as_bytes(), self.transaction] {
            write_varint(part.len() as u64, out);
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.version.0.to_be_bytes());
    }
}

/// Makes values with one dictionary; reads all.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    dictionary: DictionaryId,
}

impl Default for Codec {
    /// With the newest dictionary.
    fn default() -> Self {
        Self { dictionary: DictionaryId::NEWEST }
    }
}

/// A version's content as it will be stored, but for time, version and seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    dictionary: DictionaryId,
    /// From the flags to the end of the body.
    payload: Vec<u8>,
}

impl Codec {
    /// With this dictionary.
    pub fn with_dictionary(dictionary: DictionaryId) -> Self {
        Self { dictionary }
    }

    /// Does what can be done before the commit.
    pub fn compress(&self, method: Method, content: &Content) -> Compressed {
        let mut payload = Vec::new();
        match content {
            Content::Deleted => payload.push(method as u8 | FLAG_DELETED),
            Content::Resource(resource) => {
                let bound = body::compressed_length_max(resource.text.len());
                payload.reserve(1 + 2 * bytes::VARINT_LENGTH_MAX + bound);
                payload.push(method as u8 | (resource.meta as u8) << FLAG_META_SHIFT);
                write_varint(u64::from(resource.meta_offset), &mut payload);
                write_varint(resource.text.len() as u64, &mut payload);
                if body::compress(self.dictionary, &resource.text, &mut payload) {
                    payload[0] |= FLAG_COMPRESSED;
                }
                // Many may wait for their commit at once.
                payload.shrink_to_fit();
            }
        }
        Compressed { dictionary: self.dictionary, payload }
    }

    /// Appends a whole sealed value: both steps in one.
    pub fn seal(&self, key: &TenantKey, item: &ItemName<'_>, version: &StoredVersion, out: &mut Vec<u8>) {
        self.compress(version.method, &version.content).seal(key, item, version.last_updated, out);
    }
}

impl Compressed {
    /// Appends the value, sealed under the item's key.
    pub fn seal(&self, key: &TenantKey, item: &ItemName<'_>, last_updated: Timestamp, out: &mut Vec<u8>) {
        let start = self.begin(SEAL_AES_256_GCM, key.epoch(), out);
        let nonce = seal::random_nonce();
        let header_end = out.len();
        out.extend_from_slice(&nonce);
        let sealed_from = self.append(last_updated, out);
        let name = authenticated(item, &out[start..header_end]);
        let tag = seal::encrypt(key, &name, nonce, &mut out[sealed_from..]);
        out.extend_from_slice(&tag);
    }

    /// Appends the value in clear text with a checksum, for what needs no secrecy.
    pub fn write_unsealed(&self, item: &ItemName<'_>, last_updated: Timestamp, out: &mut Vec<u8>) {
        let start = self.begin(SEAL_CHECKSUM, KeyEpoch(0), out);
        let header_end = out.len();
        let from = self.append(last_updated, out);
        let name = authenticated(item, &out[start..header_end]);
        let checksum = seal::checksum(&name, &out[from..]);
        out.extend_from_slice(&checksum);
    }

    /// How many bytes it takes, about.
    pub fn length(&self) -> usize {
        self.payload.len() + 48
    }

    fn begin(&self, seal: u8, epoch: KeyEpoch, out: &mut Vec<u8>) -> usize {
        out.reserve(self.length());
        let start = out.len();
        out.extend_from_slice(&[FORMAT, self.dictionary.number(), seal]);
        write_varint(u64::from(epoch.0), out);
        start
    }

    fn append(&self, last_updated: Timestamp, out: &mut Vec<u8>) -> usize {
        let from = out.len();
        out.extend_from_slice(&last_updated.0.to_le_bytes());
        out.extend_from_slice(&self.payload);
        from
    }
}

/// The name behind the header: what is authenticated besides the text.
fn authenticated(item: &ItemName<'_>, header: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(192);
    name.push(header.len() as u8);
    name.extend_from_slice(header);
    item.write(&mut name);
    name
}

/// How a value is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Clear text with a checksum.
    Checksum,
    /// AES-256-GCM under a key of this epoch.
    Key(KeyEpoch),
}

/// What a value says of itself in clear text: tells which key opens it.
pub fn seal_of(value: &[u8]) -> Result<Seal> {
    header(value).map(|(_, seal, _)| seal)
}

/// Reads a value; `key` must be the one that [`seal_of`] asks for, and is not looked at where it asks for none.
///
/// # Errors
/// [`StorageError::Damaged`] if the bytes are not exactly what was written for this item under this key.
pub fn open(key: &TenantKey, item: &ItemName<'_>, value: &[u8]) -> Result<StoredVersion> {
    let (dictionary, seal, header_length) = header(value)?;
    let name = authenticated(item, &value[..header_length]);
    match seal {
        Seal::Key(epoch) if epoch != key.epoch() => Err(damaged("sealed under another key")),
        Seal::Key(_) => seal::decrypt(key, &name, &value[header_length..], |payload| stored_version(dictionary, item, payload)),
        Seal::Checksum => stored_version(dictionary, item, seal::check(&name, &value[header_length..])?),
    }
}

/// Reads a value that is not sealed.
///
/// # Errors
/// [`StorageError::Damaged`] if the bytes are not exactly what was written for this item, or if they are sealed.
pub fn open_unsealed(item: &ItemName<'_>, value: &[u8]) -> Result<StoredVersion> {
    let (dictionary, seal, header_length) = header(value)?;
    if seal != Seal::Checksum {
        return Err(damaged("sealed"));
    }
    let name = authenticated(item, &value[..header_length]);
    stored_version(dictionary, item, seal::check(&name, &value[header_length..])?)
}

fn header(value: &[u8]) -> Result<(DictionaryId, Seal, usize)> {
    let mut reader = Reader::new(value);
    if reader.byte()? != FORMAT {
        return Err(damaged("unknown format"));
    }
    let dictionary = DictionaryId::from_number(reader.byte()?).ok_or_else(|| damaged("unknown dictionary"))?;
    let seal = reader.byte()?;
    let epoch = KeyEpoch(u32::try_from(reader.varint()?).map_err(|_| damaged("key epoch"))?);
    let seal = match seal {
        SEAL_CHECKSUM => Seal::Checksum,
        SEAL_AES_256_GCM => Seal::Key(epoch),
        _ => return Err(damaged("unknown seal")),
    };
    Ok((dictionary, seal, value.len() - reader.rest().len()))
}

fn stored_version(dictionary: DictionaryId, item: &ItemName<'_>, payload: &[u8]) -> Result<StoredVersion> {
    let mut reader = Reader::new(payload);
    let last_updated = Timestamp(i64::from_le_bytes(reader.array()?));
    let flags = reader.byte()?;
    let method = method(flags & FLAG_METHOD)?;
    if flags & FLAG_UNKNOWN != 0 {
        return Err(damaged("unknown flag"));
    }
    let content = if flags & FLAG_DELETED == 0 {
        Content::Resource(resource(dictionary, flags, reader)?)
    } else if reader.rest().is_empty() {
        Content::Deleted
    } else {
        return Err(damaged("bytes behind a tombstone"));
    };
    Ok(StoredVersion { version: item.version, last_updated, method, content })
}

fn resource(dictionary: DictionaryId, flags: u8, mut reader: Reader<'_>) -> Result<ResourceBody> {
    let meta = match (flags & FLAG_META) >> FLAG_META_SHIFT {
        0 => MetaPlace::Absent,
        1 => MetaPlace::Empty,
        2 => MetaPlace::Filled,
        _ => return Err(damaged("place of meta")),
    };
    let meta_offset = u32::try_from(reader.varint()?).map_err(|_| damaged("offset of meta"))?;
    let raw_length = reader.varint()?;
    let text = if flags & FLAG_COMPRESSED == 0 {
        String::from_utf8(reader.rest().to_vec()).map_err(|_| damaged("text"))?
    } else {
        body::decompress(dictionary, reader.rest(), raw_length)?
    };
    if text.len() as u64 != raw_length || !text.is_char_boundary(meta_offset as usize) {
        return Err(damaged("length of the body"));
    }
    Ok(ResourceBody { text, meta_offset, meta })
}

fn method(number: u8) -> Result<Method> {
    [Method::Post, Method::Put, Method::Delete, Method::Patch]
        .into_iter()
        .find(|method| *method as u8 == number)
        .ok_or_else(|| damaged("unknown method"))
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("stored value: {what}"))
}
