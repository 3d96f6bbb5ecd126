//! Pages of history.

use std::sync::atomic::Ordering;

use fhirpool_fhir::{ResourceKey, Timestamp};
use fhirpool_storage::{HistoryPage, HistoryPosition, HistoryRequest, HistoryScope, ResourceStore};

use crate::testing::{TestStore, delete, key, put, reader, uuid};

fn all(scope: HistoryScope) -> HistoryRequest {
    HistoryRequest { scope, since: None, at: None, after: None, limit: 100 }
}

async fn page(test: &TestStore, request: &HistoryRequest) -> HistoryPage {
    test.store.history(&reader("a"), request).await.unwrap()
}

/// `<id>/<version>`, newest first.
fn names(page: &HistoryPage) -> Vec<String> {
    let name = |entry: &fhirpool_storage::HistoryEntry| format!("{}/{}", entry.key.id, entry.version.version);
    page.entries.iter().map(name).collect()
}

async fn in_pages(test: &TestStore, request: HistoryRequest, limit: usize) -> Vec<String> {
    let (mut after, mut found) = (None::<HistoryPosition>, Vec::new());
    loop {
        let page = page(test, &HistoryRequest { limit, after, ..request.clone() }).await;
        found.extend(names(&page));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// Three Patients and an Observation, each commit at a time of its own.
async fn filled(test: &TestStore) -> Vec<ResourceKey> {
    let keys = vec![key("Patient", "p1"), key("Patient", "p2"), key("Observation", "o1"), key("Patient", &uuid(3))];
    let commits = [
        vec![put(&keys[0], "1")],
        vec![put(&keys[1], "1"), put(&keys[2], "1")],
        vec![put(&keys[0], "2"), put(&keys[3], "1")],
        vec![delete(&keys[0])],
        vec![put(&keys[2], "2")],
    ];
    for (number, changes) in commits.into_iter().enumerate() {
        test.clock.store(2_000_000 + number as i64 * 1_000, Ordering::SeqCst);
        test.commit("a", changes).await.unwrap();
    }
    keys
}

#[tokio::test]
async fn the_newest_comes_first_in_every_scope_and_page_size() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let keys = filled(&test).await;
    let third = format!("{}/1", uuid(3));
    let of_patients = ["p1/3", &third, "p1/2", "p2/1", "p1/1"];
    let of_tenant = ["o1/2", "p1/3", &third, "p1/2", "o1/1", "p2/1", "p1/1"];
    for limit in [1, 2, 3, 100] {
        let instance = in_pages(&test, all(HistoryScope::Instance(keys[0].clone())), limit).await;
        assert_eq!(instance, ["p1/3", "p1/2", "p1/1"]);
        assert_eq!(in_pages(&test, all(HistoryScope::Type(keys[0].resource_type)), limit).await, of_patients);
        assert_eq!(in_pages(&test, all(HistoryScope::Tenant), limit).await, of_tenant);
    }
    let instance = page(&test, &all(HistoryScope::Instance(keys[0].clone()))).await;
    assert_eq!(instance.total, Some(3));
    assert_eq!(names(&page(&test, &all(HistoryScope::Instance(key("Patient", "none")))).await), Vec::<String>::new());
}

#[tokio::test]
async fn pages_stay_as_they_are_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    filled(&test).await;
    let first = page(&test, &HistoryRequest { limit: 3, ..all(HistoryScope::Tenant) }).await;
    test.put("a", &key("Patient", "p2"), "2").await;
    let rest = page(&test, &HistoryRequest { after: first.next.clone(), ..all(HistoryScope::Tenant) }).await;
    assert_eq!([names(&first), names(&rest)].concat().len(), 7);
    assert_eq!(names(&rest), ["p1/2", "o1/1", "p2/1", "p1/1"]);
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn since_takes_what_was_made_then_or_later() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let keys = filled(&test).await;
    let since = |scope, time| HistoryRequest { since: Some(Timestamp(time)), ..all(scope) };
    assert_eq!(names(&page(&test, &since(HistoryScope::Tenant, 2_003_000)).await), ["o1/2", "p1/3"]);
    let instance = page(&test, &since(HistoryScope::Instance(keys[0].clone()), 2_002_000)).await;
    assert_eq!(names(&instance), ["p1/3", "p1/2"]);
    assert_eq!(instance.total, None);
    assert_eq!(names(&page(&test, &since(HistoryScope::Tenant, 2_004_001)).await), Vec::<String>::new());
}

#[tokio::test]
async fn at_takes_what_was_current_then() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let keys = filled(&test).await;
    let at = |scope, from, to| HistoryRequest { at: Some((Timestamp(from), Timestamp(to))), ..all(scope) };
    assert_eq!(names(&page(&test, &at(HistoryScope::Tenant, 2_001_500, 2_001_600)).await), ["o1/1", "p2/1", "p1/1"]);
    let of_span = page(&test, &at(HistoryScope::Type(keys[0].resource_type), 2_002_000, 2_003_000)).await;
    assert_eq!(names(&of_span), ["p1/3", &format!("{}/1", uuid(3)), "p1/2", "p2/1"]);
    for limit in [1, 2, 100] {
        let instance = in_pages(&test, at(HistoryScope::Instance(keys[0].clone()), 2_002_500, 2_002_999), limit).await;
        assert_eq!(instance, ["p1/2"]);
    }
    assert_eq!(names(&page(&test, &at(HistoryScope::Tenant, 0, 1)).await), Vec::<String>::new());
}

#[tokio::test]
async fn a_position_of_another_history_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let keys = filled(&test).await;
    for scope in [HistoryScope::Tenant, HistoryScope::Instance(keys[0].clone())] {
        let request = HistoryRequest { after: Some(HistoryPosition(vec![1, 2, 3])), ..all(scope) };
        assert!(test.store.history(&reader("a"), &request).await.is_err());
    }
}

#[tokio::test]
async fn the_feed_of_a_large_commit_is_told_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestStore::open(folder.path()).await;
    let changes = (0..1_000).map(|number| put(&key("Patient", &format!("p{number}")), "x")).collect();
    test.commit("a", changes).await.unwrap();
    let expected: Vec<_> = (0..1_000).rev().map(|number| format!("p{number}/1")).collect();
    assert_eq!(in_pages(&test, all(HistoryScope::Tenant), 70).await, expected);
}
