//! Postings in memory, with every snapshot since the beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use fhirpool_authz::TypeSet;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::IndexEntry;
use fhirpool_storage::{Result, StorageError};

use crate::forward::{Forward, Packed};
use crate::search::SearchCache;
use crate::search::ids::IdRef;
use crate::search::postings::{Postings, Stretch};

/// What is there after a commit.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) sequence: u64,
    pub(super) resources: BTreeMap<(ResourceType, OrderedId), Vec<IndexEntry>>,
    /// Type, parameter, value and id; and how long the value is.
    postings: BTreeSet<(u8, u16, Vec<u8>, usize)>,
}

/// All states.
pub(super) struct World {
    pub(super) states: Vec<Arc<State>>,
}

/// New entries of a resource, or that it is deleted.
pub(super) type Put = (ResourceType, OrderedId, Option<Vec<IndexEntry>>);

impl World {
    pub(super) fn new() -> Self {
        Self { states: vec![Arc::default()] }
    }

    pub(super) fn newest(&self) -> Arc<State> {
        self.states.last().unwrap().clone()
    }

    /// Commits changes as the committer does: noted first, then visible.
    pub(super) fn commit(&mut self, cache: &SearchCache, changes: &[Put]) {
        let mut state = State::clone(&self.newest());
        state.sequence += 1;
        for (resource_type, id, entries) in changes {
            cache.record(state.sequence, TENANT, *resource_type, id.clone());
            state.change(*resource_type, id, entries.clone());
        }
        self.states.push(Arc::new(state));
    }
}

const TENANT: u32 = 1;

impl State {
    fn change(&mut self, resource_type: ResourceType, id: &OrderedId, entries: Option<Vec<IndexEntry>>) {
        let posting = |entry: &IndexEntry| {
            let mut key = entry.value.clone();
            id.write(&mut key);
            (resource_type.number(), entry.parameter.0, key, entry.value.len())
        };
        for entry in self.resources.remove(&(resource_type, id.clone())).into_iter().flatten() {
            self.postings.remove(&posting(&entry));
        }
        if let Some(entries) = entries {
            self.postings.extend(entries.iter().map(posting));
            self.resources.insert((resource_type, id.clone()), entries);
        }
    }
}

/// A state, for one who may see some types.
pub(super) struct Snapshot {
    pub(super) state: Arc<State>,
    pub(super) types: TypeSet,
}

impl Snapshot {
    fn check(&self, resource_type: ResourceType) -> Result<()> {
        if self.types.contains(resource_type) { Ok(()) } else { Err(StorageError::Denied) }
    }

    fn range(&self, stretch: Stretch<'_>) -> Result<impl DoubleEndedIterator<Item = (&[u8], IdRef<'_>)>> {
        self.check(stretch.resource_type)?;
        let (number, parameter) = (stretch.resource_type.number(), stretch.parameter.0);
        let from = (number, parameter, stretch.from.to_vec(), 0);
        let to = match stretch.to {
            Some(to) => (number, parameter, to.to_vec(), 0),
            None => (number, parameter + 1, Vec::new(), 0),
        };
        let range =
            if from < to { (Bound::Included(from), Bound::Excluded(to)) } else { (Bound::Included(to.clone()), Bound::Excluded(to)) };
        Ok(self.state.postings.range(range).map(|(_, _, key, length)| {
            let (value, id) = key.split_at(*length);
            (value, IdRef::read(id).unwrap())
        }))
    }
}

impl Postings for Snapshot {
    fn tenant(&self) -> u32 {
        TENANT
    }

    fn sequence(&self) -> u64 {
        self.state.sequence
    }

    fn allows(&self, resource_type: ResourceType) -> bool {
        self.types.contains(resource_type)
    }

    fn scan(&self, stretch: Stretch<'_>, visit: &mut dyn FnMut(&[u8], IdRef<'_>) -> ControlFlow<()>) -> Result<()> {
        let _ = self.range(stretch)?.try_for_each(|(value, id)| visit(value, id));
        Ok(())
    }

    fn greatest_value(&self, stretch: Stretch<'_>) -> Result<Option<Vec<u8>>> {
        Ok(self.range(stretch)?.next_back().map(|(value, _)| value.to_vec()))
    }

    fn entries(&self, resource_type: ResourceType, id: IdRef<'_>) -> Result<Option<Forward>> {
        self.check(resource_type)?;
        let found = self.state.resources.get(&(resource_type, id.to_ordered()));
        let time = IndexEntry { parameter: ParameterNumber(0), value: vec![1] };
        Ok(found.map(|entries| Forward::read(Packed::new(entries, time.parameter).with_time(&time).into())))
    }

    fn ids(
        &self,
        resource_type: ResourceType,
        after: Option<IdRef<'_>>,
        visit: &mut dyn FnMut(IdRef<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.check(resource_type)?;
        let ids = self.state.resources.keys().filter(|(other, _)| *other == resource_type).map(|(_, id)| IdRef::from(id));
        let _ = ids.filter(|id| after.is_none_or(|after| *id > after)).try_for_each(visit);
        Ok(())
    }

    fn count(&self, resource_type: ResourceType) -> Result<u64> {
        self.check(resource_type)?;
        Ok(self.state.resources.keys().filter(|(other, _)| *other == resource_type).count() as u64)
    }
}
