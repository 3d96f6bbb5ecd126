//! A map from names of the tables, quick to ask.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Name → something small. Clients can only ask, not add, so the hash need not withstand chosen keys.
#[derive(Debug, Clone)]
pub(crate) struct Names<T>(HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T: Copy> Names<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()))
    }

    /// Adds a name; gives back what it stood for before.
    pub(super) fn insert(&mut self, name: impl Into<Box<str>>, value: T) -> Option<T> {
        self.0.insert(name.into(), value)
    }

    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.0.get(name).copied()
    }
}

/// Multiplies and folds eight bytes at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NameHasher(u64);

impl NameHasher {
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().expect("chunks of 8 bytes")));
        }
        let rest = chunks.remainder().iter().fold(bytes.len() as u64, |word, byte| (word << 8) | u64::from(*byte));
        self.add(rest ^ 0x2545_f491_4f6c_dd1d);
    }

    /// `str` ends its text with a byte that cannot occur in it; the length, added above, does that here.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
