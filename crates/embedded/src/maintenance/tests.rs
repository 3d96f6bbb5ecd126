#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fhirpool_authz::{Principal, ReadAccess};
use fhirpool_fhir::{Timestamp, VersionId};
use fhirpool_storage::{
    AUDIT_HOUR_MS, AuditAnchor, AuditBlock, AuditLog, AuditRange, BlockName, Content, ExpiredBlocks, HistoryRequest, HistoryScope, KeyRing,
    ResourceStore,
};

mod forgotten;

use super::*;
use crate::LocalKeyRing;
use crate::database::{Batch, Space};
use crate::testing::{TestStore, extraction, key, put, reader, tenant, text, uuid, writer};

/// What a backup is written to.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn keys(folder: &Path) -> Arc<LocalKeyRing> {
    Arc::new(LocalKeyRing::open(folder).unwrap())
}

async fn report(folder: &Path) -> Report {
    verify(folder, keys(folder)).await.unwrap()
}

/// Two tenants; updates, a deletion, a large commit, all closed again.
async fn filled(folder: &Path) {
    let test = TestStore::open(folder).await;
    for number in 0..20 {
        test.put("a", &key("Patient", &uuid(number)), "one").await;
    }
    for number in 0..10 {
        test.put("a", &key("Patient", &uuid(number)), "two").await;
    }
    test.delete("a", &key("Patient", &uuid(5))).await;
    test.put("b", &key("Patient", "text-id"), "of b").await;
    let changes = (0..600).map(|number| put(&key("Observation", &uuid(number)), "many")).collect();
    test.commit("b", changes).await.unwrap();
    assert!(test.store.verify().await.unwrap().is_sound());
}

/// Changes the closed database behind the store's back.
fn tamper(folder: &Path, change: impl FnOnce(&Database, &mut Batch)) {
    let (_lock, database) = open_existing(folder).unwrap();
    let mut batch = database.batch(1);
    change(&database, &mut batch);
    batch.commit().unwrap();
}

/// Loses, then changes each item of a space in turn, which is found each time. Gives their number.
async fn tamper_with_each(folder: &Path, space: Space) -> usize {
    let items: Vec<_> = {
        let (_lock, database) = open_existing(folder).unwrap();
        database.snapshot().range::<&[u8]>(space, ..).map(|item| item.unwrap()).collect()
    };
    for (place, (stored, bytes)) in items.iter().enumerate() {
        tamper(folder, |_, batch| batch.remove(space, stored.clone()));
        assert!(!report(folder).await.is_sound(), "item {place} lost");
        let mut changed = bytes.to_vec();
        changed[45] ^= 1;
        tamper(folder, |_, batch| batch.insert(space, stored.clone(), changed));
        assert!(!report(folder).await.is_sound(), "item {place} changed");
        tamper(folder, |_, batch| batch.insert(space, stored.clone(), bytes.clone()));
    }
    items.len()
}

fn first(database: &Database, space: Space) -> (Vec<u8>, Vec<u8>) {
    let (key, value) = database.snapshot().range::<&[u8]>(space, ..).next().unwrap().unwrap();
    (key.to_vec(), value.to_vec())
}

#[tokio::test]
async fn a_store_that_was_only_used_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let report = report(folder.path()).await;
    assert_eq!(report.problems, []);
    assert_eq!((report.resources, report.versions), (19 + 1 + 600, 20 + 10 + 1 + 1 + 600));
    assert_eq!(report.postings, 2 * report.resources);
}

#[tokio::test]
async fn every_damage_is_found_and_repaired() {
    type Damage = fn(&Database, &mut Batch);
    let damages: [(&str, Damage, usize); 9] = [
        (
            "a changed body",
            |database, batch| {
                let (key, mut value) = first(database, Space::Resources);
                *value.last_mut().unwrap() ^= 1;
                batch.insert(Space::Resources, key, value);
            },
            1,
        ),
        (
            "a changed head",
            |database, batch| {
                let (key, mut value) = first(database, Space::Resources);
                value[5] ^= 1;
                batch.insert(Space::Resources, key, value);
            },
            1,
        ),
        ("a lost version", |database, batch| batch.remove(Space::Versions, first(database, Space::Versions).0), 1),
        ("a lost resource", |database, batch| batch.remove(Space::Resources, first(database, Space::Resources).0), 1),
        ("a lost posting", |database, batch| batch.remove(Space::Postings, first(database, Space::Postings).0), 0),
        (
            "a posting too many",
            |database, batch| {
                let (mut key, value) = first(database, Space::Postings);
                *key.last_mut().unwrap() ^= 0x55;
                batch.insert(Space::Postings, key, value);
            },
            0,
        ),
        ("a lost list", |database, batch| batch.remove(Space::Forward, first(database, Space::Forward).0), 0),
        (
            "a wrong counter",
            |database, batch| {
                let (key, _) = first(database, Space::Meta);
                batch.insert(Space::Meta, key, 7_u64.to_be_bytes());
            },
            0,
        ),
        ("a lost part of a feed", |database, batch| batch.remove(Space::Feed, first(database, Space::Feed).0), 0),
    ];
    for (name, damage, set_aside) in damages {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        tamper(folder.path(), damage);
        assert!(!report(folder.path()).await.is_sound(), "{name}: not found");
        let repaired = repair(folder.path(), keys(folder.path()), extraction()).await.unwrap();
        assert_eq!(repaired.set_aside.len(), set_aside, "{name}: {:?}", repaired.set_aside);
        assert!(repaired.old.is_dir());
        let after = report(folder.path()).await;
        assert_eq!(after.problems, [], "{name}");
        assert_eq!(after.versions, 632, "{name}");
    }
}

