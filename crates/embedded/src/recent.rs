//! The latest changes, in memory: what a commit that was prepared on an older picture is checked against.

use std::collections::{HashMap, VecDeque};

use fhirpool_fhir::ResourceId;
use fhirpool_search::{Alone, matches};

use crate::database::Bytes;
use crate::forward::Forward;
use crate::keys::ResourceSlot;
use crate::prepare::PreparedAssumption;

/// A bounded ring of changes, oldest first.
pub(crate) struct Recent {
    /// Every change of a later commit is here.
    floor: u64,
    changes: VecDeque<RecentChange>,
    /// The latest commit in the ring that changed a resource.
    latest: HashMap<ResourceSlot, u64>,
    bytes: usize,
    changes_max: usize,
    bytes_max: usize,
}

struct RecentChange {
    sequence: u64,
    slot: ResourceSlot,
    id: ResourceId,
    /// What is posted for it now; `None`: it was deleted.
    forward: Option<Bytes>,
}

impl RecentChange {
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        OVERHEAD + self.forward.as_ref().map_or(0, |forward| forward.len())
    }
}

impl Recent {
    /// Remembers what comes after a sequence.
    pub(crate) fn new(sequence: u64, changes_max: usize, bytes_max: usize) -> Self {
        Self { floor: sequence, changes: VecDeque::new(), latest: HashMap::new(), bytes: 0, changes_max, bytes_max }
    }

    /// Notes a change. Sequences must not fall.
    pub(crate) fn record(&mut self, sequence: u64, slot: ResourceSlot, id: ResourceId, forward: Option<Bytes>) {
        let change = RecentChange { sequence, slot, id, forward };
        self.bytes += change.bytes();
        self.latest.insert(change.slot.clone(), sequence);
        self.changes.push_back(change);
        while self.changes.len() > self.changes_max || self.bytes > self.bytes_max {
            let Some(dropped) = self.changes.pop_front() else { break };
            self.bytes -= dropped.bytes();
            self.floor = dropped.sequence;
            if self.latest.get(&dropped.slot) == Some(&dropped.sequence) {
                self.latest.remove(&dropped.slot);
            }
        }
    }

    /// Whether a resource is as it was after a commit. `false` also where that is not known.
    pub(crate) fn is_unchanged(&self, slot: &ResourceSlot, since: u64) -> bool {
        since >= self.floor && self.latest.get(slot).is_none_or(|sequence| *sequence <= since)
    }

    /// Whether criteria still give what they gave after a commit. `false` also where that is not known.
    pub(crate) fn still_holds(&self, assumption: &PreparedAssumption, since: u64) -> bool {
        if since < self.floor {
            return false;
        }
        let needs_related = assumption.search.filter.iter().any(|clause| clause.needs_related());
        let tenant = &assumption.prefix[..4];
        let later = self.changes.iter().rev().take_while(|change| change.sequence > since);
        for change in later.filter(|change| change.slot.as_bytes().starts_with(tenant)) {
            if needs_related {
                return false;
            }
            let is_latest = self.latest.get(&change.slot) == Some(&change.sequence);
            if is_latest && change.slot.type_prefix() == assumption.prefix && !keeps(change, assumption) {
                return false;
            }
        }
        true
    }
}

/// Whether the first ids found stay the first two, or all, that match.
fn keeps(change: &RecentChange, assumption: &PreparedAssumption) -> bool {
    let was_found = assumption.found.contains(&change.id);
    let Some(forward) = &change.forward else { return !was_found };
    let key = fhirpool_fhir::ResourceKey::new(assumption.search.resource_type, change.id.clone());
    let entries = Forward::read(forward.clone()).to_entries();
    // A clause that needs other resources was refused before.
    let Ok(matches_now) = matches(&assumption.search.filter, &key, &entries, &Alone) else { return false };
    matches_now == was_found
}
