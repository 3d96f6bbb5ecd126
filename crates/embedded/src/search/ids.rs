//! Sorted lists of ids, in the order of [`OrderedId`]: UUIDs as numbers, ahead of all other ids.

use fhirpool_fhir::OrderedId;

/// An id without its own memory; ordered as [`OrderedId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IdRef<'a> {
    /// A canonical UUID, big-endian.
    Uuid(u128),
    /// Any other id.
    Text(&'a str),
}

impl<'a> IdRef<'a> {
    /// Reads what [`OrderedId::write`] wrote.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&OrderedId::UUID_MARKER, rest) => Some(Self::Uuid(u128::from_be_bytes(rest.try_into().ok()?))),
            (&OrderedId::TEXT_MARKER, rest) => Some(Self::Text(std::str::from_utf8(rest).ok()?)),
            _ => None,
        }
    }

    /// Appends what [`OrderedId::write`] would.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Uuid(number) => {
                out.push(OrderedId::UUID_MARKER);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Text(text) => {
                out.push(OrderedId::TEXT_MARKER);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The id with memory of its own.
    pub(crate) fn to_ordered(self) -> OrderedId {
        match self {
            Self::Uuid(number) => OrderedId::Uuid(number.to_be_bytes()),
            Self::Text(text) => OrderedId::Text(text.into()),
        }
    }
}

impl<'a> From<&'a OrderedId> for IdRef<'a> {
    fn from(id: &'a OrderedId) -> Self {
        match id {
            OrderedId::Uuid(bytes) => Self::Uuid(u128::from_be_bytes(*bytes)),
            OrderedId::Text(text) => Self::Text(text),
        }
    }
}

/// Ids in ascending order, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IdList {
    uuids: Vec<u128>,
    texts: Vec<Box<str>>,
}

impl IdList {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.uuids.len() + self.texts.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id at an index.
    pub(crate) fn get(&self, index: usize) -> Option<IdRef<'_>> {
        match self.uuids.get(index) {
            Some(number) => Some(IdRef::Uuid(*number)),
            None => self.texts.get(index - self.uuids.len()).map(|text| IdRef::Text(text)),
        }
    }

    /// All of them from an index on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = IdRef<'_>> {
        let uuids = &self.uuids[index.min(self.uuids.len())..];
        let texts = &self.texts[index.saturating_sub(self.uuids.len()).min(self.texts.len())..];
        uuids.iter().map(|number| IdRef::Uuid(*number)).chain(texts.iter().map(|text| IdRef::Text(text)))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = IdRef<'_>> {
        self.iter_from(0)
    }

    /// The first index at or behind `from` whose id is not less than this; all ids ahead of `from` must be less.
    pub(crate) fn seek(&self, from: usize, id: IdRef<'_>) -> usize {
        match id {
            IdRef::Uuid(_) if from >= self.uuids.len() => from,
            IdRef::Uuid(number) => gallop(&self.uuids, from, |entry| *entry < number),
            IdRef::Text(text) => {
                let uuids = self.uuids.len();
                uuids + gallop(&self.texts, from.saturating_sub(uuids), |entry| **entry < *text)
            }
        }
    }

    /// The index of an id.
    pub(crate) fn position(&self, id: IdRef<'_>) -> Option<usize> {
        match id {
            IdRef::Uuid(number) => self.uuids.binary_search(&number).ok(),
            IdRef::Text(text) => self.texts.binary_search_by(|entry| (**entry).cmp(text)).ok().map(|index| index + self.uuids.len()),
        }
    }

    /// Whether an id is among them.
    pub(crate) fn contains(&self, id: IdRef<'_>) -> bool {
        self.position(id).is_some()
    }

    /// Those that are in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self { uuids: select_common(&self.uuids, &other.uuids, true), texts: select_common(&self.texts, &other.texts, true) }
    }

    /// Those that the other has not.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        Self { uuids: select_common(&self.uuids, &other.uuids, false), texts: select_common(&self.texts, &other.texts, false) }
    }

    /// Those of any list.
    pub(crate) fn union<'a>(lists: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut builder = IdListBuilder::default();
        builder.list.uuids.reserve(lists.clone().map(|list| list.uuids.len()).sum());
        for list in lists {
            builder.list.uuids.extend_from_slice(&list.uuids);
            builder.list.texts.extend_from_slice(&list.texts);
        }
        builder.finish()
    }

    /// Those for which `keep` holds, up to and with the first error.
    pub(crate) fn try_filter<E>(&self, mut keep: impl FnMut(IdRef<'_>) -> Result<bool, E>) -> Result<Self, E> {
        let mut kept = Self::default();
        for number in &self.uuids {
            if keep(IdRef::Uuid(*number))? {
                kept.uuids.push(*number);
            }
        }
        for text in &self.texts {
            if keep(IdRef::Text(text))? {
                kept.texts.push(text.clone());
            }
        }
        Ok(kept)
    }

    /// The bytes it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.uuids.len() * 16 + self.texts.iter().map(|text| text.len() + 32).sum::<usize>() + 64
    }
}

