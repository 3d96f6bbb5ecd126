//! Commits that share one batch and one sync.
//!
//! Each member is checked against the newest picture and the members before it. Two that change the same resource never
//! share a group: the second waits for the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::{OrderedId, Timestamp, VersionId};
use fhirpool_search::{IndexEntry, TypeSearch};
use fhirpool_storage::{ChangeOutcome, CommitOutcome, Freshness, Precondition, Result, SearchRequest, TotalMode};
use tokio::sync::oneshot;

use crate::audit::Append;
use crate::database::{Batch, Bytes, Space};
use crate::feed::{PART_BYTES, write_entry};
use crate::keys::{CounterKey, FeedPlace, FeedRange, ResourceSlot, posting_value};
use crate::meta::{CLOCK_KEY, Clock, read_counter};
use crate::picture::Picture;
use crate::prepare::{Current, Difference, FOUND_MAX, Prepared, PreparedAssumption, PreparedChange, difference};
use crate::recent::{Recent, Verdict};
use crate::record::Head;
use crate::search::{StoredPostings, search_briefly};
use crate::shared::Shared;
use crate::tenants::Scope;

/// A group that is as large takes no more members, so that small commits do not wait for large ones' company.
pub(crate) const GROUP_WRITES_MAX: usize = 20_000;

/// What a group is built on.
pub(crate) struct Ground<'a> {
    pub(crate) shared: &'a Shared,
    /// The newest picture.
    pub(crate) picture: &'a Arc<Picture>,
    pub(crate) recent: &'a mut Recent,
}

/// A group that is being put together.
pub(crate) struct Group {
    batch: Batch,
    /// The newest member's number and time.
    pub(crate) clock: Clock,
    slots: HashSet<ResourceSlot>,
    counters: HashMap<CounterKey, u64>,
    /// Postings to make, or to remove (`None`).
    postings: Vec<(Bytes, Option<[u8; 2]>)>,
}

/// The entries of one commit for each feed, a part after another.
type FeedParts = HashMap<FeedRange, Vec<Vec<u8>>>;

impl Group {
    /// An empty one.
    pub(crate) fn new(batch: Batch, clock: Clock) -> Self {
        Self { batch, clock, slots: HashSet::new(), counters: HashMap::new(), postings: Vec::new() }
    }

    /// Whether a commit must wait for the next group.
    pub(crate) fn conflicts(&self, commit: &Prepared) -> bool {
        !self.slots.is_empty() && commit.changes.iter().any(|change| self.slots.contains(&change.slot))
    }

    /// Whether a commit may join. The first always does.
    pub(crate) fn has_room_for(&self, commit: &Prepared) -> bool {
        let writes = self.writes();
        writes == 0 || writes + commit.writes() <= GROUP_WRITES_MAX
    }

    /// Takes in what is to be appended to the log of accesses; gives who waits for it.
    pub(crate) fn append(&mut self, append: Append) -> oneshot::Sender<Result<()>> {
        append.write(&mut self.batch)
    }

    /// Takes a commit in, or tells why not. A commit that is taken in has happened once the batch is written.
    pub(crate) fn add(&mut self, ground: &mut Ground<'_>, mut commit: Prepared) -> Result<CommitOutcome> {
        // The tenant may have been closed since the commit was prepared.
        Scope::of(commit.access.as_read(), &ground.picture.tenants)?;
        if !still_holds(ground, &commit)? {
            return Ok(CommitOutcome::Stale);
        }
        for (position, change) in commit.changes.iter_mut().enumerate() {
            refresh(ground, change, commit.sequence)?;
            if !holds(change.precondition, change.current.as_ref()) {
                let current = change.current.as_ref().map(|current| (current.head.version, current.head.deleted));
                return Ok(CommitOutcome::PreconditionFailed { change: position, current });
            }
        }
        let counters = self.count(ground, &commit)?;
        let last_updated = self.time(ground, &commit);
        let changes_something = commit.changes.iter().any(|change| !is_idle(change));
        if changes_something {
            self.counters.extend(counters);
            self.clock = Clock { sequence: self.clock.sequence + 1, last_updated: last_updated.0 };
        }
        Ok(CommitOutcome::Committed { last_updated, changes: self.apply(ground, commit, last_updated) })
    }

