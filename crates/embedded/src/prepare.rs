//! What is done for a commit before it reaches the committer: everything costly.
//!
//! Bodies are compressed, postings and their keys are made, and the difference to what is posted now is taken, all on the
//! newest picture. The committer uses it as it is where the resource did not change since; else it takes the difference anew.

use std::collections::HashSet;
use std::sync::Arc;

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey};
use fhirpool_search::{IndexEntry, TypeSearch};
use fhirpool_storage::value::{Codec, Compressed};
use fhirpool_storage::{
    Assumption, Change, ChangeContent, Content, Freshness, Method, Precondition, Result, SearchRequest, StorageError, TenantKey, TotalMode,
};

use crate::database::{Bytes, Snapshot, Space};
use crate::forward::{Forward, Packed};
use crate::keys::{ResourceSlot, TypeRange, posting_value};
use crate::picture::Picture;
use crate::record::Head;
use crate::search::StoredPostings;
use crate::shared::Shared;
use crate::tenants::Scope;

/// A commit ready for the committer.
pub(crate) struct Prepared {
    pub(crate) access: WriteAccess,
    pub(crate) key: Arc<TenantKey>,
    /// The picture that changes and assumptions were prepared on.
    pub(crate) sequence: u64,
    pub(crate) changes: Vec<PreparedChange>,
    pub(crate) assumptions: Vec<PreparedAssumption>,
}

impl Prepared {
    /// About how many keys it writes.
    pub(crate) fn writes(&self) -> usize {
        const PER_CHANGE: usize = 6;
        self.changes.iter().map(|change| PER_CHANGE + change.difference.removed.len() + change.difference.inserted.len()).sum()
    }
}

/// One change.
pub(crate) struct PreparedChange {
    pub(crate) slot: ResourceSlot,
    pub(crate) key: ResourceKey,
    pub(crate) method: Method,
    pub(crate) precondition: Precondition,
    pub(crate) content: Compressed,
    /// `None`: a deletion.
    pub(crate) index: Option<PreparedIndex>,
    /// What is there.
    pub(crate) current: Option<Current>,
    /// From what is posted for it to what shall be, the entry of `_lastUpdated` aside.
    pub(crate) difference: Difference,
}

/// The entries of a new version.
pub(crate) struct PreparedIndex {
    /// Ascending, each once.
    entries: Vec<IndexEntry>,
    /// The same, as it will be stored.
    pub(crate) packed: Packed,
}

/// The newest version of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) head: Head,
    /// As it is stored.
    pub(crate) record: Bytes,
    /// What is posted for it; `None` if it is deleted.
    pub(crate) forward: Option<Forward>,
}

/// Postings to make and to remove.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) removed: Vec<Bytes>,
    pub(crate) inserted: Vec<(Bytes, [u8; 2])>,
}

/// Criteria and what they gave.
pub(crate) struct PreparedAssumption {
    /// What the keys of the type sought begin with.
    pub(crate) prefix: Vec<u8>,
    pub(crate) search: Arc<TypeSearch>,
    pub(crate) found: Vec<ResourceId>,
}

/// How many ids an assumption names at most.
pub(crate) const FOUND_MAX: usize = 2;

/// What preparing needs besides the commit.
pub(crate) struct Preparation {
    pub(crate) picture: Arc<Picture>,
    pub(crate) key: Arc<TenantKey>,
    pub(crate) codec: Codec,
    /// The parameter of `_lastUpdated`.
    pub(crate) time: ParameterNumber,
}

impl Preparation {
    /// Prepares changes.
    pub(crate) fn changes(&self, access: &WriteAccess, changes: Vec<Change>) -> Result<Vec<PreparedChange>> {
        let scope = Scope::of(access.as_read(), &self.picture.tenants)?;
        changes.into_iter().map(|change| self.change(&scope, change)).collect()
    }

    /// Prepares assumptions: evaluates their criteria on the picture, so that the committer has only to look at what changes
    /// from there on. `None`: one does not hold.
    pub(crate) fn assumptions(
        &self,
        shared: &Shared,
        access: &WriteAccess,
        assumptions: Vec<Assumption>,
    ) -> Result<Option<Vec<PreparedAssumption>>> {
        let scope = Scope::of(access.as_read(), &self.picture.tenants)?;
        let postings = StoredPostings::new(scope, &self.picture);
        let mut prepared = Vec::with_capacity(assumptions.len());
        for Assumption { search, found, .. } in assumptions {
            let prefix = TypeRange::new(&scope, search.resource_type)?.after(None).start;
            let parts = [TypeSearch::clone(&search)].into();
            let limit = FOUND_MAX.max(found.len() + 1);
            let request = SearchRequest { parts, after: None, limit, total: TotalMode::None, view: None, freshness: Freshness::Exact };
            let now = crate::search::search(&postings, &shared.search_cache, &shared.search_settings, &request)?;
            if !now.hits.iter().map(|hit| &hit.key.id).eq(&found) {
                return Ok(None);
            }
            prepared.push(PreparedAssumption { prefix, search, found });
        }
        Ok(Some(prepared))
    }

