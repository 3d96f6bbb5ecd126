//! Sealed bytes that are no version: segments of logs and the like.
//!
//! ```text
//! format      1 byte    1
//! dictionary  1 byte    0
//! seal        1 byte    1: AES-256-GCM
//! key epoch   varint
//! nonce       12 bytes
//! text
//! tag         16 bytes
//! ```
//!
//! [`super::seal_of`] reads the head of both. The name is authenticated, as an item's is, and can be none of an item's.

use super::bytes::write_varint;
use super::{DictionaryId, FORMAT, SEAL_AES_256_GCM, Seal, damaged, header, seal};
use crate::{Result, TenantKey};

/// Where an item's name has the length of its tenant, which is never 0.
const NO_ITEM: u8 = 0;

/// How many bytes sealing adds, at most.
pub const SEAL_LENGTH_MAX: usize = 3 + 5 + 12 + seal::TAG_LENGTH;

/// Appends the text, sealed under a name whose first part should say what kind of thing it is and the next whose.
pub fn seal_bytes(key: &TenantKey, name: &[&[u8]], text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + SEAL_LENGTH_MAX);
    let start = out.len();
    out.extend_from_slice(&[FORMAT, DictionaryId::NONE.number(), SEAL_AES_256_GCM]);
    write_varint(u64::from(key.epoch().0), out);
    let name = authenticated(name, &out[start..]);
    let nonce = seal::random_nonce();
    out.extend_from_slice(&nonce);
    let sealed_from = out.len();
    out.extend_from_slice(text);
    let tag = seal::encrypt(key, &name, nonce, &mut out[sealed_from..]);
    out.extend_from_slice(&tag);
}

/// Opens what [`seal_bytes`] made; `key` must be the one that [`super::seal_of`] asks for.
///
/// # Errors
/// [`crate::StorageError::Damaged`] if the bytes are not exactly what was sealed under this name and key.
pub fn open_bytes(key: &TenantKey, name: &[&[u8]], value: &[u8]) -> Result<Vec<u8>> {
    let (dictionary, seal, header_length) = header(value)?;
    if seal != Seal::Key(key.epoch()) || dictionary != DictionaryId::NONE {
        return Err(damaged("sealed under another key, or in another way"));
    }
    let name = authenticated(name, &value[..header_length]);
    seal::decrypt(key, &name, &value[header_length..], |text| Ok(text.to_vec()))
}

fn authenticated(name: &[&[u8]], header: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(128);
    all.push(header.len() as u8);
    all.extend_from_slice(header);
    all.push(NO_ITEM);
    for part in name {
        write_varint(part.len() as u64, &mut all);
        all.extend_from_slice(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyEpoch;
    use crate::value::seal_of;

    #[test]
    fn sealed_bytes_open_under_their_name_and_key_alone() {
        let key = TenantKey::new(KeyEpoch(300), &[7; TenantKey::LENGTH]);
        let mut sealed = Vec::new();
        seal_bytes(&key, &[b"log", b"acme"], b"what happened", &mut sealed);
        assert_eq!(seal_of(&sealed), Ok(Seal::Key(KeyEpoch(300))));
        assert!(sealed.len() <= b"what happened".len() + SEAL_LENGTH_MAX);
        assert_eq!(open_bytes(&key, &[b"log", b"acme"], &sealed).expect("the same name"), b"what happened");
        for name in [&[b"log".as_slice(), b"demo"][..], &[b"loga", b"cme"], &[b"log"], &[]] {
            assert!(open_bytes(&key, name, &sealed).is_err());
        }
        let other = TenantKey::new(KeyEpoch(300), &[8; TenantKey::LENGTH]);
        assert!(open_bytes(&other, &[b"log", b"acme"], &sealed).is_err());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open_bytes(&key, &[b"log", b"acme"], &changed).is_err(), "byte {place}");
            assert!(open_bytes(&key, &[b"log", b"acme"], &sealed[..place]).is_err(), "cut at {place}");
        }
    }
}
