//! Keys of items, encryption and checksums.

use std::cell::RefCell;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::damaged;
use crate::{Result, TenantKey};

pub(super) const TAG_LENGTH: usize = 16;
const CHECKSUM_LENGTH: usize = 4;

/// Nonces taken from the operating system at once.
const NONCES: usize = 64;

struct Nonces {
    bytes: [u8; NONCES * NONCE_LEN],
    used: usize,
}

thread_local! {
    static NONCE_STOCK: RefCell<Nonces> = const { RefCell::new(Nonces { bytes: [0; NONCES * NONCE_LEN], used: NONCES }) };
    /// Where values are decrypted.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Longer scratch is given back after use.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;

/// Twelve random bytes, never given twice.
pub(super) fn random_nonce() -> [u8; NONCE_LEN] {
    NONCE_STOCK.with_borrow_mut(|stock| {
        if stock.used == NONCES {
            SystemRandom::new().fill(&mut stock.bytes).expect("the operating system has random bytes");
            stock.used = 0;
        }
        let from = stock.used * NONCE_LEN;
        stock.used += 1;
        stock.bytes[from..from + NONCE_LEN].try_into().expect("the slice has that length")
    })
}

/// The key of the item with this authenticated name.
fn item_key(key: &TenantKey, name: &[u8]) -> LessSafeKey {
    let info = [name];
    let derived = key.root().expand(&info, &AES_256_GCM).expect("the key is shorter than 255 hashes");
    LessSafeKey::new(UnboundKey::from(derived))
}

/// Encrypts in place and gives the tag.
pub(super) fn encrypt(key: &TenantKey, name: &[u8], nonce: [u8; NONCE_LEN], text: &mut [u8]) -> [u8; TAG_LENGTH] {
    let tag = item_key(key, name)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), text)
        .expect("a body is shorter than 64 GiB");
    tag.as_ref().try_into().expect("the tag of AES-GCM has that length")
}

/// Opens nonce, text and tag, and reads the text while it is in this thread's scratch.
pub(super) fn decrypt<T>(key: &TenantKey, name: &[u8], sealed: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(|| damaged("too short"))?;
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        scratch.extend_from_slice(sealed);
        let text = item_key(key, name)
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name), scratch)
            .map_err(|_| damaged("seal does not fit item, key or bytes"))?;
        let result = read(text);
        // Clear text stays no longer than needed.
        scratch.fill(0);
        if scratch.capacity() > SCRATCH_BYTES_KEPT {
            *scratch = Vec::new();
        }
        result
    })
}

pub(super) fn checksum(name: &[u8], text: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(text);
    hasher.finalize().to_le_bytes()
}

/// The text ahead of a checksum that fits.
pub(super) fn check<'a>(name: &[u8], value: &'a [u8]) -> Result<&'a [u8]> {
    let (text, sum) = value.split_last_chunk::<CHECKSUM_LENGTH>().ok_or_else(|| damaged("too short"))?;
    if checksum(name, text) == *sum { Ok(text) } else { Err(damaged("checksum does not fit item or bytes")) }
}
