#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

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
    ring.destroy(&tenant("a")).unwrap();
    assert!(matches!(ring.unwrap(&tenant("a"), KeyEpoch(1)).await, Err(StorageError::UnknownTenant)));
}
