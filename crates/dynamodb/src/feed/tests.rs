#![expect(clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_storage::conformance::{delete, put};
use fhirpool_storage::{Change, Commit, CommitOutcome, FeedChange, FeedRecord, ResourceStore};

use super::*;
use crate::StoreSettings;
use crate::item::{Manifest, ManifestEntry, Outcome};
use crate::keys::{PARTITION, SORT};
use crate::testing::{Tables, tenant, write_access};
use crate::tests::{CLOSED, store};

struct Fixture {
    tables: Tables,
    _folder: tempfile::TempDir,
    store: DynamoStore,
}

async fn fixture() -> Fixture {
    let (tables, folder) = (Tables::new().await, tempfile::tempdir().unwrap());
    let store = store(tables.client.clone(), vec![tenant("a"), tenant("b")], folder.path(), StoreSettings::default());
    Fixture { tables, _folder: folder, store }
}

impl Fixture {
    async fn commit(&self, tenant: &str, changes: Vec<Change>) {
        let outcome = self.store.commit(&write_access(tenant), Commit { changes, assumptions: Vec::new() }).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    }
}

/// What all shards tell behind positions.
async fn told(feed: &StreamFeed, positions: &mut HashMap<ShardId, FeedPosition>) -> Vec<FeedRecord> {
    let mut records = Vec::new();
    for shard in feed.shards().await.unwrap() {
        loop {
            let page = feed.poll(&shard.id, positions.get(&shard.id)).await.unwrap();
            if let Some(next) = page.next {
                positions.insert(shard.id.clone(), next);
            }
            records.extend(page.records);
            if page.caught_up {
                break;
            }
        }
    }
    records
}

fn names(record: &FeedRecord) -> Vec<String> {
    match &record.change {
        FeedChange::Committed { access, versions, .. } => {
            versions.iter().map(|version| format!("{}/{} {}", access.tenant(), version.key, version.stored.version)).collect()
        }
        FeedChange::Begun { access, .. } => vec![format!("{} begun", access.tenant())],
        FeedChange::Unreadable { record, .. } => vec![format!("unreadable {record}")],
    }
}

#[tokio::test]
async fn single_changes_are_told_one_by_one_and_transactions_whole() {
    let fixture = fixture().await;
    let feed = StreamFeed::new(&fixture.store);
    let mut positions = HashMap::new();
    assert!(told(&feed, &mut positions).await.is_empty());
    fixture.commit("a", vec![put("Patient/1", "\"language\":\"x\"")]).await;
    fixture.commit("b", vec![put("Patient/1", "")]).await;
    let records = told(&feed, &mut positions).await;
    assert_eq!(records.iter().map(names).collect::<Vec<_>>(), [["a/Patient/1 1"], ["b/Patient/1 1"]]);
    let now = crate::control::now();
    assert!(records.iter().all(|record| (now - 60_000_000..=now).contains(&record.written_at)));
    let FeedChange::Committed { access, versions, transaction: None } = &records[0].change else { panic!("{records:?}") };
    let read = fixture.store.read(access.as_read(), &versions[0].key).await.unwrap().unwrap();
    assert_eq!(versions[0].stored, read);

    let mut changes: Vec<Change> = (0..250).map(|id| put(&format!("Observation/{id}"), "")).collect();
    changes.push(delete("Patient/1"));
    fixture.commit("a", changes).await;
    let records = told(&feed, &mut positions).await;
    let begun = records.iter().find_map(|record| match &record.change {
        FeedChange::Begun { transaction, .. } => Some(transaction.clone()),
        _ => None,
    });
    let whole: Vec<&FeedRecord> = records.iter().filter(|record| matches!(record.change, FeedChange::Committed { .. })).collect();
    let [record] = whole.as_slice() else { panic!("a transaction is told once: {records:?}") };
    assert_eq!(names(record).len(), 251);
    assert!(names(record).contains(&"a/Patient/1 2".to_owned()));
    let FeedChange::Committed { versions, transaction, .. } = &record.change else { panic!() };
    assert!(begun.is_some() && *transaction == begun);
    for version in versions {
        let read = fixture.store.read(write_access("a").as_read(), &version.key).await.unwrap().unwrap();
        assert_eq!(version.stored, read);
    }
    assert!(told(&feed, &mut positions).await.is_empty());
}

#[tokio::test]
async fn reading_continues_behind_any_position_in_any_process() {
    let fixture = fixture().await;
    let mut expected = Vec::new();
    for version in 1..=5 {
        fixture.commit("a", vec![put("Patient/1", &format!("\"language\":\"{version}\""))]).await;
        fixture.commit("a", vec![put(&format!("Patient/x{version}"), ""), put(&format!("Patient/y{version}"), "")]).await;
        expected.push(vec![format!("a/Patient/1 {version}")]);
        expected.push(vec![format!("a/Patient/x{version} 1"), format!("a/Patient/y{version} 1")]);
    }
    let committed = |records: &[FeedRecord]| {
        let mut all: Vec<Vec<String>> = records.iter().map(names).filter(|names| !names[0].ends_with("begun")).collect();
        all.iter_mut().for_each(|names| names.sort());
        all
    };
    let feed = StreamFeed::new(&fixture.store);
    let all = told(&feed, &mut HashMap::new()).await;
    assert_eq!(committed(&all), expected);
    let [shard] = feed.shards().await.unwrap().try_into().unwrap();
    for (index, record) in all.iter().enumerate() {
        let mut positions = HashMap::from([(shard.id.clone(), record.position.clone())]);
        let behind = told(&StreamFeed::new(&fixture.store), &mut positions).await;
        assert_eq!(committed(&behind), committed(&all[index + 1..]), "behind record {index}");
    }
}

