//! Random choices that can be repeated.

use ring::rand::{SecureRandom, SystemRandom};

/// A small generator (SplitMix64): the same seed makes the same choices.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Of the seed in `FHIRPOOL_SEED`, or of a new one; prints it, so that a failure can be repeated.
    pub fn seeded(name: &str) -> Self {
        let given = std::env::var("FHIRPOOL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            SystemRandom::new().fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("{name}: FHIRPOOL_SEED={seed}");
        Self(seed)
    }

    /// Another one that depends on this one's seed and the number.
    pub fn fork(&self, number: u64) -> Self {
        let mut fork = Self(self.0 ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        fork.next();
        fork
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
