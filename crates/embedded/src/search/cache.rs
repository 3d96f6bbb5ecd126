//! Lists and columns kept between searches, and brought up to date where something changed.
//!
//! # Why a kept list is exact
//!
//! A list was built from a snapshot of sequence S: it holds just the resources of its type for which its test held when the
//! commits up to S had happened, and no others. It is asked for by a search in a snapshot of sequence V.
//!
//! 1. Whether the test holds for a resource depends on that resource's own postings alone, and those change only when a
//!    commit changes the resource.
//! 2. The committer notes every change, with its commit's sequence, in the [`ChangeLog`] *before* it publishes a snapshot
//!    of that sequence or a later one. So whoever holds a snapshot of sequence max(S, V) (this search, or the one that kept the
//!    list before this search found it) came after every change up to max(S, V) had been noted.
//! 3. Let D be the resources with a noted change in (min(S, V), max(S, V)]. By 2, what is not in D did not change between
//!    the two, so by 1 the list is right about it in V as well. What is in D is looked at in V itself.
//!
//! Thus the list patched by D is what a scan of V would give: nothing of a commit after V, everything of one up to V, and
//! hence never half of one. Where the log no longer reaches back to min(S, V), or D is large, the list is not used.
//! The same holds for columns, whose rows depend on one resource each. Changes that are noted and then fail to commit do no
//! harm: what they name is looked at in vain.
//!
//! One cache serves one opening of a database, since only then a sequence names one state; and postings are removed outside of
//! commits only from a tenant that is closed and whose number is never given again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::ValueTest;
use fhirpool_storage::Result;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter, sync::DefaultLifecycle};

use crate::forward::Forward;
use crate::search::changes::ChangeLog;
use crate::search::column::ColumnView;
use crate::search::ids::{IdList, IdListBuilder};

/// What searches keep for later ones.
pub(crate) struct SearchCache {
    kept: Cache<KeptKey, Kept, ByteWeighter>,
    changes: ChangeLog,
    /// What was spent on looking at single resources for want of a list or column, in postings scanned, by parameter.
    spent: Mutex<HashMap<(u32, ResourceType, ParameterNumber), u64>>,
}

/// Parameters whose spending is remembered.
const SPENT_LENGTH_MAX: usize = 4_096;

