//! Reading, committing, preconditions, assumptions, tenants.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fhirpool_fhir::{Timestamp, VersionId};
use fhirpool_search::{Clause, TypeSearch};
use fhirpool_storage::{Assumption, ChangeOutcome, Commit, CommitOutcome, Content, Precondition, ResourceStore, StorageError, StoredBytes};

use crate::committer::{Job, Waiting};
use crate::testing::{TestStore, code, committed, delete, key, on, open, put, reader, tenant, text, uuid, writer};
use crate::{OpenError, Settings};

#[tokio::test]
async fn what_was_committed_is_read_also_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (patient, other) = (key("Patient", &uuid(1)), key("Patient", "not-a-uuid"));
    {
        let test = TestStore::open(folder.path()).await;
        assert_eq!(test.put("a", &patient, "one").await, VersionId(1));
        assert_eq!(test.put("a", &patient, "two").await, VersionId(2));
        assert_eq!(test.put("a", &other, "other").await, VersionId(1));
    }
    let test = TestStore::open(folder.path()).await;
    let newest = test.read("a", &patient).await.unwrap();
    assert_eq!((newest.version, text(&newest).as_str()), (VersionId(2), "two"));
    let first = test.store.read_version(&reader("a"), &patient, VersionId(1)).await.unwrap().unwrap();
    assert_eq!((first.version, text(&first).as_str()), (VersionId(1), "one"));
    assert_eq!(text(&test.read("a", &other).await.unwrap()), "other");
    assert_eq!(test.store.read_version(&reader("a"), &patient, VersionId(3)).await.unwrap(), None);
    assert_eq!(test.read("a", &key("Observation", &uuid(1))).await, None);
}

#[tokio::test]
async fn a_deleted_resource_keeps_its_versions_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    let outcome = test.commit("a", vec![delete(&patient)]).await.unwrap();
    let CommitOutcome::Committed { changes, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(changes, [ChangeOutcome { version: None, created: false }]);

    test.put("a", &patient, "one").await;
    assert_eq!(test.delete("a", &patient).await, VersionId(2));
    assert_eq!(test.delete("a", &patient).await, VersionId(2));
    assert_eq!(test.read("a", &patient).await.unwrap().content, Content::Deleted);
    let outcome = test.commit("a", vec![put(&patient, "three")]).await.unwrap();
    let CommitOutcome::Committed { changes, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(changes, [ChangeOutcome { version: Some(VersionId(3)), created: true }]);
    let first = test.store.read_version(&reader("a"), &patient, VersionId(1)).await.unwrap().unwrap();
    assert_eq!(text(&first), "one");
}

#[tokio::test]
async fn time_grows_with_each_version_though_the_clock_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "one").await;
    test.clock.store(5, Ordering::SeqCst);
    test.put("a", &patient, "two").await;
    assert_eq!(test.read("a", &patient).await.unwrap().last_updated, Timestamp(1_000_001));
    drop(test);
    let test = TestStore::open(folder.path()).await;
    test.clock.store(5, Ordering::SeqCst);
    test.put("a", &key("Patient", &uuid(2)), "other").await;
    assert_eq!(test.read("a", &key("Patient", &uuid(2))).await.unwrap().last_updated, Timestamp(1_000_001));
}

#[tokio::test]
async fn a_commit_happens_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let (one, two) = (key("Patient", &uuid(1)), key("Patient", &uuid(2)));
    test.put("a", &two, "two").await;
    let changes = vec![put(&one, "one"), on(Precondition::Version(VersionId(7)), put(&two, "new"))];
    let outcome = test.commit("a", changes).await.unwrap();
    assert_eq!(outcome, CommitOutcome::PreconditionFailed { change: 1, current: Some((VersionId(1), false)) });
    assert_eq!(test.read("a", &one).await, None);
    assert_eq!(text(&test.read("a", &two).await.unwrap()), "two");
}

#[tokio::test]
async fn preconditions_are_of_the_newest_version() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    let holds = async |precondition| {
        let outcome = test.commit("a", vec![on(precondition, put(&patient, "x"))]).await.unwrap();
        matches!(outcome, CommitOutcome::Committed { .. })
    };
    assert!(!holds(Precondition::Version(VersionId(1))).await);
    assert!(!holds(Precondition::Unchanged(Some(VersionId(1)))).await);
    assert!(holds(Precondition::Unchanged(None)).await);
    assert!(!holds(Precondition::NeverExisted).await);
    assert!(!holds(Precondition::Unchanged(None)).await);
    assert!(holds(Precondition::Version(VersionId(1))).await);
    test.delete("a", &patient).await;
    assert!(!holds(Precondition::Version(VersionId(3))).await);
    assert!(!holds(Precondition::NeverExisted).await);
    assert!(holds(Precondition::Unchanged(Some(VersionId(3)))).await);
    assert!(holds(Precondition::None).await);
}

