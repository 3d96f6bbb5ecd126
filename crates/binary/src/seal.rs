//! The format of sealed content, written and read piece by piece.
//!
//! ```text
//! "fpc" 1       4 bytes    format
//! key epoch     4 bytes    big-endian
//! salt          16 bytes   random: each object has a key of its own, also one that is written anew under the same name
//! type length   2 bytes    big-endian
//! content type
//! chunks        65,536 bytes each, encrypted with AES-256-GCM, and 16 bytes of tag; the last is shorter, perhaps empty
//! ```
//!
//! The key is derived from the tenant's, the object's name and the whole head, so neither can be changed or exchanged. A chunk's
//! nonce is its number and whether it is the last: none can be moved, left out or cut off.

use bytes::Bytes;
use fhirpool_authz::TenantId;
use fhirpool_storage::{ContentStream, KeyEpoch, KeyRing, Result, StorageError, TenantKey};
use futures_util::{StreamExt, stream};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom, SystemRandom};

use crate::object::ObjectName;

const MAGIC: [u8; 4] = *b"fpc\x01";
const SALT_LENGTH: usize = 16;
/// Length of a head without its content type.
pub(crate) const HEAD_LENGTH_MIN: usize = 4 + 4 + SALT_LENGTH + 2;
/// Clear bytes of a chunk.
const CHUNK_LENGTH: usize = 64 << 10;
const TAG_LENGTH: usize = 16;
const SEALED_CHUNK_LENGTH: usize = CHUNK_LENGTH + TAG_LENGTH;
/// Longer content types are not kept.
pub(crate) const CONTENT_TYPE_BYTES_MAX: usize = 1024;

/// What stands ahead of the chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    pub epoch: KeyEpoch,
    pub content_type: String,
}

impl Head {
    fn new(epoch: KeyEpoch, content_type: &str) -> Result<Self> {
        if content_type.len() > CONTENT_TYPE_BYTES_MAX {
            return Err(StorageError::TooCostly("the content type is too long"));
        }
        let mut salt = [0; SALT_LENGTH];
        SystemRandom::new().fill(&mut salt).map_err(|_| StorageError::Unavailable("there are no random bytes".into()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&epoch.0.to_be_bytes());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&(content_type.len() as u16).to_be_bytes());
        bytes.extend_from_slice(content_type.as_bytes());
        Ok(Self { bytes, epoch, content_type: content_type.to_owned() })
    }

    /// The head at the beginning of sealed bytes; `None`: there are not enough of them yet.
    pub fn read(sealed: &[u8]) -> Result<Option<Self>> {
        let Some((fixed, rest)) = sealed.split_first_chunk::<HEAD_LENGTH_MIN>() else { return Ok(None) };
        let type_length = usize::from(u16::from_be_bytes([fixed[HEAD_LENGTH_MIN - 2], fixed[HEAD_LENGTH_MIN - 1]]));
        if fixed[..4] != MAGIC || type_length > CONTENT_TYPE_BYTES_MAX {
            return Err(damaged("its head is none"));
        }
        let Some(content_type) = rest.get(..type_length) else { return Ok(None) };
        let content_type = String::from_utf8(content_type.to_vec()).map_err(|_| damaged("its head is none"))?;
        let epoch = KeyEpoch(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]));
        Ok(Some(Self { bytes: sealed[..HEAD_LENGTH_MIN + type_length].to_vec(), epoch, content_type }))
    }

    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// How many clear bytes are in an object of so many sealed ones.
    pub fn clear_length(&self, sealed_length: u64) -> Result<u64> {
        let chunks = sealed_length.checked_sub(self.bytes.len() as u64).ok_or_else(|| damaged("it is cut off"))?;
        // The last chunk has at least its tag.
        let count = chunks / SEALED_CHUNK_LENGTH as u64 + u64::from(!chunks.is_multiple_of(SEALED_CHUNK_LENGTH as u64));
        chunks.checked_sub(count.max(1) * TAG_LENGTH as u64).ok_or_else(|| damaged("it is cut off"))
    }

    fn key(&self, key: &TenantKey, name: &ObjectName) -> LessSafeKey {
        key.object_key(&[b"content", name.as_str().as_bytes(), &self.bytes])
    }
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[NONCE_LEN - 1] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}

/// Seals bytes as they come.
pub(crate) struct Sealer {
    key: LessSafeKey,
    number: u64,
    pending: Vec<u8>,
}

impl Sealer {
    /// Begins an object under the tenant's newest key, and gives its head.
    pub async fn begin(keys: &dyn KeyRing, tenant: &TenantId, name: &ObjectName, content_type: &str) -> Result<(Self, Vec<u8>)> {
        let key = keys.data_key(tenant).await?;
        let head = Head::new(key.epoch(), content_type)?;
        let sealer = Self { key: head.key(&key, name), number: 0, pending: Vec::with_capacity(SEALED_CHUNK_LENGTH) };
        Ok((sealer, head.bytes))
    }

