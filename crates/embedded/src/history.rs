//! Pages of history, newest first.
//!
//! An instance's history is its newest version and the superseded ones; a type's or a tenant's is its feed. A place in a
//! feed never moves, so a page that continues behind one is stable under writes.

use fhirpool_fhir::{OrderedId, ResourceKey, Timestamp, VersionId};
use fhirpool_storage::{HistoryPosition, HistoryRequest, HistoryScope, Result, StorageError};

use crate::database::{Bytes, Snapshot, Space};
use crate::feed::{FeedEntry, read_part};
use crate::keys::{FeedPlace, FeedRange, ResourceSlot};
use crate::picture::Picture;
use crate::record::Head;
use crate::tenants::Scope;

/// A page looks at no more entries; if fewer than asked are found among them it is a short one.
const LOOKED_AT_MAX: usize = 5_000;

/// A page of records, not opened yet.
pub(crate) struct RecordPage {
    pub(crate) records: Vec<(ResourceKey, Bytes)>,
    pub(crate) next: Option<HistoryPosition>,
    pub(crate) total: Option<u64>,
}

/// Finds a page.
pub(crate) fn page(scope: &Scope<'_>, picture: &Picture, request: &HistoryRequest) -> Result<RecordPage> {
    match &request.scope {
        HistoryScope::Instance(key) => instance(scope, &picture.snapshot, key, request),
        HistoryScope::Type(resource_type) => {
            let range = FeedRange::new(scope, Some(*resource_type))?;
            FeedPage { scope, snapshot: &picture.snapshot, request, looked_at: 0 }.find(&range)
        }
        HistoryScope::Tenant => {
            let range = FeedRange::new(scope, None)?;
            FeedPage { scope, snapshot: &picture.snapshot, request, looked_at: 0 }.find(&range)
        }
    }
}

/// Reads a certain version; `None` if there is none.
pub(crate) fn record(snapshot: &Snapshot, slot: &ResourceSlot, version: VersionId) -> Result<Option<Bytes>> {
    let Some(newest) = snapshot.get(Space::Resources, slot.as_bytes())? else { return Ok(None) };
    if Head::of(&newest)?.version == version {
        return Ok(Some(newest));
    }
    snapshot.get(Space::Versions, &slot.version(version))
}

fn instance(scope: &Scope<'_>, snapshot: &Snapshot, key: &ResourceKey, request: &HistoryRequest) -> Result<RecordPage> {
    let slot = ResourceSlot::new(scope, key.resource_type, &OrderedId::from(&key.id))?;
    let mut page = RecordPage { records: Vec::new(), next: None, total: Some(0) };
    let Some(newest) = snapshot.get(Space::Resources, slot.as_bytes())? else { return Ok(page) };
    let newest_version = Head::of(&newest)?.version;
    page.total = (request.since.is_none() && request.at.is_none()).then_some(newest_version.0);

    let before = request.after.as_ref().map(version_position).transpose()?;
    // When the version that supersedes the one at hand was made.
    let mut superseded = match before {
        Some(version) => record(snapshot, &slot, version)?.map(|record| Head::of(&record)).transpose()?.map(|head| head.last_updated),
        None => None,
    };
    let newest = Some(Ok(newest)).filter(|_| before.is_none_or(|before| newest_version < before));
    let until = slot.version(before.unwrap_or(newest_version));
    let older = snapshot.range(Space::Versions, slot.versions()..until).rev().map(|item| item.map(|(_, record)| record));
    for (looked_at, record) in newest.into_iter().chain(older).enumerate() {
        let record = record?;
        let head = Head::of(&record)?;
        if request.since.is_some_and(|since| head.last_updated < since) {
            return Ok(page);
        }
        if page.records.len() == request.limit || looked_at == LOOKED_AT_MAX {
            page.next = Some(HistoryPosition((head.version.0 + 1).to_be_bytes().to_vec()));
            return Ok(page);
        }
        if is_current_within(head.last_updated, superseded, request.at) {
            page.records.push((key.clone(), record));
        }
        superseded = Some(head.last_updated);
    }
    Ok(page)
}

/// Whether a version was current at some time in a span. It was from its making until that of the next, excluded.
fn is_current_within(made: Timestamp, superseded: Option<Timestamp>, span: Option<(Timestamp, Timestamp)>) -> bool {
    span.is_none_or(|(from, to)| made <= to && superseded.is_none_or(|superseded| superseded > from))
}