#[tokio::test]
async fn a_commit_names_a_resource_once() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    assert!(test.commit("a", vec![put(&patient, "one"), delete(&patient)]).await.is_err());
    assert!(test.commit("a", Vec::new()).await.is_err());
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "of a").await;
    assert_eq!(test.read("b", &patient).await, None);
    assert_eq!(test.put("b", &patient, "of b").await, VersionId(1));
    assert_eq!(text(&test.read("a", &patient).await.unwrap()), "of a");
    assert_eq!(search(&test, "b", Vec::new()).await, [uuid(1)]);
    assert_eq!(test.store.read(&reader("nobody"), &patient).await, Err(StorageError::UnknownTenant));
    assert_eq!(test.commit("nobody", vec![put(&patient, "x")]).await, Err(StorageError::UnknownTenant));
    assert!(!folder.path().join("keys/nobody.1").exists());
    assert_eq!(test.store.tenants(), [tenant("a"), tenant("b")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_updates_lose_nothing() {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let test = Arc::new(TestStore::open(folder.path()).await);
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "0").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (test, patient) = (Arc::clone(&test), patient.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while done < ROUNDS {
                    let current = test.read("a", &patient).await.unwrap();
                    let count: u64 = text(&current).parse().unwrap();
                    let change = on(Precondition::Version(current.version), put(&patient, &(count + 1).to_string()));
                    if let CommitOutcome::Committed { .. } = test.commit("a", vec![change]).await.unwrap() {
                        done += 1;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let last = test.read("a", &patient).await.unwrap();
    assert_eq!(last.version, VersionId(WRITERS * ROUNDS + 1));
    assert_eq!(text(&last), (WRITERS * ROUNDS).to_string());
}

#[tokio::test]
async fn a_large_commit_is_as_good_as_a_small_one() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let changes = (0..3_000).map(|number| put(&key("Patient", &uuid(number)), "many")).collect();
    let outcome = test.commit("a", changes).await.unwrap();
    let CommitOutcome::Committed { changes, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(changes.len(), 3_000);
    assert_eq!(text(&test.read("a", &key("Patient", &uuid(2_999))).await.unwrap()), "many");
    assert_eq!(total(&test, "a", Vec::new()).await, Some(3_000));
    assert_eq!(total(&test, "a", vec![code("many")]).await, Some(3_000));
}

#[tokio::test]
async fn searches_see_what_was_committed_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let (one, two) = (key("Patient", &uuid(1)), key("Patient", &uuid(2)));
    test.put("a", &one, "red").await;
    test.put("a", &two, "red").await;
    assert_eq!(search(&test, "a", vec![code("red")]).await, [uuid(1), uuid(2)]);
    test.put("a", &one, "blue").await;
    assert_eq!(search(&test, "a", vec![code("red")]).await, [uuid(2)]);
    assert_eq!(search(&test, "a", vec![code("blue")]).await, [uuid(1)]);
    test.delete("a", &two).await;
    assert_eq!(search(&test, "a", vec![code("red")]).await, Vec::<String>::new());
    assert_eq!(total(&test, "a", Vec::new()).await, Some(1));
}

#[tokio::test]
async fn a_view_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let patient = key("Patient", &uuid(1));
    test.put("a", &patient, "one").await;
    let view = test.store.view(&reader("a")).await.unwrap();
    test.put("a", &patient, "two").await;
    let keys = [patient.clone(), key("Patient", "none")];
    let seen = test.store.read_many(&reader("a"), &view, &keys).await.unwrap();
    assert_eq!(seen.iter().map(|version| version.as_ref().map(text)).collect::<Vec<_>>(), [Some("one".into()), None]);
    assert!(test.store.view(&reader("a")).await.unwrap().sequence > view.sequence);
}

#[tokio::test]
async fn criteria_that_no_longer_hold_make_a_commit_stale() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let (one, two) = (key("Patient", &uuid(1)), key("Patient", &uuid(2)));
    let sequence = test.store.view(&reader("a")).await.unwrap().sequence;
    let search = Arc::new(TypeSearch { resource_type: one.resource_type, filter: vec![code("red")], sort: Vec::new() });
    let assume = async |found: Vec<_>, number: usize| {
        let assumptions = vec![Assumption { search: Arc::clone(&search), found, sequence }];
        let commit = Commit { changes: vec![put(&key("Observation", &uuid(number)), "x")], assumptions };
        test.store.commit(&writer("a"), commit).await.unwrap()
    };
    test.put("a", &one, "blue").await;
    test.put("b", &two, "red").await;
    committed(assume(Vec::new(), 1).await);
    test.put("a", &one, "red").await;
    assert_eq!(assume(Vec::new(), 2).await, CommitOutcome::Stale);
    committed(assume(vec![one.id.clone()], 3).await);
    test.delete("a", &one).await;
    assert_eq!(assume(vec![one.id.clone()], 4).await, CommitOutcome::Stale);
    committed(assume(Vec::new(), 5).await);
}

#[tokio::test]
async fn criteria_older_than_the_memory_of_changes_are_evaluated_anew() {
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { recent_changes: 2, ..Settings::default() }).unwrap();
    test.store.register_tenant(&tenant("a")).await.unwrap();
    let patient = key("Patient", &uuid(1));
    let search = Arc::new(TypeSearch { resource_type: patient.resource_type, filter: vec![code("red")], sort: Vec::new() });
    for number in 0..4 {
        test.put("a", &key("Observation", &uuid(number)), "x").await;
    }
    let assumptions = vec![Assumption { search, found: Vec::new(), sequence: 1 }];
    committed(test.store.commit(&writer("a"), Commit { changes: vec![put(&patient, "x")], assumptions }).await.unwrap());
}

