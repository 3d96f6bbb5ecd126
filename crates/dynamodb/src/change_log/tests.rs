#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fhirpool_fhir::{ResourceType, VersionId};
use fhirpool_storage::conformance::{Random, delete, history, key as resource_key, names, put};
use fhirpool_storage::{Change, Commit, FeedChange, HistoryEntry, HistoryRequest, HistoryScope, ResourceStore};

use super::*;
use crate::client::{Query, SortRange};
use crate::item::text;
use crate::keys::SORT;
use crate::testing::{NamedKeys, Tables, read_access, tenant, write_access};
use crate::tests::followed::{Follower, log_entry};
use crate::tests::store_with_clock;
use crate::{DynamoStore, StoreSettings};

struct Fixture {
    tables: Tables,
    _folder: tempfile::TempDir,
    store: DynamoStore,
    /// Microseconds since 1970.
    now: Arc<AtomicI64>,
}

/// Just before a year ends.
const BEGIN_US: i64 = 1_798_761_590_000_000;

async fn fixture() -> Fixture {
    let (tables, folder) = (Tables::new().await, tempfile::tempdir().unwrap());
    let now = Arc::new(AtomicI64::new(BEGIN_US));
    let clock = now.clone();
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let tenants = vec![tenant("a"), tenant("b")];
    let store = store_with_clock(tables.client.clone(), tenants, folder.path(), StoreSettings::default(), clock);
    Fixture { tables, _folder: folder, store, now }
}

impl Fixture {
    async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await.unwrap();
    }

    fn log(&self, part_bytes_max: usize) -> DynamoChangeLog {
        DynamoChangeLog { part_bytes_max, ..DynamoChangeLog::new(self.tables.client.clone(), Arc::new(NamedKeys)) }
    }

    async fn history(&self, mut request: HistoryRequest) -> Vec<HistoryEntry> {
        let mut entries = Vec::new();
        loop {
            let page = self.store.history(&read_access("a"), &request).await.unwrap();
            assert!(page.entries.len() <= request.limit);
            entries.extend(page.entries);
            match page.next {
                Some(next) => request.after = Some(next),
                None => return entries,
            }
        }
    }

    /// All that was committed, as the log is told of it.
    async fn entries(&self) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        for change in Follower::new(&self.store).changes().await {
            let FeedChange::Committed { versions, .. } = change else { continue };
            entries.extend(versions.iter().map(|version| log_entry(&version.key, &version.stored)));
        }
        entries
    }

    async fn segments(&self) -> Vec<crate::item::Item> {
        let mut items = Vec::new();
        let access = read_access("a");
        let hours = PartitionKey::new(&access, Partition::LogHours).unwrap();
        for hour in self.tables.client.query(READ, Query::data(&hours, SortRange::All)).await.unwrap().items {
            let partition = PartitionKey::new(&access, Partition::LogSegments(text(&hour, SORT).unwrap())).unwrap();
            items.extend(self.tables.client.query(READ, Query::data(&partition, SortRange::All)).await.unwrap().items);
        }
        items
    }
}

async fn append(log: &DynamoChangeLog, entries: &[LogEntry]) {
    log.append(&write_access("a"), &ShardId("s".into()), &FeedPosition("p".into()), entries).await.unwrap();
}

/// As names tell them.
fn named(entries: &[&LogEntry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.key, entry.version)).collect()
}