    /// Takes bytes and appends the chunks that are full.
    pub fn push(&mut self, mut clear: &[u8], out: &mut Vec<u8>) {
        while !clear.is_empty() {
            if self.pending.len() == CHUNK_LENGTH {
                self.seal_pending(false, out);
            }
            let (now, later) = clear.split_at(clear.len().min(CHUNK_LENGTH - self.pending.len()));
            self.pending.extend_from_slice(now);
            clear = later;
        }
    }

    /// Appends the last chunk.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.seal_pending(true, out);
    }

    fn seal_pending(&mut self, is_last: bool, out: &mut Vec<u8>) {
        let tag = self.key.seal_in_place_separate_tag(nonce(self.number, is_last), Aad::empty(), &mut self.pending);
        out.extend_from_slice(&self.pending);
        out.extend_from_slice(tag.expect("a chunk is shorter than 64 GiB").as_ref());
        self.pending.clear();
        self.number += 1;
    }
}

/// Opens bytes as they come.
pub(crate) struct Opener {
    key: LessSafeKey,
    number: u64,
    pending: Vec<u8>,
}

impl Opener {
    /// Begins an object with this head.
    pub async fn begin(keys: &dyn KeyRing, tenant: &TenantId, name: &ObjectName, head: &Head) -> Result<Self> {
        let key = keys.unwrap(tenant, head.epoch).await?;
        Ok(Self { key: head.key(&key, name), number: 0, pending: Vec::with_capacity(SEALED_CHUNK_LENGTH) })
    }

    /// Takes what comes behind the head and appends what can be opened already.
    pub fn push(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        while !sealed.is_empty() {
            // Whether a full chunk is the last is known once more comes, or nothing.
            if self.pending.len() == SEALED_CHUNK_LENGTH {
                self.open_pending(false, out)?;
            }
            let (now, later) = sealed.split_at(sealed.len().min(SEALED_CHUNK_LENGTH - self.pending.len()));
            self.pending.extend_from_slice(now);
            sealed = later;
        }
        Ok(())
    }

    /// Appends what the last chunk holds.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.open_pending(true, out)
    }

    fn open_pending(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<()> {
        let opened = self.key.open_in_place(nonce(self.number, is_last), Aad::empty(), &mut self.pending);
        out.extend_from_slice(opened.map_err(|_| damaged("a seal does not fit its name, key or bytes"))?);
        self.pending.clear();
        self.number += 1;
        Ok(())
    }
}

/// The clear bytes of what comes behind a head, as they come.
pub(crate) fn opened(opener: Opener, sealed: ContentStream) -> ContentStream {
    let clear = stream::try_unfold(Some((opener, sealed)), async |state| {
        let Some((mut opener, mut sealed)) = state else { return Ok(None) };
        let mut out = Vec::new();
        while out.is_empty() {
            let Some(piece) = sealed.next().await else {
                opener.finish(&mut out)?;
                return Ok(Some((Bytes::from(out), None)));
            };
            opener.push(&piece?, &mut out)?;
        }
        Ok(Some((Bytes::from(out), Some((opener, sealed)))))
    });
    Box::pin(clear)
}

/// How many bytes an object has with a head of this length and so many clear ones.
#[cfg(feature = "s3")]
pub(crate) fn sealed_length(head_length: usize, clear_length: u64) -> u64 {
    head_length as u64 + clear_length + clear_length.div_ceil(CHUNK_LENGTH as u64).max(1) * TAG_LENGTH as u64
}

/// Seals a whole object.
pub(crate) async fn seal(keys: &dyn KeyRing, tenant: &TenantId, name: &ObjectName, content_type: &str, clear: &[u8]) -> Result<Bytes> {
    let (mut sealer, head) = Sealer::begin(keys, tenant, name, content_type).await?;
    let mut out = head;
    out.reserve(clear.len() + (clear.len() / CHUNK_LENGTH + 1) * TAG_LENGTH);
    sealer.push(clear, &mut out);
    sealer.finish(&mut out);
    Ok(out.into())
}

/// Opens a whole object.
#[cfg(any(test, feature = "s3"))]
pub(crate) async fn open(keys: &dyn KeyRing, tenant: &TenantId, name: &ObjectName, sealed: &[u8]) -> Result<Bytes> {
    let head = Head::read(sealed)?.ok_or_else(|| damaged("it is cut off"))?;
    let mut opener = Opener::begin(keys, tenant, name, &head).await?;
    let mut out = Vec::with_capacity(sealed.len());
    opener.push(&sealed[head.length()..], &mut out)?;
    opener.finish(&mut out)?;
    Ok(out.into())
}

pub(crate) fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("stored content: {what}"))
}

#[cfg(test)]
mod tests;
