#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use fhirpool_storage::value::{open_bytes, seal_bytes};

use super::*;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

#[tokio::test]
async fn a_key_is_the_same_when_the_ring_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = LocalKeyRing::open(folder.path()).unwrap().data_key(&tenant("a")).await.unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    assert_eq!(ring.unwrap(&tenant("a"), first.epoch()).await.unwrap().epoch(), first.epoch());
    assert_eq!(ring.data_key(&tenant("a")).await.unwrap().epoch(), first.epoch());
    assert!(matches!(ring.unwrap(&tenant("a"), KeyEpoch(7)).await, Err(StorageError::UnknownTenant)));
}

#[tokio::test]
async fn no_one_else_may_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    let names = file_names(&ring.folder).unwrap();
    assert_eq!(names, ["master", "a.1"]);
    for name in names {
        let mode = std::fs::metadata(ring.folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn one_tenants_key_file_is_of_no_use_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    std::fs::copy(ring.folder.join("a.1"), ring.folder.join("b.1")).unwrap();
    assert!(matches!(ring.unwrap(&tenant("b"), KeyEpoch(1)).await, Err(StorageError::Damaged(_))));
}

#[tokio::test]
async fn exported_keys_serve_in_another_folder() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ring = LocalKeyRing::open(from.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    let text = ring.export().unwrap();
    LocalKeyRing::import(to.path(), &text).unwrap();
    assert!(matches!(LocalKeyRing::import(to.path(), &text), Err(KeyRingError::Occupied)));
    let other = LocalKeyRing::open(to.path()).unwrap();
    assert_eq!(other.export().unwrap(), text);
    other.unwrap(&tenant("a"), KeyEpoch(1)).await.unwrap();
}

#[tokio::test]
async fn destroyed_keys_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    ring.destroy(&tenant("a")).await.unwrap();
    for ring in [ring, LocalKeyRing::open(folder.path()).unwrap()] {
        assert!(matches!(ring.unwrap(&tenant("a"), KeyEpoch(1)).await, Err(StorageError::UnknownTenant)));
        assert!(matches!(ring.data_key(&tenant("a")).await, Err(StorageError::UnknownTenant)), "it gets no new one");
        assert!(matches!(ring.rotate(&tenant("a")), Err(KeyRingError::Destroyed(_))));
        assert_eq!(ring.data_key(&tenant("b")).await.unwrap().epoch(), KeyEpoch(1));
    }
}

#[tokio::test]
async fn a_tenant_without_keys_gets_none_once_they_are_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    ring.destroy(&tenant("a")).await.unwrap();
    for ring in [ring, LocalKeyRing::open(folder.path()).unwrap()] {
        assert!(matches!(ring.data_key(&tenant("a")).await, Err(StorageError::UnknownTenant)));
    }
}

#[tokio::test]
async fn rotation_seals_anew_and_keeps_the_old_readable() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    let mut old = Vec::new();
    seal_bytes(&ring.data_key(&tenant("a")).await.unwrap(), &[b"test"], b"secret", &mut old);
    assert_eq!(ring.rotate(&tenant("a")).unwrap(), KeyEpoch(2));
    for ring in [&ring, &LocalKeyRing::open(folder.path()).unwrap()] {
        let newest = ring.data_key(&tenant("a")).await.unwrap();
        assert_eq!(newest.epoch(), KeyEpoch(2));
        assert!(open_bytes(&newest, &[b"test"], &old).is_err());
        let first = ring.unwrap(&tenant("a"), KeyEpoch(1)).await.unwrap();
        assert_eq!(open_bytes(&first, &[b"test"], &old).unwrap(), b"secret");
    }
    assert!(matches!(ring.rotate(&tenant("new")), Err(KeyRingError::NoKey(_))));
}

#[tokio::test]
async fn a_key_file_is_of_no_use_as_another_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LocalKeyRing::open(folder.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    std::fs::copy(ring.folder.join("a.1"), ring.folder.join("a.2")).unwrap();
    assert!(matches!(ring.unwrap(&tenant("a"), KeyEpoch(2)).await, Err(StorageError::Damaged(_))));
}

#[tokio::test]
async fn a_folder_whose_master_key_is_gone_gets_no_new_one() {
    let lost = |folder: &Path| {
        assert!(matches!(LocalKeyRing::open(folder), Err(KeyRingError::NoMaster(_))));
        assert!(!folder.join("keys/master").exists());
    };
    let with_keys = tempfile::tempdir().unwrap();
    LocalKeyRing::open(with_keys.path()).unwrap().data_key(&tenant("a")).await.unwrap();
    std::fs::remove_file(with_keys.path().join("keys/master")).unwrap();
    lost(with_keys.path());

    let with_a_store = tempfile::tempdir().unwrap();
    std::fs::create_dir(with_a_store.path().join(DATABASE_FOLDER)).unwrap();
    lost(with_a_store.path());
    let refusal = LocalKeyRing::open(with_a_store.path()).err().unwrap().to_string();
    assert!(refusal.contains("has no master key (keys/master): put the exported keys back"), "{refusal}");
}

#[tokio::test]
async fn a_ring_that_was_only_to_be_there_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(LocalKeyRing::open_existing(folder.path()), Err(KeyRingError::NoMaster(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    LocalKeyRing::open(folder.path()).unwrap().data_key(&tenant("a")).await.unwrap();
    let ring = LocalKeyRing::open_existing(folder.path()).unwrap();
    ring.data_key(&tenant("a")).await.unwrap();
    assert!(matches!(ring.data_key(&tenant("b")).await, Err(StorageError::Damaged(_))));
    assert_eq!(file_names(&ring.folder).unwrap(), ["master", "a.1"]);
}

#[test]
fn an_export_that_was_cut_leaves_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = LocalKeyRing::open(from.path()).unwrap().export().unwrap();
    let (head, _) = text.split_once('\n').unwrap();
    for cut in [head, &text[..text.len() - 2]] {
        assert!(matches!(LocalKeyRing::import(to.path(), cut), Err(KeyRingError::Damaged(_))));
    }
    LocalKeyRing::import(to.path(), &text).unwrap();
}