/// What a key and the cache's own book-keeping take, about.
const KEY_BYTES: u64 = 192;

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    /// All resources of the type.
    All,
    /// Those with a value of the parameter.
    Any(ParameterNumber),
    /// Those with a value that passes.
    Test(ParameterNumber, &'a ValueTest),
    /// Those with just this value.
    Value(ParameterNumber, &'a [u8]),
}

impl Subject<'_> {
    /// Whether a resource belongs to it; `None`: it is not there.
    pub(crate) fn holds(self, entries: Option<&Forward>) -> bool {
        let Some(entries) = entries else { return false };
        match self {
            Self::All => true,
            Self::Any(parameter) => entries.values(parameter).next().is_some(),
            Self::Test(parameter, test) => entries.values(parameter).any(|value| test.accepts(value)),
            Self::Value(parameter, sought) => entries.values(parameter).any(|value| value == sought),
        }
    }

    fn name(self) -> KeptName {
        match self {
            Self::All => KeptName::All,
            Self::Any(parameter) => KeptName::Any(parameter),
            Self::Test(parameter, test) => KeptName::Test(parameter, test.clone()),
            Self::Value(parameter, value) => KeptName::Value(parameter, value.into()),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptKey {
    tenant: u32,
    resource_type: ResourceType,
    name: KeptName,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum KeptName {
    All,
    Any(ParameterNumber),
    Test(ParameterNumber, ValueTest),
    Value(ParameterNumber, Box<[u8]>),
    Column(ParameterNumber),
}

/// A [`KeptKey`] of a list that borrows its test; it hashes alike.
#[derive(Hash)]
struct ListKey<'a> {
    tenant: u32,
    resource_type: ResourceType,
    subject: Subject<'a>,
}

impl Equivalent<KeptKey> for ListKey<'_> {
    fn equivalent(&self, key: &KeptKey) -> bool {
        let same_name = match (self.subject, &key.name) {
            (Subject::All, KeptName::All) => true,
            (Subject::Any(mine), KeptName::Any(other)) => mine == *other,
            (Subject::Test(mine, test), KeptName::Test(other, kept)) => mine == *other && test == kept,
            (Subject::Value(mine, value), KeptName::Value(other, kept)) => mine == *other && value == &**kept,
            _ => false,
        };
        same_name && self.tenant == key.tenant && self.resource_type == key.resource_type
    }
}

#[derive(Clone)]
struct Kept {
    /// In which snapshot it is right.
    sequence: u64,
    /// Bytes in memory, about.
    weight: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    List(Arc<IdList>),
    Column(Arc<ColumnView>),
}

#[derive(Clone)]
struct ByteWeighter;

impl Weighter<KeptKey, Kept> for ByteWeighter {
    fn weight(&self, _: &KeptKey, kept: &Kept) -> u64 {
        kept.weight
    }
}

fn test_bytes(test: &ValueTest) -> usize {
    test.ranges().iter().map(|range| range.from.len() + range.to.len() + 64).sum()
}

/// In which tenant, type and snapshot something is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The tenant's number, of an access that covers the type.
    pub(crate) tenant: u32,
    /// The type.
    pub(crate) resource_type: ResourceType,
    /// The snapshot's sequence.
    pub(crate) sequence: u64,
}

/// Looks at a resource in the snapshot of the search; `None`: it is not there.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&OrderedId) -> Result<Option<Forward>>;

impl SearchCache {
    /// An empty cache of so many bytes, for a database just opened.
    pub(crate) fn new(bytes: u64) -> Self {
        // Few shards, because nothing larger than a shard is kept.
        let options = OptionsBuilder::new().weight_capacity(bytes).estimated_items_capacity(10_000).shards(2).build();
        let options = options.expect("both capacities are set");
        let kept = Cache::with_options(options, ByteWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { kept, changes: ChangeLog::new(), spent: Mutex::default() }
    }

    /// Notes that a commit changes a resource. To be called for every change, before a snapshot that shows it is published;
    /// sequences must not fall.
    pub(crate) fn record(&self, sequence: u64, tenant: u32, resource_type: ResourceType, id: OrderedId) {
        self.changes.record(sequence, tenant, resource_type, id);
    }

    /// A kept list, as it is in the moment.
    pub(crate) fn list(&self, moment: Moment, subject: Subject<'_>, look: Look<'_>) -> Result<Option<Arc<IdList>>> {
        let key = ListKey { tenant: moment.tenant, resource_type: moment.resource_type, subject };
        let Some(Kept { sequence, content: Content::List(list), .. }) = self.kept.get(&key) else { return Ok(None) };
        let Some(changed) = self.changed(moment, sequence, list.len() / 4 + 64) else { return Ok(None) };
        if changed.is_empty() {
            return Ok(Some(list));
        }
        let (mut added, mut removed) = (IdListBuilder::default(), IdListBuilder::default());
        for id in &changed {
            let holds = subject.holds(look(id)?.as_ref());
            match (list.contains(id.into()), holds) {
                (false, true) => added.push(id.into()),
                (true, false) => removed.push(id.into()),
                _ => {}
            }
        }
        let list = if added.len() + removed.len() == 0 {
            list
        } else {
            let (added, rest) = (added.finish(), list.difference(&removed.finish()));
            Arc::new(IdList::union([&rest, &added].into_iter()))
        };
        if moment.sequence > sequence {
            self.keep_list(moment, subject, list.clone());
        }
        Ok(Some(list))
    }

    /// Keeps a list that is right in the moment.
    pub(crate) fn keep_list(&self, moment: Moment, subject: Subject<'_>, list: Arc<IdList>) {
        let weight = list.bytes() + if let Subject::Test(_, test) = subject { test_bytes(test) } else { 0 };
        self.keep(moment, subject.name(), weight, Content::List(list));
    }

    /// A kept column, as it is in the moment.
    pub(crate) fn column(&self, moment: Moment, parameter: ParameterNumber, look: Look<'_>) -> Result<Option<Arc<ColumnView>>> {
        let key = KeptKey { tenant: moment.tenant, resource_type: moment.resource_type, name: KeptName::Column(parameter) };
        let Some(Kept { sequence, content: Content::Column(column), .. }) = self.kept.get(&key) else { return Ok(None) };
        let Some(changed) = self.changed(moment, sequence, column.room()) else { return Ok(None) };
        if changed.is_empty() {
            return Ok(Some(column));
        }
        let mut rows = Vec::with_capacity(changed.len());
        for id in changed {
            let entries = look(&id)?;
            let values = entries.iter().flat_map(|entries| entries.values(parameter)).map(Into::into).collect();
            rows.push((id, values));
        }
        let column = Arc::new(column.with(rows));
        if moment.sequence > sequence {
            self.keep_column(moment, parameter, column.clone());
        }
        Ok(Some(column))
    }

    /// Keeps a column that is right in the moment.
    pub(crate) fn keep_column(&self, moment: Moment, parameter: ParameterNumber, column: Arc<ColumnView>) {
        self.keep(moment, KeptName::Column(parameter), column.bytes(), Content::Column(column));
    }

    fn keep(&self, moment: Moment, name: KeptName, content_bytes: usize, content: Content) {
        let weight = content_bytes as u64 + KEY_BYTES;
        let key = KeptKey { tenant: moment.tenant, resource_type: moment.resource_type, name };
        self.kept.insert(key, Kept { sequence: moment.sequence, weight, content });
    }

    /// Adds to what was spent on a parameter for want of a list or column, and tells the sum.
    pub(crate) fn spend(&self, moment: Moment, parameter: ParameterNumber, units: u64) -> u64 {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= SPENT_LENGTH_MAX {
            spent.clear();
        }
        let sum = spent.entry((moment.tenant, moment.resource_type, parameter)).or_default();
        *sum = sum.saturating_add(units);
        *sum
    }

    /// Begins anew to count what is spent on a parameter.
    pub(crate) fn forget_spending(&self, moment: Moment, parameter: ParameterNumber) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).remove(&(moment.tenant, moment.resource_type, parameter));
    }

    /// What changed between the moment and a sequence; `None` if that is not known or more than `max`.
    fn changed(&self, moment: Moment, sequence: u64, max: usize) -> Option<Vec<OrderedId>> {
        if moment.sequence == sequence {
            return Some(Vec::new());
        }
        let (from, to) = (moment.sequence.min(sequence), moment.sequence.max(sequence));
        self.changes.between(moment.tenant, moment.resource_type, from, to, max)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    #[test]
    fn a_borrowed_key_hashes_as_the_kept_one() {
        let state = BuildHasherDefault::<DefaultHasher>::default();
        let resource_type = ResourceType::all().next().expect("there are types");
        for subject in [Subject::All, Subject::Any(ParameterNumber(7)), Subject::Value(ParameterNumber(7), b"value")] {
            let borrowed = ListKey { tenant: 3, resource_type, subject };
            let kept = KeptKey { tenant: 3, resource_type, name: subject.name() };
            assert_eq!(state.hash_one(&borrowed), state.hash_one(&kept));
            assert!(borrowed.equivalent(&kept));
        }
    }
}