#[tokio::test]
async fn criteria_that_the_memory_of_changes_does_not_tell_of_are_evaluated_by_the_committer() {
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { recent_changes: 2, ..Settings::default() }).unwrap();
    test.store.register_tenant(&tenant("a")).await.unwrap();
    let (access, red) = (writer("a"), key("Patient", &uuid(1)));
    let search = Arc::new(TypeSearch { resource_type: red.resource_type, filter: vec![code("red")], sort: Vec::new() });
    let prepare = async |number: usize| {
        let assumptions = vec![Assumption { search: Arc::clone(&search), found: Vec::new(), sequence: 0 }];
        let commit = Commit { changes: vec![put(&key("Observation", &uuid(number)), "x")], assumptions };
        let sealing_key = test.store.sealing_key(&access).await.unwrap();
        test.store.prepare(&access, commit, sealing_key).await.unwrap().unwrap()
    };
    let finish = async |commit| {
        let room = test.store.room(test.store.places.enter(&tenant("a")).unwrap(), 1).await.unwrap();
        let (reply, answer) = tokio::sync::oneshot::channel();
        test.store.ask(Job::Commit(Box::new(Waiting { commit, reply, room })), answer).await.unwrap()
    };
    let (one, two) = (prepare(1).await, prepare(2).await);
    for number in 10..15 {
        test.put("a", &key("Observation", &uuid(number)), "x").await;
    }
    committed(finish(one).await);
    test.put("a", &red, "red").await;
    for number in 10..15 {
        test.put("a", &key("Observation", &uuid(number)), "x").await;
    }
    assert_eq!(finish(two).await, CommitOutcome::Stale);
}

#[tokio::test]
async fn a_second_opener_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let refusal = open(folder.path(), Settings::default()).err().unwrap();
    assert!(matches!(refusal, OpenError::InUse(_)));
    assert!(refusal.to_string().contains("is in use by another process"), "{refusal}");
    drop(test);
    open(folder.path(), Settings::default()).unwrap();
}

#[tokio::test]
async fn a_tenant_whose_key_is_gone_gets_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (key("Patient", &uuid(1)), key("Patient", &uuid(2)));
    TestStore::open(folder.path()).await.put("a", &one, "one").await;
    let (file, aside) = (folder.path().join("keys/a.1"), folder.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    {
        let test = TestStore::open(folder.path()).await;
        let Err(StorageError::Damaged(reason)) = test.commit("a", vec![put(&two, "two")]).await else { panic!("it was taken") };
        assert!(reason.contains("tenant a") && reason.contains("key is gone"), "{reason}");
        assert!(!file.exists());
        // A tenant that holds nothing gets its first key.
        test.put("b", &one, "of b").await;
    }
    std::fs::rename(&aside, &file).unwrap();
    let test = TestStore::open(folder.path()).await;
    test.put("a", &two, "two").await;
    assert_eq!(text(&test.read("a", &one).await.unwrap()), "one");
}