    /// How many keys it writes, about.
    pub(crate) fn writes(&self) -> usize {
        self.batch.len() + self.postings.len()
    }

    /// Adds what is written once for the whole group.
    pub(crate) fn seal(mut self) -> Batch {
        // In order, since neighbours in the memtable are found in the processor's caches: most of the time goes there.
        self.postings.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in self.postings {
            match value {
                Some(value) => self.batch.insert(Space::Postings, key, value),
                None => self.batch.remove(Space::Postings, key),
            }
        }
        for (key, count) in self.counters {
            self.batch.insert(Space::Meta, key.as_bytes(), count.to_be_bytes());
        }
        self.batch.insert(Space::Meta, CLOCK_KEY, self.clock.write());
        self.batch
    }

    /// The counters as they will be. Nothing is changed yet: reading one may fail.
    fn count(&self, ground: &Ground<'_>, commit: &Prepared) -> Result<HashMap<CounterKey, u64>> {
        let mut counters = HashMap::new();
        for change in &commit.changes {
            let (was_there, will_be) = (Current::is_there(change.current.as_ref()), change.index.is_some());
            if was_there == will_be {
                continue;
            }
            let key = CounterKey::of(&change.slot);
            let count = match counters.get(&key).or_else(|| self.counters.get(&key)) {
                Some(count) => *count,
                None => read_counter(&ground.picture.snapshot, &key)?,
            };
            counters.insert(key, if will_be { count + 1 } else { count.saturating_sub(1) });
        }
        Ok(counters)
    }

    /// The commit's time: now, but not before any earlier commit, and behind the versions it supersedes.
    fn time(&self, ground: &Ground<'_>, commit: &Prepared) -> Timestamp {
        let superseded = commit.changes.iter().filter_map(|change| change.current.as_ref()).map(|current| current.head.last_updated.0 + 1);
        let now = (ground.shared.now)().0;
        Timestamp(superseded.fold(now.max(self.clock.last_updated), i64::max))
    }

    fn apply(&mut self, ground: &mut Ground<'_>, commit: Prepared, last_updated: Timestamp) -> Vec<ChangeOutcome> {
        let time = ground.shared.extractors.last_updated_entry(last_updated);
        let mut feeds = FeedParts::new();
        let mut outcomes = Vec::with_capacity(commit.changes.len());
        for mut change in commit.changes {
            if is_idle(&change) {
                outcomes.push(ChangeOutcome { version: change.current.map(|current| current.head.version), created: false });
                continue;
            }
            let version = VersionId(change.current.as_ref().map_or(0, |current| current.head.version.0) + 1);
            let created = change.index.is_some() && !Current::is_there(change.current.as_ref());
            let head = Head { version, last_updated, deleted: change.index.is_none() };
            let record = head.seal(&change.content, commit.access.tenant(), &change.key, &commit.key);
            self.batch.insert(Space::Resources, change.slot.as_bytes(), record);
            if let Some(current) = change.current.take() {
                self.batch.insert(Space::Versions, change.slot.version(current.head.version), current.record);
            }
            let forward = self.post(&mut change, &time);
            feed(&mut feeds, &change, version);
            ground.shared.search_cache.record(
                self.clock.sequence,
                change.slot.tenant().0,
                change.key.resource_type,
                OrderedId::from(&change.key.id),
            );
            ground.recent.record(self.clock.sequence, change.slot.clone(), change.key.id, forward);
            self.slots.insert(change.slot);
            outcomes.push(ChangeOutcome { version: Some(version), created });
        }
        self.write_feeds(feeds, last_updated);
        outcomes
    }