#[tokio::test]
async fn a_version_that_cannot_be_read_becomes_a_tombstone_and_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    tamper(folder.path(), |database, batch| {
        let (key, mut value) = first(database, Space::Resources);
        *value.last_mut().unwrap() ^= 1;
        batch.insert(Space::Resources, key, value);
    });
    let repaired = repair(folder.path(), keys(folder.path()), extraction()).await.unwrap();
    let aside = &repaired.set_aside[0];
    assert_eq!((&aside.tenant, &aside.key, aside.version), (&tenant("a"), &key("Patient", &uuid(0)), VersionId(2)));
    assert!(aside.file.as_ref().unwrap().is_file());
    let test = TestStore::open(folder.path()).await;
    assert_eq!(test.read("a", &aside.key).await.unwrap().content, Content::Deleted);
    let before = test.store.read_version(&reader("a"), &aside.key, VersionId(1)).await.unwrap().unwrap();
    assert_eq!(text(&before), "one");
    assert_eq!(test.put("a", &aside.key, "three").await, VersionId(3));
    assert!(test.store.verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn repair_changes_nothing_where_the_keys_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(repair(folder.path(), keys(elsewhere.path()), extraction()).await.is_err());
    assert!(report(folder.path()).await.is_sound());
}

#[tokio::test]
async fn damaged_files_are_reported_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    {
        let (_lock, database) = open_existing(folder.path()).unwrap();
        database.compact().unwrap();
    }
    // The first table of each keyspace, damaged near its start.
    let mut damaged = 0;
    for keyspace in std::fs::read_dir(folder.path().join(DATABASE_FOLDER).join("keyspaces")).unwrap() {
        let keyspace = keyspace.unwrap();
        let Ok(tables) = std::fs::read_dir(keyspace.path().join("tables")) else { continue };
        // The database's own keyspace cannot be done without.
        for table in tables.take(usize::from(keyspace.file_name() != "0")) {
            let path = table.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[60] ^= 0xFF;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    match verify(folder.path(), keys(folder.path())).await {
        Ok(report) => assert!(!report.is_sound()),
        Err(error) => assert!(matches!(error, MaintenanceError::Storage(_) | MaintenanceError::Open(_)), "{error}"),
    }
}

#[tokio::test]
async fn a_backup_of_a_running_store_is_restored_as_it_was() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(folder.path()).await;
    let test = TestStore::open(folder.path()).await;
    let buffer = Buffer::default();
    let summary = test.store.backup(buffer.clone()).await.unwrap();
    assert_eq!((summary.resources, summary.superseded), (621, 11));
    assert_eq!(summary.bytes, buffer.bytes().len() as u64);
    test.put("a", &key("Patient", &uuid(1)), "after the backup").await;

    let exported = LocalKeyRing::open(folder.path()).unwrap().export().unwrap();
    LocalKeyRing::import(other.path(), &exported).unwrap();
    let from = std::io::Cursor::new(buffer.bytes());
    let restored = restore(other.path(), from, keys(other.path()), extraction()).await.unwrap();
    assert_eq!((restored.resources, restored.sequence), (620, summary.sequence));
    let report = report(other.path()).await;
    assert_eq!(report.problems, []);
    assert_eq!(report.versions, 632);

    let again = TestStore::open(other.path()).await;
    assert_eq!(text(&again.read("a", &key("Patient", &uuid(1))).await.unwrap()), "two");
    let request = HistoryRequest { scope: HistoryScope::Tenant, since: None, at: None, after: None, limit: 50 };
    let (of_old, of_new) =
        (test.store.history(&reader("a"), &request).await.unwrap(), again.store.history(&reader("a"), &request).await.unwrap());
    assert_eq!(of_old.entries[1..], of_new.entries[..]);
    assert_eq!(again.put("a", &key("Patient", &uuid(1)), "three").await, VersionId(3));

    let twice = restore(other.path(), std::io::empty(), keys(other.path()), extraction()).await;
    assert!(matches!(twice, Err(MaintenanceError::Open(OpenError::InUse(_)))), "{twice:?}");
    drop(again);
    let twice = restore(other.path(), std::io::empty(), keys(other.path()), extraction()).await;
    assert!(matches!(twice, Err(MaintenanceError::Occupied(_))), "{twice:?}");
}

