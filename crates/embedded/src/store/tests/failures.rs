//! Writes that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fhirpool_fhir::VersionId;
use fhirpool_storage::StorageError;

use crate::Fault;
use crate::testing::{TestStore, key, put, text, uuid};

/// Asks until the store takes writes again.
async fn put_until_taken(test: &TestStore, text: &str) -> VersionId {
    let patient = key("Patient", &uuid(1));
    let give_up = Instant::now() + Duration::from_secs(30);
    while Instant::now() < give_up {
        if let Ok(outcome) = test.commit("a", vec![put(&patient, text)]).await {
            return crate::testing::committed(outcome);
        }
        tokio::task::yield_now().await;
    }
    panic!("the store does not recover");
}

#[tokio::test]
async fn a_write_that_fails_did_not_happen_and_writes_go_on_when_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "one").await;
    test.store.faults().set_disk_full(true);
    for _ in 0..3 {
        let refusal = test.commit("a", vec![put(&patient, "lost")]).await;
        assert!(matches!(refusal, Err(StorageError::Unavailable(_))), "{refusal:?}");
        assert_eq!(text(&test.read("a", &patient).await.unwrap()), "one");
    }
    test.store.faults().set_disk_full(false);
    assert_eq!(put_until_taken(&test, "two").await, VersionId(2));
    assert_eq!(text(&test.read("a", &patient).await.unwrap()), "two");
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_there_as_a_whole_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let (one, two) = (key("Patient", &uuid(1)), key("Patient", &uuid(2)));
    test.put("a", &one, "one").await;
    test.store.faults().inject(Fault::AfterWrite);
    let refusal = test.commit("a", vec![put(&one, "two"), put(&two, "two")]).await;
    assert!(matches!(refusal, Err(StorageError::Unavailable(_))), "{refusal:?}");
    // Not seen as long as it is not known.
    assert_eq!(text(&test.read("a", &one).await.unwrap()), "one");
    assert_eq!(put_until_taken(&test, "three").await, VersionId(3));
    assert_eq!(text(&test.read("a", &two).await.unwrap()), "two");
}

#[tokio::test]
async fn views_from_before_a_failure_can_be_used_until_they_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "one").await;
    let view = fhirpool_storage::ResourceStore::view(&test.store, &crate::testing::reader("a")).await.unwrap();
    test.store.faults().inject(Fault::BeforeWrite);
    test.commit("a", vec![put(&patient, "lost")]).await.unwrap_err();
    let read = fhirpool_storage::ResourceStore::read_many(&test.store, &crate::testing::reader("a"), &view, &[patient]).await.unwrap();
    assert_eq!(text(read[0].as_ref().unwrap()), "one");
    drop(view);
    assert_eq!(put_until_taken(&test, "two").await, VersionId(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_are_right_after_a_group_of_commits_failed() {
    let folder = tempfile::tempdir().unwrap();
    let test = Arc::new(TestStore::open(folder.path()).await);
    let commit_all = async |text: &'static str| {
        let commits: Vec<_> = (0..40)
            .map(|number| {
                let test = Arc::clone(&test);
                tokio::spawn(async move { test.commit("a", vec![put(&key("Patient", &uuid(100 + number)), text)]).await })
            })
            .collect();
        let mut taken = 0;
        for commit in commits {
            taken += usize::from(commit.await.unwrap().is_ok());
        }
        taken
    };
    assert_eq!(commit_all("red").await, 40);
    assert_eq!(test.count_patients("red").await, 40);
    test.store.faults().set_disk_full(true);
    assert_eq!(commit_all("blue").await, 0);
    assert_eq!((test.count_patients("red").await, test.count_patients("blue").await), (40, 0));
    test.store.faults().set_disk_full(false);
    put_until_taken(&test, "green").await;
    for number in 0..10 {
        test.put("a", &key("Patient", &uuid(100 + number)), "blue").await;
        assert_eq!((test.count_patients("red").await, test.count_patients("blue").await), (39 - number as u64, number as u64 + 1));
    }
    assert!(test.store.verify().await.unwrap().is_sound());
}
