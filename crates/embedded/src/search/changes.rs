//! Which resources changed lately: what brings kept lists and columns up to date.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use fhirpool_fhir::{OrderedId, ResourceType};

/// The latest changes of all tenants, in a fixed number of rings that types share by hash.
pub(crate) struct ChangeLog {
    rings: Box<[RwLock<Ring>]>,
}

const RINGS: usize = 256;

/// At most so many changes are remembered in a ring.
const RING_LENGTH: usize = 4_096;

#[derive(Default)]
struct Ring {
    /// Every change of a later sequence is here.
    floor: u64,
    /// Ascending by sequence.
    changes: VecDeque<Change>,
}

struct Change {
    sequence: u64,
    tenant: u32,
    resource_type: ResourceType,
    id: OrderedId,
}

impl ChangeLog {
    /// An empty one, for a database just opened.
    pub(crate) fn new() -> Self {
        Self { rings: (0..RINGS).map(|_| RwLock::default()).collect() }
    }

    /// Notes a change. Sequences must not fall.
    pub(crate) fn record(&self, sequence: u64, tenant: u32, resource_type: ResourceType, id: OrderedId) {
        let mut ring = self.ring(tenant, resource_type).write().unwrap_or_else(PoisonError::into_inner);
        if ring.changes.len() == RING_LENGTH
            && let Some(dropped) = ring.changes.pop_front()
        {
            ring.floor = dropped.sequence;
        }
        ring.changes.push_back(Change { sequence, tenant, resource_type, id });
    }

    /// The resources that changed after `from` and up to `to`, in order and each once; `None` if not all of them are
    /// remembered or there are more than `max` changes.
    pub(crate) fn between(&self, tenant: u32, resource_type: ResourceType, from: u64, to: u64, max: usize) -> Option<Vec<OrderedId>> {
        let ring = self.ring(tenant, resource_type).read().unwrap_or_else(PoisonError::into_inner);
        if ring.floor > from {
            return None;
        }
        let start = ring.changes.partition_point(|change| change.sequence <= from);
        let mut ids = Vec::new();
        for change in ring.changes.range(start..).take_while(|change| change.sequence <= to) {
            if change.tenant == tenant && change.resource_type == resource_type {
                if ids.len() == max {
                    return None;
                }
                ids.push(change.id.clone());
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    fn ring(&self, tenant: u32, resource_type: ResourceType) -> &RwLock<Ring> {
        let mixed = (u64::from(tenant) << 8 | u64::from(resource_type.number())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.rings[(mixed >> 56) as usize % RINGS]
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn id(number: u8) -> OrderedId {
        OrderedId::Uuid([number; 16])
    }

    #[test]
    fn changes_are_told_by_tenant_type_and_span() {
        let log = ChangeLog::new();
        let (patient, observation) = (ResourceType::parse("Patient").unwrap(), ResourceType::parse("Observation").unwrap());
        log.record(1, 1, patient, id(9));
        log.record(2, 1, observation, id(5));
        log.record(2, 2, patient, id(6));
        log.record(3, 1, patient, id(4));
        log.record(4, 1, patient, id(9));
        assert_eq!(log.between(1, patient, 0, 4, 10).unwrap(), [id(4), id(9)]);
        assert_eq!(log.between(1, patient, 1, 3, 10).unwrap(), [id(4)]);
        assert_eq!(log.between(1, patient, 4, 9, 10).unwrap(), []);
        assert_eq!(log.between(1, patient, 0, 4, 2), None);
    }

    #[test]
    fn what_was_forgotten_is_not_told_as_unchanged() {
        let log = ChangeLog::new();
        let patient = ResourceType::parse("Patient").unwrap();
        for sequence in 1..=RING_LENGTH as u64 + 10 {
            log.record(sequence, 1, patient, id(sequence as u8));
        }
        assert_eq!(log.between(1, patient, 9, 20, usize::MAX), None);
        assert_eq!(log.between(1, patient, 10, 12, usize::MAX).unwrap(), [id(11), id(12)]);
    }
}
