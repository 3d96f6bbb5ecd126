//! Results in their order, a page at a time.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::{Position, SortBy, SortTarget, compare_keys, sort_key_of_value, sort_range};
use fhirpool_storage::Result;

use crate::search::budget::{ENTRIES_COST, SEEK_COST};
use crate::search::column::{ColumnCursor, ColumnView};
use crate::search::ids::{IdList, IdRef};
use crate::search::postings::{Postings, Stretch, behind_value};
use crate::search::reader::Reader;

/// The first places of an order behind one of its places.
pub(crate) struct FirstPlaces<'q> {
    sort: &'q [SortBy],
    after: Option<&'q Position>,
    length: usize,
    /// Unordered behind the first `length`, which are in order after a cut.
    places: Vec<Position>,
    /// Whether nothing behind the place at `length - 1` is wanted.
    is_cut: bool,
}

impl<'q> FirstPlaces<'q> {
    /// To hold so many, at least one.
    pub(crate) fn new(sort: &'q [SortBy], after: Option<&'q Position>, length: usize) -> Self {
        Self { sort, after, length, places: Vec::new(), is_cut: false }
    }

    /// Takes a place if it is among the first so far.
    fn offer(&mut self, keys: &[Option<&[u8]>], resource_type: ResourceType, id: IdRef<'_>) {
        let is_behind = |place: &Position| compare(self.sort, keys, resource_type, id, place).is_gt();
        if self.after.is_some_and(|after| !is_behind(after)) || self.is_cut && is_behind(&self.places[self.length - 1]) {
            return;
        }
        let keys = keys.iter().map(|key| key.map(<[u8]>::to_vec)).collect();
        self.places.push(Position { keys, resource_type, id: id.to_ordered() });
        if self.places.len() >= 4 * self.length.max(16) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.places.sort_unstable_by(|one, other| one.compare(other, self.sort));
        self.places.truncate(self.length);
        self.is_cut = self.places.len() == self.length;
    }

    /// The places in order.
    pub(crate) fn finish(mut self) -> Vec<Position> {
        self.cut();
        self.places
    }
}

fn compare(sort: &[SortBy], keys: &[Option<&[u8]>], resource_type: ResourceType, id: IdRef<'_>, place: &Position) -> Ordering {
    for (index, by) in sort.iter().enumerate() {
        let other = place.keys.get(index).and_then(Option::as_deref);
        let order = compare_keys(keys[index], other, by.descending);
        if order.is_ne() {
            return order;
        }
    }
    resource_type.cmp(&place.resource_type).then_with(|| id.cmp(&IdRef::from(&place.id)))
}

/// Where a sort key comes from.
enum KeySource<'v> {
    Id,
    Column(ColumnCursor<'v>),
    Entries(ParameterNumber),
}

impl<P: Postings> Reader<'_, P> {
    /// Offers all ids of a type, with their sort keys.
    pub(crate) fn offer_all(&self, resource_type: ResourceType, ids: &IdList, sort: &[SortBy], first: &mut FirstPlaces<'_>) -> Result<()> {
        let columns = self.sort_columns(resource_type, sort, ids.len())?;
        let mut sources: Vec<_> = sort.iter().zip(&columns).map(|(by, column)| key_source(by, column.as_deref())).collect();
        let needs_entries = sources.iter().any(|source| matches!(source, KeySource::Entries(_)));
        self.budget.spend(ids.len() as u64 / ENTRIES_COST)?;
        let mut id_bytes = Vec::with_capacity(17);
        let mut keys: Vec<Option<&[u8]>> = Vec::with_capacity(sort.len());
        for id in ids.iter() {
            let entries = if needs_entries { self.entries(resource_type, id)? } else { None };
            id_bytes.clear();
            id.write(&mut id_bytes);
            let mut keys_of_id = reuse(keys);
            for (source, by) in sources.iter_mut().zip(sort) {
                keys_of_id.push(match source {
                    KeySource::Id => Some(&*id_bytes),
                    KeySource::Column(cursor) => extreme(cursor.values(id), by.descending),
                    KeySource::Entries(parameter) => extreme(entries.iter().flat_map(|entries| entries.values(*parameter)), by.descending),
                });
            }
            first.offer(&keys_of_id, resource_type, id);
            keys = reuse(keys_of_id);
        }
        Ok(())
    }

    fn sort_columns(&self, resource_type: ResourceType, sort: &[SortBy], count: usize) -> Result<Vec<Option<Arc<ColumnView>>>> {
        let column_of = |by: &SortBy| match by.target {
            SortTarget::Id => Ok(None),
            SortTarget::Parameter(parameter) => self.column_if_worth(resource_type, parameter, count),
        };
        sort.iter().map(column_of).collect()
    }

    /// Walks the postings of a sort parameter in their order for the first places, where many of them are sought. `None`: it
    /// is not worth it, or it takes what has no value, which this cannot tell.
    pub(crate) fn walk(&self, walk: &Walk<'_>) -> Result<Option<Vec<Position>>> {
        let SortTarget::Parameter(parameter) = walk.by.target else { return Ok(None) };
        let count = self.postings.count(walk.resource_type)?;
        let sought = walk.ids.map_or(count, |ids| ids.len() as u64);
        if sought < self.settings.walk_length_min || sought.saturating_mul(WALK_SPARSITY_MAX) < count {
            return Ok(None);
        }
        let steps_left = 4 * self.settings.walk_length_min;
        let mut walker = Walker { reader: self, walk, parameter, places: Vec::new(), steps_left };
        let is_complete = if walk.by.descending { walker.descend()? } else { walker.ascend()? };
        Ok(is_complete.then_some(walker.places))
    }
}