/// Segments that come twice, late, in pieces or in any order tell the same history.
#[tokio::test]
async fn a_history_does_not_depend_on_how_the_log_was_filled() {
    let mut random = Random::seeded("a history does not depend on how the log was filled");
    let fixture = fixture().await;
    for _ in 0..60 {
        let pause_us = [0, 0, 5_000, 3_000_000, 9_999_000, 1_500_000_000][random.below(6)];
        fixture.now.fetch_add(pause_us, Ordering::Relaxed);
        let mut ids: Vec<usize> = (0..=random.below(3)).map(|_| random.below(8)).collect();
        ids.sort_unstable();
        ids.dedup();
        let types = ["Patient", "Observation", "Practitioner"];
        let changes = ids.into_iter().map(|id| {
            let name = format!("{}/{id}", types[id % 3]);
            if random.below(6) == 0 { delete(&name) } else { put(&name, "") }
        });
        fixture.commit(changes.collect()).await;
    }
    let mut entries = fixture.entries().await;
    let mut told = entries.clone();
    told.extend(entries.iter().filter(|_| random.below(3) == 0).cloned().collect::<Vec<_>>());
    while !told.is_empty() {
        let count = (1 + random.below(8)).min(told.len());
        let batch: Vec<LogEntry> = (0..count).map(|_| told.swap_remove(random.below(told.len()))).collect();
        append(&fixture.log([1, 40, PART_BYTES_MAX][random.below(3)]), &batch).await;
    }

    entries.sort_by_key(Place::of);
    let replaced = |entry: &LogEntry| {
        let next = entries.iter().find(|other| other.key == entry.key && other.version.0 == entry.version.0 + 1);
        next.map_or(i64::MAX, |next| next.last_updated.0)
    };
    for scope in
        ["Patient", "Observation", "Medication", ""].map(|name| ResourceType::parse(name).map_or(HistoryScope::Tenant, HistoryScope::Type))
    {
        let in_scope: Vec<&LogEntry> = entries
            .iter()
            .filter(|entry| match &scope {
                HistoryScope::Type(resource_type) => entry.key.resource_type == *resource_type,
                _ => true,
            })
            .collect();
        for limit in [1, 2, 7, 200] {
            assert_eq!(names(&fixture.history(history(scope.clone(), limit)).await), named(&in_scope), "{scope:?} by {limit}");
        }
        for _ in 0..12 {
            let mut time = || Timestamp(entries[random.below(entries.len())].last_updated.0 - 1 + random.below(3) as i64);
            let (one, other) = (time(), time());
            let since = HistoryRequest { since: Some(one), ..history(scope.clone(), 3) };
            let expected: Vec<&LogEntry> = in_scope.iter().copied().filter(|entry| entry.last_updated >= one).collect();
            assert_eq!(names(&fixture.history(since).await), named(&expected), "{scope:?} since {one}");
            let (from, to) = (one.min(other), one.max(other));
            let at = HistoryRequest { at: Some((from, to)), ..history(scope.clone(), 3) };
            let current = |entry: &&LogEntry| entry.last_updated <= to && replaced(entry) > from.0;
            let expected: Vec<&LogEntry> = in_scope.iter().copied().filter(current).collect();
            assert_eq!(names(&fixture.history(at).await), named(&expected), "{scope:?} at {from} to {to}");
        }
    }
    let mut resources = HashSet::new();
    let (log, mut after) = (fixture.log(1), None);
    loop {
        let (page, next) = log.resources(&write_access("a"), after.as_deref()).await.unwrap();
        resources.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(resources, entries.iter().map(|entry| entry.key.clone()).collect());
    assert_eq!(log.resources(&write_access("b"), None).await.unwrap(), (Vec::new(), None));
    let elsewhere = fixture.store.history(&read_access("b"), &history(HistoryScope::Tenant, 10)).await.unwrap();
    assert!(elsewhere.entries.is_empty() && elsewhere.next.is_none());
}

#[tokio::test]
async fn a_transaction_of_several_items_is_told_whole_or_not_at_all() {
    let fixture = fixture().await;
    fixture.commit((0..120).map(|id| put(&format!("Patient/{id}"), "")).collect()).await;
    let entries = fixture.entries().await;
    let log = fixture.log(100);
    append(&log, &entries).await;
    let parts = fixture.segments().await;
    assert!(parts.len() > 3, "{} parts", parts.len());
    let count = || async { fixture.history(history(HistoryScope::Tenant, 50)).await.len() };
    assert_eq!(count().await, 120);
    for part in &parts {
        let key = crate::item::Item::from([crate::keys::PARTITION, SORT].map(|name| (name.to_owned(), part[name].clone())));
        fixture.tables.client.delete(READ, Table::Data, key, &Condition::None).await.unwrap();
        assert_eq!(count().await, 0);
        fixture.tables.client.put(READ, Table::Data, part, &Condition::None).await.unwrap();
        assert_eq!(count().await, 120);
    }
    // The same again is the same items.
    append(&fixture.log(100), &entries).await;
    assert_eq!(fixture.segments().await.len(), parts.len());
}

#[tokio::test]
async fn a_batch_of_a_tenant_costs_a_unit() {
    let fixture = fixture().await;
    let log = fixture.log(PART_BYTES_MAX);
    let entry = |number: u128| LogEntry {
        key: resource_key(&format!("Observation/{}", uuid::Uuid::from_u128(number << 64 | number))),
        version: VersionId(1),
        last_updated: Timestamp(BEGIN_US / 1_000 + number as i64),
        method: Method::Post,
    };
    let mut batches = (0..10).map(|batch| (0..42).map(|number| entry(batch * 100 + number)).collect::<Vec<_>>());
    append(&log, &batches.next().unwrap()).await;
    for batch in batches {
        let before = fixture.tables.client.costs().units();
        append(&log, &batch).await;
        assert_eq!(fixture.tables.client.costs().units().since(&before).writes(), 1.0);
    }
}

#[tokio::test]
async fn what_stands_in_the_log_is_sealed_and_opens_in_its_place_only() {
    let fixture = fixture().await;
    append(&fixture.log(PART_BYTES_MAX), &[]).await;
    assert!(fixture.segments().await.is_empty());
    fixture.commit(vec![put("Patient/secret-name", "")]).await;
    append(&fixture.log(PART_BYTES_MAX), &fixture.entries().await).await;
    let [segment] = fixture.segments().await.try_into().unwrap();
    assert!(!format!("{segment:?}").contains(&format!("{:?}", b"secret-name".as_slice())));
    // Put where another tenant's would be.
    let mut moved = segment.clone();
    let partition = PartitionKey::new(&read_access("b"), Partition::LogSegments(&hour_of(Timestamp(BEGIN_US / 1_000)))).unwrap();
    moved.insert(crate::keys::PARTITION.into(), partition.attribute());
    fixture.tables.client.put(READ, Table::Data, &moved, &Condition::None).await.unwrap();
    let log = fixture.log(PART_BYTES_MAX);
    log.note_hour(&write_access("b"), &hour_of(Timestamp(BEGIN_US / 1_000)), BTreeSet::from([1])).await.unwrap();
    let refused = fixture.store.history(&read_access("b"), &history(HistoryScope::Tenant, 10)).await;
    assert!(matches!(refused, Err(fhirpool_storage::StorageError::Damaged(_))), "{refused:?}");
}

#[test]
fn hours_are_of_the_calendar() {
    let hour = |time| hour_of(Timestamp(time));
    assert_eq!(hour(BEGIN_US / 1_000), "2026123123");
    assert_eq!(hour(BEGIN_US / 1_000 + 10_000), "2027010100");
    assert_eq!([hour(i64::MIN), hour(0), hour(i64::MAX)], ["1970010100", "1970010100", "9999123123"]);
}

#[test]
fn segments_end_with_their_hour_and_span() {
    let entry = |time: i64| {
        let key = resource_key("Patient/1");
        (Place::of(&LogEntry { key, version: VersionId(1), last_updated: Timestamp(time), method: Method::Put }), Method::Put)
    };
    let begin = BEGIN_US / 1_000;
    let entries: Vec<_> = [begin + 10_001, begin + 10_000, begin + 9_999, begin - 1, begin - 2].map(entry).to_vec();
    let cut = segments(&entries);
    let cut: Vec<(&str, usize)> = cut.iter().map(|(hour, entries)| (hour.as_str(), entries.len())).collect();
    assert_eq!(cut, [("2027010100", 2), ("2026123123", 2), ("2026123123", 1)]);
    for part in 0..3 {
        let key = SegmentKey { latest: Timestamp(begin), digest: "ab".into(), part, parts: 3 };
        assert_eq!(SegmentKey::read(&key.write()).unwrap(), key);
    }
    assert!(["", "1#ab#3#3", "1#ab#0#1#", "x#ab#0#1"].iter().all(|sort| SegmentKey::read(sort).is_err()));
}
