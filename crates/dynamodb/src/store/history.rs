//! The history of one resource.

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_storage::{HistoryEntry, HistoryPage, HistoryPosition, HistoryRequest, Result, StorageError};

use crate::client::{Query, SortRange};
use crate::cost::Operation;
use crate::item::VersionItem;
use crate::keys::{self, Partition, PartitionKey};
use crate::store::Core;

const HISTORY: Operation = Operation("history");

/// Versions fetched at once.
const BATCH_MAX: usize = 100;

/// A version and when it was made: the successor of what comes next.
#[derive(Debug, Clone, Copy)]
struct Place {
    version: VersionId,
    last_updated: Timestamp,
}

impl Place {
    fn write(self) -> HistoryPosition {
        HistoryPosition([self.version.0.to_be_bytes(), self.last_updated.0.to_be_bytes()].concat())
    }

    fn read(position: &HistoryPosition) -> Option<Self> {
        let (version, last_updated) = position.0.split_first_chunk::<8>()?;
        let last_updated = Timestamp(i64::from_be_bytes(last_updated.try_into().ok()?));
        Some(Self { version: VersionId(u64::from_be_bytes(*version)), last_updated })
    }
}

impl Core {
    /// A page of a resource's versions, newest first.
    pub(crate) async fn instance_history(&self, access: &ReadAccess, key: &ResourceKey, request: &HistoryRequest) -> Result<HistoryPage> {
        let partition = PartitionKey::new(access, Partition::Resource(key))?;
        let mut successor = match &request.after {
            Some(position) => Some(Place::read(position).ok_or_else(|| StorageError::Unavailable("no place in a history".into()))?),
            None => None,
        };
        let mut entries = Vec::new();
        let mut last = None;
        // Versions have no gaps: the newest one's number is how many there are.
        let mut total = None;
        let tells_all = request.after.is_none() && request.since.is_none() && request.at.is_none();
        loop {
            let batch = self.versions_below(&partition, successor.map(|place| place.version), request.limit).await?;
            let more_below = batch.last().is_some_and(|item| item.version.0 > 1);
            for item in batch {
                // Only what stands above all others may be undecided.
                if successor.is_none() && !self.is_committed(access, &item).await? {
                    continue;
                }
                if tells_all && successor.is_none() {
                    total = Some(item.version.0);
                }
                let ended = successor.map(|place| place.last_updated);
                let place = Place { version: item.version, last_updated: item.last_updated };
                successor = Some(place);
                if request.since.is_some_and(|since| item.last_updated < since) {
                    return Ok(page(entries, None, total));
                }
                let current = |(from, to)| item.last_updated <= to && ended.is_none_or(|ended| ended > from);
                if !request.at.is_none_or(current) {
                    continue;
                }
                if entries.len() == request.limit {
                    return Ok(page(entries, last, total));
                }
                let version = self.bodies.open(access, key, &item).await?;
                entries.push(HistoryEntry { key: key.clone(), version });
                last = Some(place);
            }
            if !more_below {
                return Ok(page(entries, None, total));
            }
        }
    }

    /// Some versions below one (or the newest), newest first.
    async fn versions_below(&self, partition: &PartitionKey, below: Option<VersionId>, limit: usize) -> Result<Vec<VersionItem>> {
        let highest = match below {
            Some(version) if version.0 <= 1 => return Ok(Vec::new()),
            Some(version) => VersionId(version.0 - 1),
            None => keys::VERSION_MAX,
        };
        let range = SortRange::Between(keys::version(VersionId(1)), keys::version(highest));
        // One more tells whether there is another page; one more may be undecided.
        let limit = limit.saturating_add(2).min(BATCH_MAX) as i32;
        let query = Query { descending: true, limit: Some(limit), ..Query::data(partition, range) };
        self.client.query(HISTORY, query).await?.items.into_iter().map(VersionItem::read).collect()
    }
}

fn page(entries: Vec<HistoryEntry>, next: Option<Place>, total: Option<u64>) -> HistoryPage {
    HistoryPage { entries, next: next.map(Place::write), total }
}
