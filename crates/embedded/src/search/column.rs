//! All values of one parameter by resource, in memory: for tests and sort keys of many candidates.

use std::sync::Arc;

use fhirpool_fhir::OrderedId;

use crate::search::ids::{IdList, IdListBuilder, IdRef, Membership};

/// The values as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Column {
    ids: IdList,
    /// Of the id at `i`, the values are `places[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    /// Which value.
    places: Vec<u32>,
    /// Where the value at `i` ends in `bytes`; it starts where the one before ends.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// Gathers a column from postings in order of their values.
#[derive(Debug, Default)]
pub(crate) struct ColumnBuilder {
    uuids: Vec<(u128, u32)>,
    texts: Vec<(Box<str>, u32)>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl ColumnBuilder {
    /// Adds a posting. A value that stands behind its like takes no more room. `false` if the column is full: places are
    /// 32 bits.
    pub(crate) fn push(&mut self, value: &[u8], id: IdRef<'_>) -> bool {
        if self.ends.is_empty() || self.last() != value {
            let Ok(end) = u32::try_from(self.bytes.len() + value.len()) else { return false };
            self.bytes.extend_from_slice(value);
            self.ends.push(end);
        }
        let place = (self.ends.len() - 1) as u32;
        match id {
            IdRef::Uuid(number) => self.uuids.push((number, place)),
            IdRef::Text(text) => self.texts.push((text.into(), place)),
        }
        true
    }

    fn last(&self) -> &[u8] {
        let start = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..]
    }

    /// The column.
    pub(crate) fn finish(mut self) -> Column {
        self.uuids.sort_unstable();
        self.texts.sort_unstable();
        let mut column = Column { ends: self.ends, bytes: self.bytes, ..Column::default() };
        let mut ids = IdListBuilder::default();
        let rows = self.uuids.iter().map(|(number, place)| (IdRef::Uuid(*number), *place));
        let rows = rows.chain(self.texts.iter().map(|(text, place)| (IdRef::Text(text), *place)));
        let mut current = None;
        for (id, place) in rows {
            if current != Some(id) {
                current = Some(id);
                ids.push(id);
                column.starts.push(column.places.len() as u32);
            }
            column.places.push(place);
        }
        column.starts.push(column.places.len() as u32);
        column.ids = ids.finish();
        column.bytes.shrink_to_fit();
        column.ends.shrink_to_fit();
        column
    }
}

impl Column {
    fn value(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[place] as usize]
    }

    fn bytes(&self) -> usize {
        self.ids.bytes() + (self.starts.len() + self.places.len() + self.ends.len()) * 4 + self.bytes.len()
    }
}

/// The values of a resource that changed since; none if it has none or is gone.
#[derive(Debug, Clone)]
struct Row {
    id: OrderedId,
    values: Arc<[Box<[u8]>]>,
}

/// A column brought up to date by rows that replace its own.
#[derive(Debug, Clone)]
pub(crate) struct ColumnView {
    base: Arc<Column>,
    /// In the order of the ids.
    replaced: Arc<[Row]>,
}

impl ColumnView {
    /// A column as it was built.
    pub(crate) fn new(base: Column) -> Self {
        Self { base: Arc::new(base), replaced: Arc::new([]) }
    }

    /// How many changes it can take before it is better built anew.
    pub(crate) fn room(&self) -> usize {
        let length = self.base.ids.len();
        (length / 8).clamp(256, 4_096).saturating_sub(self.replaced.len())
    }

    /// The column with these resources' values in place of what it holds for them; ids in order.
    pub(crate) fn with(&self, changed: Vec<(OrderedId, Vec<Box<[u8]>>)>) -> Self {
        let mut replaced = Vec::with_capacity(self.replaced.len() + changed.len());
        let mut old = self.replaced.iter().peekable();
        for (id, values) in changed {
            while let Some(row) = old.next_if(|row| row.id < id) {
                replaced.push(row.clone());
            }
            old.next_if(|row| row.id == id);
            replaced.push(Row { id, values: values.into() });
        }
        replaced.extend(old.cloned());
        Self { base: self.base.clone(), replaced: replaced.into() }
    }