/// Gathers ids in any order.
#[derive(Debug, Default)]
pub(crate) struct IdListBuilder {
    list: IdList,
}

impl IdListBuilder {
    /// Adds one.
    pub(crate) fn push(&mut self, id: IdRef<'_>) {
        match id {
            IdRef::Uuid(number) => self.list.uuids.push(number),
            IdRef::Text(text) => self.list.texts.push(text.into()),
        }
    }

    /// How many were added.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Sorts them and drops repetitions.
    pub(crate) fn finish(mut self) -> IdList {
        sort_and_dedup(&mut self.list.uuids);
        sort_and_dedup(&mut self.list.texts);
        self.list.uuids.shrink_to_fit();
        self.list.texts.shrink_to_fit();
        self.list
    }
}

fn sort_and_dedup<T: Ord>(items: &mut Vec<T>) {
    if !items.is_sorted_by(|left, right| left < right) {
        items.sort();
        items.dedup();
    }
}

/// Tests ascending ids against a list, in one pass over it.
pub(crate) struct Membership<'a> {
    list: &'a IdList,
    index: usize,
}

impl<'a> Membership<'a> {
    /// At the start of a list.
    pub(crate) fn new(list: &'a IdList) -> Self {
        Self { list, index: 0 }
    }

    /// The index of an id, which must not be less than the one before.
    pub(crate) fn position(&mut self, id: IdRef<'_>) -> Option<usize> {
        self.index = self.list.seek(self.index, id);
        (self.list.get(self.index) == Some(id)).then_some(self.index)
    }
}

/// The first index at or behind `from` of which `is_less` no longer holds, near ones first.
fn gallop<T>(items: &[T], from: usize, is_less: impl Fn(&T) -> bool) -> usize {
    let mut low = from.min(items.len());
    let mut step = 1;
    while low + step <= items.len() && is_less(&items[low + step - 1]) {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(items.len());
    low + items[low..high].partition_point(is_less)
}

/// The items that are (`common`) or are not (`!common`) in `others`; both sorted.
fn select_common<T: Ord + Clone>(items: &[T], others: &[T], common: bool) -> Vec<T> {
    let mut selected = Vec::new();
    // Walking the shorter list and galloping in the longer one keeps a lopsided intersection near the shorter length.
    if common && others.len() < items.len() {
        return select_common(others, items, true);
    }
    let mut at = 0;
    for item in items {
        at = gallop(others, at, |other| other < item);
        if (others.get(at) == Some(item)) == common {
            selected.push(item.clone());
        }
    }
    selected
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn list(ids: &[&str]) -> IdList {
        let mut builder = IdListBuilder::default();
        for id in ids {
            match id.parse() {
                Ok(number) => builder.push(IdRef::Uuid(number)),
                Err(_) => builder.push(IdRef::Text(id)),
            }
        }
        builder.finish()
    }

    #[test]
    fn uuids_come_ahead_of_texts_and_nothing_comes_twice() {
        let ids = list(&["b", "20", "a", "3", "b", "3"]);
        let expected = [IdRef::Uuid(3), IdRef::Uuid(20), IdRef::Text("a"), IdRef::Text("b")];
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected);
        assert_eq!((0..5).filter_map(|index| ids.get(index)).collect::<Vec<_>>(), expected);
        assert_eq!(ids.iter_from(3).collect::<Vec<_>>(), [IdRef::Text("b")]);
        assert_eq!(ids.iter_from(9).count(), 0);
    }

    #[test]
    fn set_operations_agree_with_their_names() {
        let (left, right) = (list(&["1", "2", "3", "a", "b"]), list(&["2", "3", "4", "b", "c"]));
        assert_eq!(left.intersection(&right), list(&["2", "3", "b"]));
        assert_eq!(left.difference(&right), list(&["1", "a"]));
        assert_eq!(IdList::union([&left, &right].into_iter()), list(&["1", "2", "3", "4", "a", "b", "c"]));
        assert_eq!(left.difference(&IdList::default()), left);
        assert!(left.intersection(&IdList::default()).is_empty());
    }

    #[test]
    fn seeking_finds_the_first_not_less() {
        let ids = list(&["1", "5", "9", "12", "40", "b", "d"]);
        for from in 0..=ids.len() {
            for sought in
                [IdRef::Uuid(0), IdRef::Uuid(5), IdRef::Uuid(39), IdRef::Uuid(50), IdRef::Text("a"), IdRef::Text("d"), IdRef::Text("z")]
            {
                let all_before_are_less = ids.iter().take(from).all(|id| id < sought);
                if all_before_are_less {
                    let expected = ids.iter().take_while(|id| *id < sought).count();
                    assert_eq!(ids.seek(from, sought), expected, "{from} {sought:?}");
                }
            }
        }
    }

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        for id in [OrderedId::Uuid([7; 16]), OrderedId::Text("pat-1".into())] {
            let mut bytes = Vec::new();
            IdRef::from(&id).write(&mut bytes);
            let mut expected = Vec::new();
            id.write(&mut expected);
            assert_eq!(bytes, expected);
            assert_eq!(IdRef::read(&bytes).unwrap().to_ordered(), id);
        }
    }
}
