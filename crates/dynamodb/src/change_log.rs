//! The log of tenants' changes, from which histories of types and tenants are told.
//!
//! | what | pk | sk | attributes |
//! |---|---|---|---|
//! | a segment, or a part of one | `T#t#F#yyyymmddhh` | latest time, digest, part | `b` sealed entries |
//! | an hour that is not empty | `T#t#F` | `yyyymmddhh` | `t` numbers of the types in it |
//!
//! A segment is what one batch of the indexer brought of a tenant, cut where it spans more than [`SPAN_MS_MAX`] or an hour: with
//! ordinary traffic one item and one write unit. Its sort key begins with its latest time, so that reading an hour downwards
//! knows when nothing newer can come; the digest is of its entries, so that the same entries again are the same items. What is
//! told twice by different batches stands in the log twice, and counts once. Entries of one time are in one segment, so a
//! transaction is as well; a segment of several parts is read only once all are there.
//!
//! Deliberately absent: bodies, which stand under their versions, and the order in which things were appended.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::WriteAccess;
use fhirpool_fhir::temporal::civil_from_days;
use fhirpool_fhir::{ResourceKey, Timestamp};
use fhirpool_storage::value::seal_bytes;
use fhirpool_storage::{ChangeLog, FeedPosition, KeyRing, LogEntry, Method, Result, ShardId};
use quick_cache::sync::Cache;

use crate::client::{Client, Condition, Table, unexpected};
use crate::cost::Operation;
use crate::digest::{Digester, hexadecimal};
use crate::item::key;
use crate::keys::{Partition, PartitionKey};

mod history;
mod read;
mod resources;
mod segment;
#[cfg(test)]
mod tests;

use segment::Place;

const APPEND: Operation = Operation("change_log_append");
const READ: Operation = Operation("change_log_read");

const ENTRIES: &str = "b";
const TYPES: &str = "t";

/// No segment spans more. What a page of history must read beyond its own entries grows with it.
const SPAN_MS_MAX: i64 = 10_000;
/// Bytes of entries in an item, about.
const PART_BYTES_MAX: usize = 300 * 1024;
/// Hours whose types are remembered as noted.
const HOURS_KEPT: usize = 10_000;

/// Appends to the log, and lists what it names.
pub struct DynamoChangeLog {
    client: Client,
    keys: std::sync::Arc<dyn KeyRing>,
    /// The types that hours are known to be noted with.
    noted: Cache<String, std::sync::Arc<BTreeSet<u8>>>,
    part_bytes_max: usize,
}

impl DynamoChangeLog {
    /// Of the connection's data table.
    pub fn new(client: Client, keys: std::sync::Arc<dyn KeyRing>) -> Self {
        Self { client, keys, noted: Cache::new(HOURS_KEPT), part_bytes_max: PART_BYTES_MAX }
    }

    /// Notes that an hour holds these types, if that was not done yet. Ahead of the segment: who reads may find an hour empty, but
    /// never misses one.
    async fn note_hour(&self, access: &WriteAccess, hour: &str, types: BTreeSet<u8>) -> Result<()> {
        let partition = PartitionKey::new(access, Partition::LogHours)?;
        let name = format!("{}#{hour}", partition.as_str());
        let noted = self.noted.get(&name).unwrap_or_default();
        if noted.is_superset(&types) {
            return Ok(());
        }
        let hour_key = key(&partition, hour.to_owned());
        let numbers = AttributeValue::Ns(types.iter().map(ToString::to_string).collect());
        let send = || {
            let request = self.client.sdk().update_item().table_name(self.client.table(Table::Data)).set_key(Some(hour_key.clone()));
            request.update_expression(format!("ADD {TYPES} :types")).expression_attribute_values(":types", numbers.clone()).send()
        };
        self.client.retry().send("UpdateItem", send).await?.map_err(|error| unexpected("UpdateItem", &error))?;
        // All types there are fit one unit.
        self.client.count_write(APPEND, 0);
        self.noted.insert(name, std::sync::Arc::new(&*noted | &types));
        Ok(())
    }