    /// A reader for ascending ids.
    pub(crate) fn cursor(&self) -> ColumnCursor<'_> {
        ColumnCursor { view: self, membership: Membership::new(&self.base.ids), replaced: 0 }
    }

    /// All ids that have values, in order.
    pub(crate) fn ids(&self) -> IdList {
        let mut ids = IdListBuilder::default();
        for id in self.base.ids.iter().filter(|id| self.row(*id).is_none()) {
            ids.push(id);
        }
        for row in self.replaced.iter().filter(|row| !row.values.is_empty()) {
            ids.push((&row.id).into());
        }
        ids.finish()
    }

    fn row(&self, id: IdRef<'_>) -> Option<&Row> {
        if self.replaced.is_empty() {
            return None;
        }
        self.replaced.binary_search_by(|row| IdRef::from(&row.id).cmp(&id)).ok().map(|index| &self.replaced[index])
    }

    /// The bytes it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let row_bytes = |row: &Row| 48 + row.values.iter().map(|value| value.len() + 24).sum::<usize>();
        self.base.bytes() + self.replaced.iter().map(row_bytes).sum::<usize>()
    }
}

/// Reads a column by ascending ids, in one pass over it.
pub(crate) struct ColumnCursor<'a> {
    view: &'a ColumnView,
    membership: Membership<'a>,
    replaced: usize,
}

impl<'a> ColumnCursor<'a> {
    /// The values of an id, which must not be less than the one before.
    pub(crate) fn values(&mut self, id: IdRef<'_>) -> Values<'a> {
        let replaced = &self.view.replaced;
        while replaced.get(self.replaced).is_some_and(|row| IdRef::from(&row.id) < id) {
            self.replaced += 1;
        }
        if let Some(row) = replaced.get(self.replaced)
            && IdRef::from(&row.id) == id
        {
            return Values::Replaced(row.values.iter());
        }
        let base = &*self.view.base;
        match self.membership.position(id) {
            Some(index) => {
                let places = base.starts[index] as usize..base.starts[index + 1] as usize;
                Values::Kept { column: base, places: base.places[places].iter() }
            }
            None => Values::Replaced([].iter()),
        }
    }
}

/// The values of one resource.
pub(crate) enum Values<'a> {
    /// Of the column as it was built.
    Kept {
        /// The column.
        column: &'a Column,
        /// Which values are left.
        places: std::slice::Iter<'a, u32>,
    },
    /// Of a resource that changed since, or none.
    Replaced(std::slice::Iter<'a, Box<[u8]>>),
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Kept { column, places } => places.next().map(|place| column.value(*place as usize)),
            Self::Replaced(values) => values.next().map(|value| &**value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(view: &ColumnView, id: u128) -> Vec<Vec<u8>> {
        view.cursor().values(IdRef::Uuid(id)).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn values_are_found_by_id_and_replaced_by_later_ones() {
        let mut builder = ColumnBuilder::default();
        for (value, id) in [(b"a", 3), (b"a", 5), (b"b", 1), (b"c", 3)] {
            assert!(builder.push(value, IdRef::Uuid(id)));
        }
        let view = ColumnView::new(builder.finish());
        assert_eq!(values(&view, 3), [b"a", b"c"]);
        assert_eq!(values(&view, 1), [b"b"]);
        assert!(values(&view, 2).is_empty());

        let id = |number: u128| OrderedId::Uuid(number.to_be_bytes());
        let view = view.with(vec![(id(2), vec![b"x"[..].into()]), (id(3), Vec::new())]);
        let view = view.with(vec![(id(1), vec![b"y"[..].into()]), (id(2), vec![b"z"[..].into()])]);
        assert_eq!(values(&view, 1), [b"y"]);
        assert_eq!(values(&view, 2), [b"z"]);
        assert!(values(&view, 3).is_empty());
        assert_eq!(values(&view, 5), [b"a"]);
        assert_eq!(view.ids().iter().collect::<Vec<_>>(), [IdRef::Uuid(1), IdRef::Uuid(2), IdRef::Uuid(5)]);
    }
}
