//! What is known of one tenant's keys.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use fhirpool_storage::{KeyEpoch, TenantKey, WrappedKey};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A tenant's keys as of the last look.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Wrapped, by epoch; empty bytes: destroyed.
    pub wrapped: BTreeMap<KeyEpoch, Vec<u8>>,
    /// Those that were needed so far.
    pub keys: BTreeMap<KeyEpoch, Arc<TenantKey>>,
    /// Until when this is taken to be so.
    pub fresh_until: Instant,
}

impl Known {
    pub fn new(list: Vec<WrappedKey>, fresh_until: Instant) -> Self {
        let wrapped = list.into_iter().map(|key| (key.epoch, key.wrapped)).collect();
        Self { wrapped, keys: BTreeMap::new(), fresh_until }
    }

    /// The newest epoch that can be used.
    pub fn newest(&self) -> Option<KeyEpoch> {
        self.wrapped.iter().rev().find(|(_, wrapped)| !wrapped.is_empty()).map(|(epoch, _)| *epoch)
    }

    /// Whether there were keys, and none is left.
    pub fn is_destroyed(&self) -> bool {
        !self.wrapped.is_empty() && self.newest().is_none()
    }

    /// The wrapped bytes of an epoch; `None`: it was destroyed or never there.
    pub fn wrapped(&self, epoch: KeyEpoch) -> Option<&[u8]> {
        self.wrapped.get(&epoch).map(Vec::as_slice).filter(|wrapped| !wrapped.is_empty())
    }

    /// Takes keys over that were unwrapped before and whose wrapped bytes are still the same.
    pub fn inherit(&mut self, before: &Self) {
        for (epoch, key) in &before.keys {
            if before.wrapped(*epoch).is_some() && self.wrapped(*epoch) == before.wrapped(*epoch) {
                self.keys.insert(*epoch, Arc::clone(key));
            }
        }
    }
}

/// A tenant's place in the cache.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    known: RwLock<Option<Known>>,
    /// Held while KMS or the wrapped keys are asked: one question at a time for a tenant.
    asking: Mutex<()>,
}

impl Slot {
    pub fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A key that is known and fresh; of the newest epoch where none is named.
    pub fn fresh_key(&self, epoch: Option<KeyEpoch>, now: Instant) -> Option<Arc<TenantKey>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| now < known.fresh_until)?;
        known.keys.get(&epoch.or_else(|| known.newest())?).cloned()
    }

    pub fn set(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    pub async fn ask(&self) -> MutexGuard<'_, ()> {
        self.asking.lock().await
    }
}