fn version_position(position: &HistoryPosition) -> Result<VersionId> {
    let bytes = position.0.as_slice().try_into().map_err(|_| not_a_place())?;
    Ok(VersionId(u64::from_be_bytes(bytes)))
}

fn not_a_place() -> StorageError {
    StorageError::Unavailable("the position is not of this history".into())
}

/// A page of a feed that is being put together.
struct FeedPage<'a> {
    scope: &'a Scope<'a>,
    snapshot: &'a Snapshot,
    request: &'a HistoryRequest,
    looked_at: usize,
}

impl FeedPage<'_> {
    fn find(mut self, range: &FeedRange) -> Result<RecordPage> {
        let mut page = RecordPage { records: Vec::new(), next: None, total: None };
        // The place of the last entry taken, and its number in the part: what lies before them comes next.
        let after = self.request.after.as_ref().map(feed_position).transpose()?;
        let before = match (after, self.request.at) {
            // That part itself may hold more.
            (Some((place, _)), _) => Some(FeedPlace { part: place.part.saturating_add(1), ..place }),
            (None, Some((_, to))) => Some(FeedPlace { last_updated: Timestamp(to.0.saturating_add(1)), sequence: 0, part: 0 }),
            (None, None) => None,
        };
        for item in self.snapshot.range(Space::Feed, range.between(self.request.since, before)).rev() {
            let (key, part) = item?;
            let place = FeedRange::place(&key).ok_or_else(|| StorageError::Damaged("a feed's key cannot be read".into()))?;
            let entries = read_part(&part)?;
            let end = match after {
                Some((last, position)) if last == place => position.min(entries.len()),
                _ => entries.len(),
            };
            for position in (0..end).rev() {
                if page.records.len() == self.request.limit || self.looked_at == LOOKED_AT_MAX {
                    page.next = Some(write_feed_position(place, position + 1));
                    return Ok(page);
                }
                self.looked_at += 1;
                if let Some(record) = self.wanted(&entries[position], place)? {
                    page.records.push((entries[position].key(), record));
                }
            }
        }
        Ok(page)
    }

    /// The record of an entry that belongs to the page.
    fn wanted(&self, entry: &FeedEntry, place: FeedPlace) -> Result<Option<Bytes>> {
        if !self.scope.access().allows(entry.resource_type) {
            return Ok(None);
        }
        let slot = ResourceSlot::new(self.scope, entry.resource_type, &entry.id)?;
        if let Some((from, _)) = self.request.at
            && place.last_updated <= from
        {
            let next = record(self.snapshot, &slot, VersionId(entry.version.0 + 1))?;
            let superseded = next.map(|next| Head::of(&next)).transpose()?.map(|head| head.last_updated);
            if !is_current_within(place.last_updated, superseded, self.request.at) {
                return Ok(None);
            }
        }
        let found = record(self.snapshot, &slot, entry.version)?;
        found.map(Some).ok_or_else(|| StorageError::Damaged("a feed names a version that is not there".into()))
    }
}

fn write_feed_position(place: FeedPlace, position: usize) -> HistoryPosition {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&place.last_updated.0.to_be_bytes());
    bytes.extend_from_slice(&place.sequence.to_be_bytes());
    bytes.extend_from_slice(&place.part.to_be_bytes());
    bytes.extend_from_slice(&(position as u32).to_be_bytes());
    HistoryPosition(bytes)
}

fn feed_position(position: &HistoryPosition) -> Result<(FeedPlace, usize)> {
    let bytes: &[u8; 24] = position.0.as_slice().try_into().map_err(|_| not_a_place())?;
    let (time, rest) = bytes.split_first_chunk::<8>().ok_or_else(not_a_place)?;
    let (sequence, rest) = rest.split_first_chunk::<8>().ok_or_else(not_a_place)?;
    let (part, rest) = rest.split_first_chunk::<4>().ok_or_else(not_a_place)?;
    let number = rest.first_chunk::<4>().ok_or_else(not_a_place)?;
    let place = FeedPlace {
        last_updated: Timestamp(i64::from_be_bytes(*time)),
        sequence: u64::from_be_bytes(*sequence),
        part: u32::from_be_bytes(*part),
    };
    Ok((place, u32::from_be_bytes(*number) as usize))
}