#[tokio::test]
async fn a_backup_that_was_changed_or_cut_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let buffer = Buffer::default();
    backup(folder.path(), buffer.clone()).await.unwrap();
    let whole = buffer.bytes();
    let mut variants: Vec<Vec<u8>> =
        [0, 5, 30, whole.len() / 2, whole.len() - 60, whole.len() - 1].map(|length| whole[..length].to_vec()).into();
    for position in [3, 20, 40, whole.len() / 3, whole.len() - 40, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[position] ^= 0x10;
        variants.push(changed);
    }
    let other = tempfile::tempdir().unwrap();
    for (number, variant) in variants.into_iter().enumerate() {
        let refused = restore(other.path(), std::io::Cursor::new(variant), keys(folder.path()), extraction()).await;
        assert!(refused.is_err(), "variant {number} was taken");
        assert!(!other.path().join(DATABASE_FOLDER).exists());
    }
    restore(other.path(), std::io::Cursor::new(whole), keys(folder.path()), extraction()).await.unwrap();
}

#[tokio::test]
async fn a_folder_in_use_or_without_a_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(verify(folder.path(), keys(folder.path())).await, Err(MaintenanceError::Empty(_))));
    let _test = TestStore::open(folder.path()).await;
    let refused = verify(folder.path(), keys(folder.path())).await;
    assert!(matches!(refused, Err(MaintenanceError::Open(OpenError::InUse(_)))));
}

/// Appends a block behind the last one.
async fn note(test: &TestStore, time: i64) {
    let chain = test.store.chain(&writer("a")).await.unwrap();
    let (previous, sequence) = chain.end.map_or(([0; 32], 1), |end| (end.digest, end.name.sequence + 1));
    let name = BlockName { time: Timestamp(time), chain: chain.number, sequence };
    let tenant_key = test.store.keys().data_key(&tenant("a")).await.unwrap();
    let block = AuditBlock::seal(&tenant_key, &tenant("a"), name, &previous, b"record");
    test.store.append(&writer("a"), &[block]).await.unwrap();
}

#[tokio::test]
async fn an_audit_chain_goes_on_after_a_restart_and_every_lost_or_changed_block_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for time in [100, 50] {
        let test = TestStore::open(folder.path()).await;
        note(&test, time).await;
        note(&test, time + 1).await;
    }
    let sound = report(folder.path()).await;
    assert_eq!((sound.problems, sound.audit_blocks), (vec![], 4));
    assert_eq!(tamper_with_each(folder.path(), Space::Audit).await, 5, "the blocks and their end");
    // What a backup has of it is whole again when it is put back.
    let backup_file = Buffer::default();
    backup(folder.path(), backup_file.clone()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let exported = LocalKeyRing::open_existing(folder.path()).unwrap().export().unwrap();
    LocalKeyRing::import(other.path(), &exported).unwrap();
    restore(other.path(), std::io::Cursor::new(backup_file.bytes()), keys(other.path()), extraction()).await.unwrap();
    let restored = report(other.path()).await;
    assert_eq!((restored.problems, restored.audit_blocks), (vec![], 4));
}

#[tokio::test]
async fn a_chain_whose_beginning_has_expired_is_sound_and_one_that_was_cut_further_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let hour = |number: i64| number * AUDIT_HOUR_MS;
    {
        let test = TestStore::open(folder.path()).await;
        for number in 1..=5 {
            note(&test, hour(number)).await;
        }
        let read = ReadAccess::authorize_audit(&Principal::operator(tenant("a")), &tenant("a")).unwrap();
        let range = AuditRange { from: Timestamp(0), until: Timestamp(hour(9)), before: None, limit: 9 };
        let blocks = test.store.scan(&read, &range).await.unwrap().blocks;
        let (second, first) = (&blocks[3], &blocks[4]);
        let anchor = AuditAnchor { chain: second.name.chain, sequence: second.name.sequence, digest: second.digest(), broken: 0 };
        let key = test.store.keys().data_key(&tenant("a")).await.unwrap();
        let expired = ExpiredBlocks { blocks: vec![first.name, second.name], anchors: vec![anchor.seal(&key, &tenant("a"))] };
        test.store.expire(&writer("a"), &expired).await.unwrap();
    }
    let sound = report(folder.path()).await;
    assert_eq!((sound.problems, sound.audit_blocks), (vec![], 3));
    assert_eq!(tamper_with_each(folder.path(), Space::Audit).await, 5, "the end, the anchor, and three blocks");
}