#[tokio::test]
async fn what_was_not_committed_is_not_told_and_what_cannot_be_read_is_told_as_such() {
    let fixture = fixture().await;
    let feed = StreamFeed::new(&fixture.store);
    let core = &fixture.store.0;
    let access = write_access("a");
    let transaction = TransactionId::parse(&"5".repeat(32)).unwrap();
    let key = put("Patient/1", "").key;
    let entry = ManifestEntry { key, version: fhirpool_fhir::VersionId(1), large: false };
    let manifest = Manifest { deadline: core.node.now_us() + 60_000_000, entries: vec![entry] };
    core.transactions.announce(&access, transaction, &manifest, core.node.now_us()).await.unwrap();
    core.transactions.decide(&access, transaction, Outcome::Aborted, core.node.now_us()).await.unwrap();
    for (partition, sort) in [("T#a#R#Patient#2", "V#0000000001"), ("T#a#R#Patient#2", "other"), ("other", "other"), ("T#b#X#1", "X")] {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let request = fixture.tables.client.sdk().put_item().table_name(fixture.tables.client.table(Table::Data));
        request.item(PARTITION, text(partition)).item(SORT, text(sort)).send().await.unwrap();
    }
    fixture.commit("a", vec![put("Patient/3", "")]).await;
    let mut records = told(&feed, &mut HashMap::new()).await;
    assert_eq!(names(&records.pop().unwrap()), ["a/Patient/3 1"]);
    let FeedChange::Begun { access, transaction: begun, deadline } = &records.remove(0).change else { panic!("{records:?}") };
    assert_eq!((access.tenant(), begun, *deadline), (&tenant("a"), &transaction.to_string(), manifest.deadline));
    let unreadable = records.iter().map(|record| match &record.change {
        FeedChange::Unreadable { tenant, record, .. } => (tenant.clone(), record.as_str()),
        _ => panic!("{record:?}"),
    });
    assert_eq!(
        unreadable.collect::<Vec<_>>(),
        [
            (Some(tenant("a")), "T#a#R#Patient#2 V#0000000001"),
            (Some(tenant("a")), "T#a#R#Patient#2 other"),
            (None, "other other"),
            (None, "T#b#X#1 X"),
        ]
    );
}

#[tokio::test]
async fn of_a_tenant_that_is_deleted_nothing_is_told() {
    let fixture = fixture().await;
    let feed = StreamFeed::new(&fixture.store);
    let core = &fixture.store.0;
    let access = write_access(CLOSED);
    let (transaction, now_us) = (TransactionId::parse(&"5".repeat(32)).unwrap(), core.node.now_us());
    // Its manifest is removed already.
    let committed = Outcome::Committed { at: now_us, last_updated: fhirpool_fhir::Timestamp(now_us / 1_000), writer: core.node.writer() };
    core.transactions.decide(&access, transaction, committed, now_us).await.unwrap();
    let text = |text: String| AttributeValue::S(text);
    let request = fixture.tables.client.sdk().put_item().table_name(fixture.tables.client.table(Table::Data));
    request.item(PARTITION, text(format!("T#{CLOSED}#R#Patient#2"))).item(SORT, text("V#0000000001".into())).send().await.unwrap();
    fixture.commit("a", vec![put("Patient/3", "")]).await;
    let records = told(&feed, &mut HashMap::new()).await;
    assert_eq!(records.iter().map(names).collect::<Vec<_>>(), [["a/Patient/3 1"]]);
    assert_eq!(feed.newest(&access, &[]).await, Err(StorageError::UnknownTenant));
}

#[tokio::test]
async fn newest_and_sweep_are_the_stores() {
    let fixture = fixture().await;
    let feed = StreamFeed::new(&fixture.store);
    fixture.commit("a", vec![put("Patient/1", "")]).await;
    fixture.commit("a", vec![put("Patient/1", "\"language\":\"x\""), put("Patient/2", "")]).await;
    let keys = ["Patient/2", "Patient/3", "Patient/1"].map(|name| put(name, "").key);
    let versions = feed.newest(&write_access("a"), &keys).await.unwrap();
    let versions: Vec<Option<u64>> = versions.iter().map(|stored| stored.as_ref().map(|stored| stored.version.0)).collect();
    assert_eq!(versions, [Some(1), None, Some(2)]);
    assert!(feed.newest(&write_access("b"), &keys).await.unwrap().iter().all(Option::is_none));
    assert!(feed.sweep(&write_access("a"), &"7".repeat(32)).await.unwrap());
    assert!(feed.sweep(&write_access("a"), "x").await.is_err());
}

#[tokio::test]
async fn a_transactions_feed_costs_half_a_unit_a_version() {
    let fixture = fixture().await;
    let feed = StreamFeed::new(&fixture.store);
    let changes: Vec<Change> = (0..200).map(|id| put(&format!("Observation/{id}"), "")).collect();
    fixture.commit("a", changes).await;
    let before = fixture.tables.client.costs().units();
    told(&feed, &mut HashMap::new()).await;
    let reads = fixture.tables.client.costs().units().since(&before).reads();
    // And the manifest's.
    assert!((100.0..=102.0).contains(&reads), "{reads} units for 200 versions");
}