    async fn append_segment(&self, access: &WriteAccess, hour: &str, entries: &[(Place, Method)]) -> Result<()> {
        let tenant = access.tenant();
        // Ahead of all writes: of a tenant whose keys are gone nothing must be left here.
        let tenant_key = self.keys.data_key(tenant).await?;
        let types = entries.iter().map(|(place, _)| place.resource_type().map(fhirpool_fhir::ResourceType::number));
        self.note_hour(access, hour, types.collect::<Result<_>>()?).await?;
        let partition = PartitionKey::new(access, Partition::LogSegments(hour))?;
        let parts = segment::write(entries, self.part_bytes_max);
        let digester = Digester::new(&*self.keys, tenant, b"change log").await?;
        let digest = digester.digest(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let latest = entries.first().map_or(Timestamp(0), |(place, _)| place.time());
        for (index, part) in parts.iter().enumerate() {
            let sort = SegmentKey { latest, digest: hexadecimal(digest), part: index, parts: parts.len() }.write();
            let mut sealed = Vec::new();
            seal_bytes(&tenant_key, &[b"change log", partition.as_str().as_bytes(), sort.as_bytes()], part, &mut sealed);
            let mut item = key(&partition, sort);
            item.insert(ENTRIES.into(), AttributeValue::B(Blob::new(sealed)));
            self.client.put(APPEND, Table::Data, &item, &Condition::None).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ChangeLog for DynamoChangeLog {
    /// Neither shard nor position is kept: the same entries make the same items, whoever brings them.
    async fn append(&self, access: &WriteAccess, _shard: &ShardId, _last: &FeedPosition, entries: &[LogEntry]) -> Result<()> {
        let mut places: Vec<(Place, Method)> = entries.iter().map(|entry| (Place::of(entry), entry.method)).collect();
        places.sort_by(|one, other| one.0.cmp(&other.0));
        places.dedup_by(|one, other| one.0 == other.0);
        for (hour, segment) in segments(&places) {
            self.append_segment(access, &hour, segment).await?;
        }
        Ok(())
    }

    async fn resources(&self, access: &WriteAccess, after: Option<&str>) -> Result<(Vec<ResourceKey>, Option<String>)> {
        resources::page(self, access, after).await
    }
}

/// Cuts entries, which must be in order, where a segment must end; each with its hour.
fn segments(entries: &[(Place, Method)]) -> Vec<(String, &[(Place, Method)])> {
    let mut segments = Vec::new();
    let mut rest = entries;
    while let Some((first, _)) = rest.first() {
        let hour = hour_of(first.time());
        let fits =
            |(place, _): &(Place, Method)| first.time().0.saturating_sub(place.time().0) <= SPAN_MS_MAX && hour_of(place.time()) == hour;
        let length = rest.iter().position(|entry| !fits(entry)).unwrap_or(rest.len());
        let (segment, behind) = rest.split_at(length);
        segments.push((hour, segment));
        rest = behind;
    }
    segments
}

const MS_PER_HOUR: i64 = 3_600_000;
/// Times outside 1970 to 9999 count as its first or last hour: no clock of ours tells them.
const HOUR_MAX: i64 = (253_402_300_799_999) / MS_PER_HOUR;

pub(crate) fn hour_of(time: Timestamp) -> String {
    let hour = time.0.div_euclid(MS_PER_HOUR).clamp(0, HOUR_MAX);
    let (year, month, day) = civil_from_days(hour / 24);
    format!("{year:04}{month:02}{day:02}{:02}", hour % 24)
}

/// The sort key of a segment's part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SegmentKey {
    latest: Timestamp,
    digest: String,
    part: usize,
    parts: usize,
}

impl SegmentKey {
    fn write(&self) -> String {
        let Self { latest, digest, part, parts } = self;
        format!("{}#{digest}#{part:04}#{parts:04}", time_text(*latest))
    }

    fn read(sort: &str) -> Result<Self> {
        let of = || {
            let mut pieces = sort.split('#');
            let key = Self {
                latest: Timestamp(pieces.next()?.parse().ok()?),
                digest: pieces.next()?.to_owned(),
                part: pieces.next()?.parse().ok()?,
                parts: pieces.next()?.parse().ok()?,
            };
            (pieces.next().is_none() && key.part < key.parts).then_some(key)
        };
        of().ok_or_else(|| segment::damaged("sort key"))
    }
}

/// A time as sort keys begin with it.
fn time_text(time: Timestamp) -> String {
    format!("{:015}", time.0.max(0))
}
