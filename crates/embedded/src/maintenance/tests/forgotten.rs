//! What is left of a deleted tenant: in the folder's files, and in a backup that was made before.

use std::time::{Duration, Instant};

use fhirpool_fhir::Timestamp;
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{PurgeTenant, TenantRegistry, TenantState, change_tenant};

use super::*;
use crate::testing::writer;

const CANARY: &str = "canary-Xq7Zt3Wv9";

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

fn files_with_canary(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_canary(&path));
        } else if holds(&std::fs::read(&path).unwrap_or_default()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A table goes with who has read it last, which may be a thread of the database that is just ending.
fn expect_no_canary(folder: &Path) {
    let began = Instant::now();
    while let left = files_with_canary(folder)
        && !left.is_empty()
    {
        assert!(began.elapsed() < Duration::from_secs(10), "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn move_to(test: &TestStore, state: TenantState) {
    change_tenant(&test.store, &tenant("a"), state, Timestamp(7)).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_deleted_tenant_is_in_no_file_and_opens_from_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    for number in 0..300 {
        test.put("a", &key("Patient", &uuid(number)), CANARY).await;
        test.put("b", &key("Patient", &uuid(number)), "of b").await;
    }
    test.put("a", &key("Patient", &uuid(1)), "changed").await;
    assert!(test.store.verify().await.unwrap().is_sound());
    let backup = Buffer::default();
    test.store.backup(backup.clone()).await.unwrap();
    assert!(!holds(&backup.bytes()), "bodies are sealed, and the index is left out");
    assert_ne!(files_with_canary(folder.path()), [] as [String; 0], "the index is clear text as long as it is there");

    assert_eq!(test.store.purge(&writer("a")).await, Err(StorageError::Denied), "it is not being deleted");
    move_to(&test, TenantState::Deleting).await;
    let late = test.commit("a", vec![put(&key("Patient", &uuid(1)), "late")]).await;
    assert_eq!(late.err(), Some(StorageError::UnknownTenant));
    test.store.keys().destroy(&tenant("a")).await.unwrap();
    let removed = test.store.purge(&writer("a")).await.unwrap();
    assert_eq!(removed[..2], [("resources", 300), ("versions", 1)]);
    assert!(removed[..5].iter().all(|(_, count)| *count > 0), "{removed:?}");
    assert!(test.store.purge(&writer("a")).await.unwrap().iter().all(|(_, count)| *count == 0));
    move_to(&test, TenantState::Deleted).await;
    assert!(test.read("b", &key("Patient", &uuid(1))).await.is_some());
    assert_eq!(test.store.tenants(), [tenant("b")]);
    drop(test);
    expect_no_canary(folder.path());
    assert_eq!(report(folder.path()).await.problems, []);

    // The backup is older than the destruction: what is left of the keys says that nothing of the tenant is to come back, nor of
    // one that was made and deleted since.
    keys(folder.path()).destroy(&tenant("since")).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let exported = LocalKeyRing::open_existing(folder.path()).unwrap().export().unwrap();
    LocalKeyRing::import(other.path(), &exported).unwrap();
    let restored = restore(other.path(), std::io::Cursor::new(backup.bytes()), keys(other.path()), extraction()).await.unwrap();
    assert_eq!((restored.resources, restored.forgotten), (300, 1));
    assert_eq!(files_with_canary(other.path()), [] as [String; 0]);
    assert_eq!(report(other.path()).await.problems, []);
    let test = crate::testing::open(other.path(), Settings::default()).unwrap();
    for name in ["a", "since"] {
        // A server removes what else there may be of it, and it stays deleted.
        let found = TenantRegistry::read(&test.store, &tenant(name)).await.unwrap().unwrap();
        assert_eq!(found.state, TenantState::Deleting, "{name}");
        assert!(!TenantRegistry::create(&test.store, &found).await.unwrap(), "an id is given once");
        assert!(test.store.purge(&writer(name)).await.unwrap().iter().all(|(_, count)| *count == 0), "{name}");
        change_tenant(&test.store, &tenant(name), TenantState::Deleted, Timestamp(9)).await.unwrap().unwrap().unwrap();
    }
    assert!(test.read("b", &key("Patient", &uuid(1))).await.is_some());
    let made = test.store.register_tenant(&tenant("new")).await.unwrap();
    assert_eq!(made, TenantState::Active);
    drop(test);
    assert_eq!(report(other.path()).await.problems, []);
}

#[tokio::test]
async fn a_removal_that_broke_off_goes_on_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    for number in 0..20 {
        test.put("a", &key("Patient", &uuid(number)), CANARY).await;
    }
    move_to(&test, TenantState::Deleting).await;
    test.store.keys().destroy(&tenant("a")).await.unwrap();
    drop(test);
    let test = crate::testing::open(folder.path(), Settings::default()).unwrap();
    assert_eq!(TenantRegistry::read(&test.store, &tenant("a")).await.unwrap().unwrap().state, TenantState::Deleting);
    assert_eq!(test.store.purge(&writer("a")).await.unwrap()[0], ("resources", 20));
    drop(test);
    expect_no_canary(folder.path());
}
