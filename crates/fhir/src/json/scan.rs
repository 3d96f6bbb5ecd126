//! Scans of eight bytes at a time, in one word.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;
const SPACES: u64 = ONES * b' ' as u64;

/// The first byte at or behind `at` that does not stand for itself in a JSON string (a quote, a backslash or a control
/// character), or the end.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(bytes, at) {
        let special = specials(word);
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

/// The first byte at or behind `at` that is no white space of JSON, or the end.
#[inline]
pub(super) fn space_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    while let Some(word) = word(bytes, at) {
        let other = word ^ SPACES;
        if other != 0 {
            at += (other.trailing_zeros() / 8) as usize;
            break;
        }
        at += 8;
    }
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// A word whose lowest top bit stands in the first byte that is special; 0 if none is.
#[inline]
fn specials(word: u64) -> u64 {
    let below_space = word.wrapping_sub(SPACES) & !word;
    (below_space | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64))) & TOPS
}

/// Marks the bytes that are 0. A borrow may mark bytes above a true one, never below.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}