    /// Brings postings and their list up to date; gives the list.
    fn post(&mut self, change: &mut PreparedChange, time: &IndexEntry) -> Option<Bytes> {
        let Difference { removed, inserted } = std::mem::take(&mut change.difference);
        self.postings.extend(removed.into_iter().map(|key| (key, None)));
        self.postings.extend(inserted.into_iter().map(|(key, value)| (key, Some(value))));
        let Some(index) = &change.index else {
            self.batch.remove(Space::Forward, change.slot.as_bytes());
            return None;
        };
        self.postings.push((change.slot.posting(time.parameter, &time.value).into(), Some(posting_value(&time.value))));
        let forward = Bytes::from(index.packed.with_time(time));
        self.batch.insert(Space::Forward, change.slot.as_bytes(), forward.clone());
        Some(forward)
    }

    fn write_feeds(&mut self, feeds: FeedParts, last_updated: Timestamp) {
        for (range, parts) in feeds {
            for (part, entries) in parts.into_iter().enumerate() {
                let place = FeedPlace { last_updated, sequence: self.clock.sequence, part: part as u32 };
                self.batch.insert(Space::Feed, range.at(place), entries);
            }
        }
    }
}

/// Criteria of one commit that are evaluated anew here, at most: others wait for it.
const ANEW_MAX: usize = 64;

/// Whether all assumptions of a commit hold. `false` also where that takes too long to tell.
fn still_holds(ground: &Ground<'_>, commit: &Prepared) -> Result<bool> {
    let assumptions: Vec<_> = commit.assumptions.iter().collect();
    let unsure = match ground.recent.check(&assumptions, commit.sequence) {
        Verdict::Hold => return Ok(true),
        Verdict::Unsure(unsure) if unsure.len() <= ANEW_MAX => unsure,
        Verdict::Broken | Verdict::Unsure(_) => return Ok(false),
    };
    // The newest picture does not show the changes of this group.
    let hold_in_group = matches!(ground.recent.check(&unsure, ground.picture.sequence), Verdict::Hold);
    Ok(hold_in_group && find_the_same(ground, &commit.access, &unsure)?)
}

/// Whether criteria give on the newest picture what they gave. `false` also where one takes more than a brief search.
fn find_the_same(ground: &Ground<'_>, access: &WriteAccess, assumptions: &[&PreparedAssumption]) -> Result<bool> {
    let postings = StoredPostings::new(Scope::of(access.as_read(), &ground.picture.tenants)?, ground.picture);
    for assumption in assumptions {
        let parts = [TypeSearch::clone(&assumption.search)].into();
        let request = SearchRequest {
            parts,
            after: None,
            limit: FOUND_MAX.max(assumption.found.len() + 1),
            total: TotalMode::None,
            view: None,
            freshness: Freshness::Exact,
        };
        let found = search_briefly(&postings, &ground.shared.search_cache, &ground.shared.search_settings, &request)?;
        if !found.is_some_and(|found| found.hits.iter().map(|hit| &hit.key.id).eq(&assumption.found)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Brings a change up to the newest picture where the resource changed since it was prepared.
fn refresh(ground: &Ground<'_>, change: &mut PreparedChange, since: u64) -> Result<()> {
    if since == ground.picture.sequence || ground.recent.is_unchanged(&change.slot, since) {
        return Ok(());
    }
    change.current = Current::read(&ground.picture.snapshot, &change.slot)?;
    change.difference = difference(&change.slot, change.current.as_ref(), change.index.as_ref());
    Ok(())
}

fn holds(precondition: Precondition, current: Option<&Current>) -> bool {
    match precondition {
        Precondition::None => true,
        Precondition::NeverExisted => current.is_none(),
        Precondition::Version(version) => current.is_some_and(|current| !current.head.deleted && current.head.version == version),
        Precondition::Unchanged(version) => current.map(|current| current.head.version) == version,
    }
}

/// Whether there is nothing to do: a deletion of what is not there.
fn is_idle(change: &PreparedChange) -> bool {
    change.index.is_none() && !Current::is_there(change.current.as_ref())
}

fn feed(feeds: &mut FeedParts, change: &PreparedChange, version: VersionId) {
    for range in [FeedRange::of_type(&change.slot), FeedRange::of_tenant(&change.slot)] {
        let parts = feeds.entry(range).or_default();
        if parts.last().is_none_or(|part: &Vec<u8>| part.len() >= PART_BYTES) {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            write_entry(change.key.resource_type, change.slot.id(), version, change.method, part);
        }
    }
}