    fn change(&self, scope: &Scope<'_>, change: Change) -> Result<PreparedChange> {
        let slot = ResourceSlot::new(scope, change.key.resource_type, &OrderedId::from(&change.key.id))?;
        let (content, index) = match change.content {
            ChangeContent::Put { body, entries } => (Content::Resource(body), Some(self.index(entries)?)),
            ChangeContent::Delete => (Content::Deleted, None),
        };
        let content = self.codec.compress(change.method, &content);
        let current = Current::read(&self.picture.snapshot, &slot)?;
        let difference = difference(&slot, current.as_ref(), index.as_ref());
        let Change { key, method, precondition, .. } = change;
        Ok(PreparedChange { slot, key, method, precondition, content, index, current, difference })
    }

    fn index(&self, mut entries: Vec<IndexEntry>) -> Result<PreparedIndex> {
        if entries.iter().any(|entry| entry.value.len() > IndexEntry::VALUE_BYTES_MAX) {
            return Err(StorageError::TooCostly("an index value is longer than the limit"));
        }
        entries.sort_unstable();
        entries.dedup();
        let packed = Packed::new(&entries, self.time);
        Ok(PreparedIndex { entries, packed })
    }
}

/// Refuses a commit without changes or with two of one resource: neither has a meaning.
pub(crate) fn check_shape(changes: &[Change]) -> Result<()> {
    let mut keys = HashSet::with_capacity(changes.len());
    if changes.is_empty() || !changes.iter().all(|change| keys.insert(&change.key)) {
        return Err(StorageError::Unavailable("a commit must change something, and no resource twice".into()));
    }
    Ok(())
}

/// About how many bytes a commit takes once it is prepared.
pub(crate) fn prepared_bytes(changes: &[Change]) -> u64 {
    const PER_POSTING: usize = 160;
    const PER_CHANGE: usize = 512;
    let bytes = |change: &Change| match &change.content {
        ChangeContent::Put { body, entries } => {
            let values: usize = entries.iter().map(|entry| 2 * entry.value.len()).sum();
            PER_CHANGE + body.text.len() / 2 + values + entries.len() * PER_POSTING
        }
        ChangeContent::Delete => PER_CHANGE,
    };
    changes.iter().map(bytes).sum::<usize>() as u64
}

impl Current {
    /// Reads the newest version of a resource; `None` if there never was one.
    pub(crate) fn read(snapshot: &Snapshot, slot: &ResourceSlot) -> Result<Option<Self>> {
        let Some(record) = snapshot.get(Space::Resources, slot.as_bytes())? else { return Ok(None) };
        let head = Head::of(&record)?;
        let forward = match head.deleted {
            true => None,
            false => snapshot.get(Space::Forward, slot.as_bytes())?.map(Forward::read),
        };
        Ok(Some(Self { head, record, forward }))
    }

    /// Whether there is a resource.
    pub(crate) fn is_there(current: Option<&Self>) -> bool {
        current.is_some_and(|current| !current.head.deleted)
    }
}

/// From what is posted for the current version to what shall be.
pub(crate) fn difference(slot: &ResourceSlot, current: Option<&Current>, index: Option<&PreparedIndex>) -> Difference {
    let entries = index.map_or(&[][..], |index| &index.entries);
    let mut difference = Difference { removed: Vec::new(), inserted: Vec::with_capacity(entries.len()) };
    let insert = |entry: &IndexEntry| (slot.posting(entry.parameter, &entry.value).into(), posting_value(&entry.value));
    let Some(forward) = current.and_then(|current| current.forward.as_ref()) else {
        difference.inserted.extend(entries.iter().map(insert));
        return difference;
    };
    let mut new = entries.iter().peekable();
    for (parameter, value) in forward.entries() {
        while let Some(entry) = new.next_if(|entry| (entry.parameter, &*entry.value) < (parameter, value)) {
            difference.inserted.push(insert(entry));
        }
        if new.next_if(|entry| (entry.parameter, &*entry.value) == (parameter, value)).is_none() {
            difference.removed.push(slot.posting(parameter, value).into());
        }
    }
    difference.inserted.extend(new.map(insert));
    difference
}
