//! Where time, ids and randomness come from; tests pass their own.

use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_fhir::{ResourceId, Timestamp};
use ring::rand::SecureRandom;
use uuid::{ContextV7, Uuid};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Makes ids for new resources.
pub trait IdSource: Send + Sync {
    /// An id that no one has had.
    fn next_id(&self) -> ResourceId;
}

/// Makes bytes that cannot be guessed.
pub trait Randomness: Send + Sync {
    /// Fills the bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since_epoch.map_or(0, |duration| duration.as_millis() as i64))
    }
}

/// UUIDs of version 7: those made later sort later, so that new resources lie together in a store.
pub struct UuidV7Ids {
    clock: Arc<dyn Clock>,
    context: Mutex<ContextV7>,
}

impl UuidV7Ids {
    /// Ids stamped by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, context: Mutex::new(ContextV7::new()) }
    }
}

impl IdSource for UuidV7Ids {
    fn next_id(&self) -> ResourceId {
        let millis = self.clock.now().0.max(0) as u64;
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let timestamp = uuid::Timestamp::from_unix(&*context, millis / 1000, (millis % 1000) as u32 * 1_000_000);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        ResourceId::parse(Uuid::new_v7(timestamp).as_hyphenated().encode_lower(&mut text)).expect("a UUID keeps to the id grammar")
    }
}

/// Ids that follow from a seed, for tests.
#[derive(Debug)]
pub struct SeededIds {
    state: Mutex<u64>,
}

impl SeededIds {
    /// The ids of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }
}

impl IdSource for SeededIds {
    fn next_id(&self) -> ResourceId {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // SplitMix64, whose outputs never repeat within 2^64 steps.
        let mut next = || {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let id = Uuid::from_u64_pair(next(), next());
        ResourceId::parse(&id.to_string()).expect("a UUID keeps to the id grammar")
    }
}

/// The operating system's randomness.
#[derive(Debug, Clone)]
pub struct SystemRandomness(ring::rand::SystemRandom);

impl Default for SystemRandomness {
    fn default() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the operating system gives randomness");
    }
}
