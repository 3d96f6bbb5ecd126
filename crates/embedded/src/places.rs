//! How many commits may wait, and what they may hold: in all, and of one tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_authz::TenantId;
use tokio::sync::Semaphore;

/// Places for commits that wait.
pub(crate) struct Places {
    length: usize,
    /// What small commits of one tenant may hold, in KiB.
    memory_of_one: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    tenants: HashMap<TenantId, Share>,
}

struct Share {
    taken: usize,
    memory: Arc<Semaphore>,
}

/// A place; given back when dropped. It goes along with the commit: that stays in the queue when its caller leaves.
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) tenant: TenantId,
    /// A permit for each KiB that the tenant's small commits may hold: who wants more waits behind their own.
    pub(crate) memory: Arc<Semaphore>,
}

impl Places {
    /// So many in all, of which one tenant gets at most half.
    pub(crate) fn new(length: usize, memory_of_one: usize) -> Arc<Self> {
        Arc::new(Self { length, memory_of_one, state: Mutex::default() })
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, tenant: &TenantId) -> Option<Place> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = state.tenants.get(tenant).map_or(0, |share| share.taken);
        if state.taken >= self.length || taken >= self.length.div_ceil(2) {
            return None;
        }
        state.taken += 1;
        let new = || Share { taken: 0, memory: Arc::new(Semaphore::new(self.memory_of_one)) };
        let share = state.tenants.entry(tenant.clone()).or_insert_with(new);
        share.taken += 1;
        Some(Place { places: Arc::clone(self), tenant: tenant.clone(), memory: Arc::clone(&share.memory) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken -= 1;
        if let Some(share) = state.tenants.get_mut(&self.tenant) {
            share.taken -= 1;
            if share.taken == 0 {
                state.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_tenant_leaves_places_to_the_others() {
        let (places, busy, quiet) = (Places::new(4, 1), TenantId::parse("busy").unwrap(), TenantId::parse("quiet").unwrap());
        let first = places.enter(&busy).unwrap();
        let _second = places.enter(&busy).unwrap();
        assert!(places.enter(&busy).is_none());
        let (_third, _fourth) = (places.enter(&quiet).unwrap(), places.enter(&quiet).unwrap());
        assert!(places.enter(&TenantId::parse("other").unwrap()).is_none());
        drop(first);
        assert!(places.enter(&quiet).is_none());
        assert!(places.enter(&busy).is_some());
        assert!(Places::new(0, 1).enter(&busy).is_none());
    }
}
