//! Reading the log downwards in time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceType, Timestamp};
use fhirpool_storage::value::{Seal, open_bytes, seal_of};
use fhirpool_storage::{KeyRing, Method, Result};

use super::segment::{self, Place, damaged};
use super::{ENTRIES, MS_PER_HOUR, READ, SPAN_MS_MAX, SegmentKey, TYPES, hour_of, time_text};
use crate::client::{Client, Consistency, Query, SortRange};
use crate::item::{Item, text};
use crate::keys::{Access, Partition, PartitionKey, SORT};

/// Hours looked up at once.
const HOURS_MAX: i32 = 48;
/// Items read at once: many small ones in busy times, or a few full ones.
const SEGMENTS_MAX: i32 = 64;
/// What is older than this is read eventually: replicas are behind by seconds at most.
const SETTLED_MS: i64 = 2 * MS_PER_HOUR;

/// Sorts behind every part of the same time.
const BEHIND: &str = "~";

/// An hour that is being read.
struct Hour {
    partition: PartitionKey,
    consistency: Consistency,
    /// Where it continues.
    after: Option<Item>,
}

/// Tells entries one by one, newest first, each once.
pub(super) struct Reader<'a> {
    client: &'a Client,
    keys: &'a dyn KeyRing,
    access: &'a ReadAccess,
    resource_type: Option<ResourceType>,
    after: Option<Place>,
    /// Nothing later is told.
    latest: Timestamp,
    now: Timestamp,
    /// Hours still to read, latest first, and where their list continues.
    hours: VecDeque<String>,
    more_hours: Option<Option<Item>>,
    hour: Option<Hour>,
    /// Parts of segments that are not whole yet.
    parts: HashMap<String, BTreeMap<usize, Vec<(Place, Method)>>>,
    /// Read, but not told.
    loaded: BTreeMap<Place, Method>,
    /// What is loaded and later than this comes next; `None`: all of it.
    told_down_to: Option<i64>,
}

impl<'a> Reader<'a> {
    /// Behind a place, and not later than a time; of hours that hold a type.
    pub(super) fn new(
        client: &'a Client,
        keys: &'a dyn KeyRing,
        access: &'a ReadAccess,
        resource_type: Option<ResourceType>,
        after: Option<Place>,
        latest: Timestamp,
        now: Timestamp,
    ) -> Self {
        let latest = after.as_ref().map_or(latest, |after| after.time().min(latest));
        Self {
            client,
            keys,
            access,
            resource_type,
            after,
            latest,
            now,
            hours: VecDeque::new(),
            more_hours: Some(None),
            hour: None,
            parts: HashMap::new(),
            loaded: BTreeMap::new(),
            told_down_to: None,
        }
    }

    /// The next entry; `None` at the end of the log.
    pub(super) async fn next(&mut self) -> Result<Option<(Place, Method)>> {
        loop {
            let is_next = |place: &Place| self.told_down_to.is_none_or(|bound| place.time().0 > bound);
            if self.loaded.first_key_value().is_some_and(|(place, _)| is_next(place)) {
                return Ok(self.loaded.pop_first());
            }
            if !self.load().await? {
                return Ok(None);
            }
        }
    }

    /// Reads on; `false`: there is no more.
    async fn load(&mut self) -> Result<bool> {
        let Some(Hour { partition, consistency, after }) = self.hour.take() else {
            return self.begin_hour().await;
        };
        let until = format!("{}{BEHIND}", time_text(Timestamp(self.latest.0.saturating_add(SPAN_MS_MAX))));
        let range = SortRange::Between("0".into(), until);
        let query = Query { descending: true, limit: Some(SEGMENTS_MAX), consistency, after, ..Query::data(&partition, range) };
        let page = self.client.query(READ, query).await?;
        let mut reached = None;
        for item in page.items {
            reached = Some(self.take(&partition, &item).await?);
        }
        match page.next {
            Some(next) => {
                // Others of the same time may follow.
                self.told_down_to = reached.map(|reached| reached.0);
                self.hour = Some(Hour { partition, consistency, after: Some(next) });
            }
            None => {
                self.told_down_to = None;
                // What is still not whole is being written, and is not to be seen yet.
                self.parts.clear();
            }
        }
        Ok(true)
    }

    /// Opens a part; gives the latest time of its segment.
    async fn take(&mut self, partition: &PartitionKey, item: &Item) -> Result<Timestamp> {
        let sort = text(item, SORT)?;
        let key = SegmentKey::read(sort)?;
        let mut whole = open(self.keys, self.access, partition, item).await?;
        if key.parts > 1 {
            let parts = self.parts.entry(key.digest.clone()).or_default();
            parts.insert(key.part, whole);
            if parts.len() < key.parts {
                return Ok(key.latest);
            }
            let parts = self.parts.remove(&key.digest).unwrap_or_default();
            whole = parts.into_values().flatten().collect();
        }
        for (place, method) in whole {
            if place.time() <= self.latest && self.after.as_ref().is_none_or(|after| place > *after) {
                self.loaded.insert(place, method);
            }
        }
        Ok(key.latest)
    }

    async fn begin_hour(&mut self) -> Result<bool> {
        loop {
            if let Some(hour) = self.hours.pop_front() {
                let settled = hour < hour_of(Timestamp(self.now.0.saturating_sub(SETTLED_MS)));
                let consistency = if settled { Consistency::Eventual } else { Consistency::Strong };
                let partition = PartitionKey::new(self.access, Partition::LogSegments(&hour))?;
                self.hour = Some(Hour { partition, consistency, after: None });
                // Nothing of this hour is told before all that may be later was read.
                self.told_down_to = Some(i64::MAX);
                return Ok(true);
            }
            let Some(after) = self.more_hours.take() else { return Ok(false) };
            let partition = PartitionKey::new(self.access, Partition::LogHours)?;
            let range = SortRange::Between("0".into(), hour_of(self.latest));
            let query = Query { descending: true, limit: Some(HOURS_MAX), after, ..Query::data(&partition, range) };
            let page = self.client.query(READ, query).await?;
            self.more_hours = page.next.map(Some);
            for item in &page.items {
                if self.resource_type.is_none_or(|resource_type| holds(item, resource_type)) {
                    self.hours.push_back(text(item, SORT)?.to_owned());
                }
            }
        }
    }
}

fn holds(hour: &Item, resource_type: ResourceType) -> bool {
    let number = resource_type.number().to_string();
    hour.get(TYPES).and_then(|types| types.as_ns().ok()).is_some_and(|types| types.contains(&number))
}

/// The entries of a part.
pub(super) async fn open(
    keys: &dyn KeyRing,
    access: &(impl Access + Sync),
    partition: &PartitionKey,
    item: &Item,
) -> Result<Vec<(Place, Method)>> {
    let sort = text(item, SORT)?;
    let sealed = item.get(ENTRIES).and_then(|sealed| sealed.as_b().ok()).ok_or_else(|| damaged("entries"))?.as_ref();
    let Seal::Key(epoch) = seal_of(sealed)? else { return Err(damaged("not sealed")) };
    let tenant_key = keys.unwrap(access.tenant(), epoch).await?;
    let name = [b"change log".as_slice(), partition.as_str().as_bytes(), sort.as_bytes()];
    segment::read(&open_bytes(&tenant_key, &name, sealed)?)
}
