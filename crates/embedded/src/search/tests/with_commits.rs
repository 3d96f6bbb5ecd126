//! Searches of the real store while commits go on: what is kept between searches is never stale, too new or half.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fhirpool_fhir::{ResourceKey, ResourceType};
use fhirpool_search::{Clause, SortBy, SortTarget, TypeSearch, ValueTest};
use fhirpool_storage::{Change, Freshness, SearchIndex, SearchPage, SearchRequest, TotalMode, View};

use crate::testing::{CODE, TestStore, key, open, put, reader, tenant, uuid};
use crate::{SearchSettings, Settings};

/// Resources that are moved about.
const RESOURCES: usize = 120;
/// How many of them have the sought value at any time.
const HOLDERS: usize = 40;
const ROUNDS: usize = 150;

/// Everything is kept, and columns are built at the first chance.
fn settings() -> Settings {
    let search = SearchSettings { kept_length_min: 0, probe_length: 64, ..SearchSettings::default() };
    Settings { search, ..Settings::default() }
}

fn resource(number: usize) -> ResourceKey {
    key("Observation", &uuid(number))
}

fn request(view: Option<View>, sort: bool) -> SearchRequest {
    let by = SortBy { target: SortTarget::Parameter(CODE), descending: true };
    let part = TypeSearch {
        resource_type: ResourceType::parse("Observation").unwrap(),
        filter: vec![Clause::Matches { parameter: CODE, tests: vec![ValueTest::uri("held")] }],
        sort: if sort { vec![by] } else { Vec::new() },
    };
    SearchRequest { parts: vec![part].into(), after: None, limit: RESOURCES, total: TotalMode::Accurate, view, freshness: Freshness::Exact }
}

fn ids(page: &SearchPage) -> BTreeSet<String> {
    page.hits.iter().map(|hit| hit.key.id.to_string()).collect()
}

/// The state behind commit 0.
fn beginning() -> Vec<Change> {
    (0..RESOURCES).map(|number| put(&resource(number), if number < HOLDERS { "held" } else { "free" })).collect()
}

/// Takes the value from the first holder and gives it to the next resource, in one commit.
fn turn(round: usize) -> Vec<Change> {
    let (first, next) = ((round - 1) % RESOURCES, (round - 1 + HOLDERS) % RESOURCES);
    vec![put(&resource(first), "free"), put(&resource(next), "held")]
}

fn expected(round: usize) -> BTreeSet<String> {
    (0..HOLDERS).map(|number| uuid((number + round) % RESOURCES)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_kept_is_exact_while_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let test = Arc::new(open(folder.path(), settings()).unwrap());
    test.store.register_tenant(&tenant("a")).await.unwrap();
    test.commit("a", beginning()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> =
        (0..3).map(|number| tokio::spawn(read(test.clone(), done.clone(), acknowledged.clone(), number % 2 == 0))).collect();
    for round in 1..ROUNDS {
        test.commit("a", turn(round)).await.unwrap();
        acknowledged.store(round, Ordering::SeqCst);
        let page = test.store.search(&reader("a"), &request(None, false)).await.unwrap();
        assert_eq!(ids(&page), expected(round), "a search behind commit {round} shows another state");
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

/// Searches until told to stop; tells how often. Every answer is the state behind some commit, none older than what was
/// acknowledged before, and stays the same in its view.
async fn read(test: Arc<TestStore>, done: Arc<AtomicBool>, acknowledged: Arc<AtomicUsize>, sort: bool) -> usize {
    let states: Vec<_> = (0..ROUNDS).map(expected).collect();
    let mut old: Option<(View, BTreeSet<String>)> = None;
    let mut searches = 0;
    while !done.load(Ordering::SeqCst) {
        let least = acknowledged.load(Ordering::SeqCst);
        let page = test.store.search(&reader("a"), &request(None, sort)).await.unwrap();
        let found = ids(&page);
        assert_eq!(page.total, Some(HOLDERS as u64));
        let behind = states.iter().skip(least).position(|state| *state == found);
        assert!(behind.is_some(), "no state since commit {least} is like what was found");
        if let Some((view, before)) = &old {
            let again = test.store.search(&reader("a"), &request(Some(view.clone()), sort)).await.unwrap();
            assert_eq!(ids(&again), *before, "an old view shows something else than before");
        }
        if searches % 7 == 0 {
            old = Some((page.view, found));
        }
        searches += 1;
        tokio::task::yield_now().await;
    }
    searches
}
