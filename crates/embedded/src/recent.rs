//! The latest changes, in memory: what a commit that was prepared on an older picture is checked against.

use std::collections::{BTreeMap, HashMap, VecDeque};

use fhirpool_fhir::{ResourceId, ResourceKey};
use fhirpool_search::{Alone, Clause, IndexEntry, Undecided, matches};

use crate::database::Bytes;
use crate::forward::Forward;
use crate::keys::{ResourceSlot, TYPE_PREFIX_BYTES};
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

    /// Whether criteria still give what they gave after a commit. The changes are walked once for all of them.
    pub(crate) fn check<'a>(&self, assumptions: &[&'a PreparedAssumption], since: u64) -> Verdict<'a> {
        if assumptions.is_empty() {
            return Verdict::Hold;
        }
        let unsure = || Verdict::Unsure(assumptions.to_vec());
        if since < self.floor {
            return unsure();
        }
        let mut walk = Walk::of(assumptions);
        for change in self.changes.iter().rev().take_while(|change| change.sequence > since) {
            let is_latest = self.latest.get(&change.slot) == Some(&change.sequence);
            match walk.step(change, is_latest) {
                Step::On => {}
                Step::Broken => return Verdict::Broken,
                Step::TooLong => return unsure(),
            }
        }
        walk.verdict()
    }
}

/// What is known of criteria.
pub(crate) enum Verdict<'a> {
    /// All give what they gave.
    Hold,
    /// One gives something else.
    Broken,
    /// The changes do not tell it of these.
    Unsure(Vec<&'a PreparedAssumption>),
}

/// Comparisons of a change with criteria in one check, at most: some tens of milliseconds.
const COMPARISONS_MAX: usize = 250_000;
/// So many entries of a change count as one comparison more.
const ENTRIES_A_COMPARISON: usize = 32;

enum Step {
    On,
    Broken,
    TooLong,
}

/// A walk along later changes.
struct Walk<'a> {
    assumptions: Vec<&'a PreparedAssumption>,
    /// By assumption: whether it is decided by what the walk does not see.
    is_unsure: Vec<bool>,
    /// By tenant and type.
    watches: BTreeMap<Vec<u8>, Watch>,
    comparisons: usize,
}

/// The assumptions that changes of one type concern.
#[derive(Default)]
struct Watch {
    /// They seek resources of this type.
    seeking: Vec<usize>,
    /// What comparing one change with those costs.
    cost: usize,
    /// Resources of this type decide about those of others.
    looking: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn of(assumptions: &[&'a PreparedAssumption]) -> Self {
        let mut watches = BTreeMap::<_, Watch>::new();
        let mut related = Vec::new();
        for (position, assumption) in assumptions.iter().enumerate() {
            let watch = watches.entry(assumption.prefix.clone()).or_default();
            watch.seeking.push(position);
            watch.cost += cost(&assumption.search.filter);
            assumption.search.filter.iter().for_each(|clause| clause.related_types(&mut related));
            for resource_type in related.drain(..) {
                let mut prefix = assumption.prefix[..TYPE_PREFIX_BYTES - 1].to_vec();
                prefix.push(resource_type.number());
                watches.entry(prefix).or_default().looking.push(position);
            }
        }
        Self { assumptions: assumptions.to_vec(), is_unsure: vec![false; assumptions.len()], watches, comparisons: 0 }
    }

    fn step(&mut self, change: &RecentChange, is_latest: bool) -> Step {
        let Some(watch) = self.watches.get_mut(change.slot.type_prefix()) else { return Step::On };
        for position in watch.looking.drain(..) {
            self.is_unsure[position] = true;
        }
        if !is_latest || watch.seeking.is_empty() {
            return Step::On;
        }
        let entries = change.forward.clone().map(|forward| Forward::read(forward).to_entries());
        self.comparisons += watch.cost * (1 + entries.as_ref().map_or(0, Vec::len) / ENTRIES_A_COMPARISON);
        if self.comparisons > COMPARISONS_MAX {
            return Step::TooLong;
        }
        let key = ResourceKey::new(self.assumptions[watch.seeking[0]].search.resource_type, change.id.clone());
        for &position in &watch.seeking {
            match keeps(&key, entries.as_deref(), self.assumptions[position]) {
                Ok(true) => {}
                // What other resources decide is unsure in any case.
                Ok(false) if !self.is_unsure[position] => return Step::Broken,
                Ok(false) | Err(Undecided) => self.is_unsure[position] = true,
            }
        }
        Step::On
    }

    fn verdict(self) -> Verdict<'a> {
        let unsure: Vec<_> = self.assumptions.into_iter().zip(self.is_unsure).filter(|(_, unsure)| *unsure).collect();
        match unsure.is_empty() {
            true => Verdict::Hold,
            false => Verdict::Unsure(unsure.into_iter().map(|(assumption, _)| assumption).collect()),
        }
    }
}

/// Whether the first ids found stay the first two, or all, that match, as far as one resource is concerned. `entries` are what
/// is posted for it now; `None`: it was deleted.
fn keeps(key: &ResourceKey, entries: Option<&[IndexEntry]>, assumption: &PreparedAssumption) -> Result<bool, Undecided> {
    let was_found = assumption.found.contains(&key.id);
    let matches_now = match entries {
        Some(entries) => matches(&assumption.search.filter, key, entries, &Alone)?,
        None => false,
    };
    Ok(matches_now == was_found)
}

/// How many tests a filter makes, about; at least one.
fn cost(filter: &[Clause]) -> usize {
    let tests = |clause: &Clause| match clause {
        Clause::Matches { tests, .. } | Clause::NotMatches { tests, .. } => tests.len(),
        Clause::Id(ids) => ids.len(),
        Clause::AnyOf(alternatives) => alternatives.iter().map(|alternative| cost(alternative)).sum(),
        Clause::Missing { .. } | Clause::Chain { .. } | Clause::Has { .. } => 1,
    };
    filter.iter().map(tests).sum::<usize>().max(1)
}

#[cfg(test)]
mod tests;
