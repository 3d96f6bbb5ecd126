//! Comparing large sets without holding them.

use std::hash::{DefaultHasher, Hash, Hasher};

/// What stays of a set of things: their number, and the sum of their hashes, so that the order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fingerprint {
    pub(super) count: u64,
    sum: u64,
}

impl Fingerprint {
    /// Takes one in.
    pub(super) fn add(&mut self, thing: impl Hash) {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}