/// Results are walked for if there is one among so many resources.
const WALK_SPARSITY_MAX: u64 = 32;

/// An order by one parameter.
pub(crate) struct Walk<'q> {
    /// The type.
    pub(crate) resource_type: ResourceType,
    /// The results; `None`: all resources of the type.
    pub(crate) ids: Option<&'q IdList>,
    /// By what.
    pub(crate) by: &'q SortBy,
    /// Only places behind this.
    pub(crate) after: Option<&'q Position>,
    /// How many places.
    pub(crate) length: usize,
}

struct Walker<'s, 'r, P> {
    reader: &'s Reader<'r, P>,
    walk: &'s Walk<'s>,
    parameter: ParameterNumber,
    places: Vec<Position>,
    /// Until it is dearer than sorting.
    steps_left: u64,
}

impl<P: Postings> Walker<'_, '_, P> {
    /// `true` if it found all places it was to.
    fn ascend(&mut self) -> Result<bool> {
        let range = sort_range();
        let from = match self.walk.after {
            None => range.from,
            Some(after) => match self.behind(after) {
                Some(from) => from,
                None => return Ok(false),
            },
        };
        self.visit(&from, &range.to)
    }

    /// The same from the greatest value down; within a value the ids ascend.
    fn descend(&mut self) -> Result<bool> {
        let range = sort_range();
        let mut to = range.to;
        if let Some(after) = self.walk.after {
            let (Some(from), Some(Some(value))) = (self.behind(after), after.keys.first()) else { return Ok(false) };
            if self.visit(&from, &behind_value(value))? {
                return Ok(true);
            }
            to.clone_from(value);
        }
        loop {
            self.reader.budget.spend(SEEK_COST)?;
            let stretch = Stretch { resource_type: self.walk.resource_type, parameter: self.parameter, from: &range.from, to: Some(&to) };
            let Some(value) = self.reader.postings.greatest_value(stretch)? else { return Ok(false) };
            if self.visit(&value, &behind_value(&value))? {
                return Ok(true);
            }
            if self.steps_left == 0 {
                return Ok(false);
            }
            to = value;
        }
    }

    /// The bound behind a place; `None` if it has no value.
    fn behind(&self, place: &Position) -> Option<Vec<u8>> {
        let mut bound = place.keys.first()?.clone()?;
        IdRef::from(&place.id).write(&mut bound);
        // An id that begins with this one's text comes behind it; no id holds a zero there.
        bound.push(0);
        Some(bound)
    }

    /// Adds the places in a stretch; `true` once there are enough.
    fn visit(&mut self, from: &[u8], to: &[u8]) -> Result<bool> {
        let stretch = Stretch { resource_type: self.walk.resource_type, parameter: self.parameter, from, to: Some(to) };
        let reader = self.reader;
        reader.scan(stretch, self.steps_left, &mut |value, id| {
            self.steps_left -= 1;
            if self.walk.ids.is_none_or(|ids| ids.contains(id)) && self.is_key(value, id)? {
                let keys = vec![Some(value.to_vec())];
                self.places.push(Position { keys, resource_type: self.walk.resource_type, id: id.to_ordered() });
            }
            Ok(if self.places.len() == self.walk.length { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(self.places.len() == self.walk.length)
    }

    /// Whether a value is the one of its resource that counts.
    fn is_key(&self, value: &[u8], id: IdRef<'_>) -> Result<bool> {
        let entries = self.reader.entries(self.walk.resource_type, id)?;
        let values = entries.iter().flat_map(|entries| entries.values(self.parameter));
        Ok(extreme(values, self.walk.by.descending) == Some(value))
    }
}

fn key_source<'v>(by: &SortBy, column: Option<&'v ColumnView>) -> KeySource<'v> {
    match (by.target, column) {
        (SortTarget::Id, _) => KeySource::Id,
        (SortTarget::Parameter(_), Some(column)) => KeySource::Column(column.cursor()),
        (SortTarget::Parameter(parameter), None) => KeySource::Entries(parameter),
    }
}

/// The value that counts among several.
fn extreme<'v>(values: impl Iterator<Item = &'v [u8]>, descending: bool) -> Option<&'v [u8]> {
    let keys = values.filter_map(sort_key_of_value);
    if descending { keys.max() } else { keys.min() }
}

/// The memory of a list for another of the same kind with another lifetime.
fn reuse<'b>(mut keys: Vec<Option<&[u8]>>) -> Vec<Option<&'b [u8]>> {
    keys.clear();
    keys.into_iter().map(|_| None).collect()
}

/// A place by id alone.
pub(crate) fn place_by_id(resource_type: ResourceType, id: OrderedId) -> Position {
    Position { keys: Vec::new(), resource_type, id }
}