#[tokio::test]
async fn small_commits_pass_large_ones_that_wait_for_memory() {
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { queue_bytes: 64 << 10, ..Settings::default() }).unwrap();
    test.store.register_tenant(&tenant("a")).await.unwrap();
    let (one, other) = (test.store.places.enter(&tenant("a")).unwrap(), test.store.places.enter(&tenant("a")).unwrap());
    let large = test.store.room(one, u64::MAX).await.unwrap();
    let mut next = std::pin::pin!(test.store.room(other, u64::MAX));
    std::future::poll_fn(|context| {
        assert!(next.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    committed(test.commit("a", vec![put(&key("Patient", "x"), "x")]).await.unwrap());
    drop(large);
    next.await.unwrap();
}

#[tokio::test]
async fn who_leaves_again_and_again_takes_no_places_of_others() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(20);
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { queue_length: 4, ..Settings::default() }).unwrap();
    for name in ["busy", "quiet"] {
        test.store.register_tenant(&tenant(name)).await.unwrap();
        test.put(name, &key("Patient", "first"), "x").await;
    }
    let held = test.store.faults().hold();
    let mut refused = 0;
    for number in 0..40 {
        let commit = test.commit("busy", vec![put(&key("Patient", &uuid(number)), "x")]);
        match tokio::time::timeout(PATIENCE, commit).await {
            Err(_left) => {}
            Ok(outcome) => {
                assert_eq!(outcome, Err(StorageError::Overloaded));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 38);
    let mut quiet = std::pin::pin!(test.commit("quiet", vec![put(&key("Patient", "p"), "x")]));
    assert!(tokio::time::timeout(PATIENCE, quiet.as_mut()).await.is_err());
    drop(held);
    committed(quiet.await.unwrap());
    // What was left behind was done, and gave its places back.
    assert_eq!(total(&test, "busy", Vec::new()).await, Some(3));
    test.put("busy", &key("Patient", "again"), "x").await;
}

#[tokio::test]
async fn a_tenant_does_not_wait_behind_what_another_has_sent() {
    const COMMITS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { group_length: 4, ..Settings::default() }).unwrap();
    for name in ["busy", "quiet"] {
        test.store.register_tenant(&tenant(name)).await.unwrap();
    }
    let done = std::cell::Cell::new(0);
    let busy = (0..COMMITS).map(|number| {
        let (test, done) = (&test, &done);
        async move {
            let changes = (0..8).map(|change| put(&key("Patient", &format!("p{number}-{change}")), "x")).collect();
            committed(test.commit("busy", changes).await.unwrap());
            done.set(done.get() + 1);
        }
    });
    let mut busy: Vec<_> = busy.map(Box::pin).collect();
    // All of them are in the queue before the other comes.
    std::future::poll_fn(|context| {
        busy.retain_mut(|commit| commit.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    test.put("quiet", &key("Patient", "x"), "x").await;
    std::future::poll_fn(|context| {
        busy.retain_mut(|commit| commit.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert!(done.get() < COMMITS / 2, "{} commits of the other went first", done.get());
    for commit in busy {
        commit.await;
    }
    assert_eq!(done.get(), COMMITS);
}

#[tokio::test]
async fn bytes_are_counted_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let sum = {
        let test = TestStore::open(folder.path()).await;
        fhirpool_storage::conformance::stored_bytes(&test.store).await;
        test.store.add_bytes(&writer("a"), 1).await.unwrap()
    };
    let test = TestStore::open(folder.path()).await;
    assert_eq!(test.store.add_bytes(&writer("a"), 1).await.unwrap(), sum + 1);
}

#[tokio::test]
async fn too_many_waiting_commits_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let test = open(folder.path(), Settings { queue_length: 0, ..Settings::default() }).unwrap();
    test.store.register_tenant(&tenant("a")).await.unwrap();
    assert_eq!(test.commit("a", vec![put(&key("Patient", "x"), "x")]).await, Err(StorageError::Overloaded));
}

async fn search(test: &TestStore, tenant: &str, filter: Vec<Clause>) -> Vec<String> {
    let page = test.patients(tenant, filter, 100).await;
    page.hits.iter().map(|hit| hit.key.id.as_str().to_owned()).collect()
}

async fn total(test: &TestStore, tenant: &str, filter: Vec<Clause>) -> Option<u64> {
    test.patients(tenant, filter, 0).await.total
}
