//! Criteria that the store decides itself.

use fhirpool_fhir::ResourceId;
use fhirpool_storage::conformance::{delete, key, on, parts, put};
use fhirpool_storage::{Assumption, CommitOutcome, ExactLookup, Method, StorageError};

use super::*;
use crate::testing::{Tables, read_access, tenant, write_access};

struct Bench {
    store: DynamoStore,
    _tables: Tables,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: store(tables.client.clone(), vec![tenant("a")], folder.path(), StoreSettings::default()),
            _tables: tables,
            _folder: folder,
        }
    }

    async fn commit(&self, changes: Vec<Change>, assumptions: Vec<Assumption>) -> CommitOutcome {
        self.store.commit(&write_access("a"), Commit { changes, assumptions }).await.unwrap()
    }

    async fn put(&self, name: &str, members: &str) {
        self.commit(vec![put(name, members)], Vec::new()).await;
    }

    /// Whether a commit goes through that rests on what criteria found.
    async fn holds(&self, query: &str, found: &[&str]) -> bool {
        match self.commit(vec![put("Basic/1", "")], vec![assume(query, found)]).await {
            CommitOutcome::Committed { .. } => true,
            CommitOutcome::Stale => false,
            other => panic!("{other:?}"),
        }
    }

    async fn lookup(&self, query: &str) -> Option<Vec<String>> {
        let found = self.store.lookup(&read_access("a"), &parts(query)[0]).await.unwrap();
        found.map(|keys| keys.iter().map(ToString::to_string).collect())
    }
}

fn assume(query: &str, found: &[&str]) -> Assumption {
    let found = found.iter().map(|id| ResourceId::parse(id).unwrap()).collect();
    Assumption { search: Arc::new(parts(query)[0].clone()), found, sequence: 0 }
}

fn identifier(value: &str) -> String {
    format!("\"identifier\":[{{\"system\":\"urn:s\",\"value\":\"{value}\"}}]")
}

/// How many of commits that race went through; the others must be stale.
async fn winners(racers: Vec<tokio::task::JoinHandle<CommitOutcome>>) -> usize {
    let mut winners = 0;
    for racer in racers {
        match racer.await.unwrap() {
            CommitOutcome::Committed { .. } => winners += 1,
            outcome => assert_eq!(outcome, CommitOutcome::Stale),
        }
    }
    winners
}

#[tokio::test]
async fn the_whole_criteria_count_and_a_lookup_alone_does_not() {
    let bench = Bench::new().await;
    bench.put("Patient/1", &format!("{},\"active\":true", identifier("x"))).await;
    bench.put("Patient/2", &format!("{},\"active\":false", identifier("x"))).await;
    bench.put("Patient/3", &identifier("x")).await;
    bench.put("Patient/3", &identifier("y")).await;
    bench.put("Patient/4", &identifier("x")).await;
    bench.commit(vec![delete("Patient/4")], Vec::new()).await;
    assert!(bench.holds("Patient?identifier=urn:s|x", &["1", "2"]).await);
    assert!(!bench.holds("Patient?identifier=urn:s|x", &["1"]).await);
    assert!(!bench.holds("Patient?identifier=urn:s|x", &[]).await);
    assert!(bench.holds("Patient?identifier=urn:s|x&active=true", &["1"]).await);
    assert!(bench.holds("Patient?identifier=urn:s|x,urn:s|y&active:missing=true", &["3"]).await);
    assert!(bench.holds("Patient?identifier=urn:s|z", &[]).await);
    assert!(bench.holds("Patient?_id=1,9&active=true", &["1"]).await);
    assert!(bench.holds("Patient?_id=9", &[]).await);
    // Without a system it takes the index.
    assert!(bench.holds("Patient?identifier=x", &["1", "2"]).await);
}

#[tokio::test]
async fn lookups_hold_everything_that_may_match_or_say_that_they_cannot_tell() {
    let bench = Bench::new().await;
    bench.put("Patient/1", &identifier("x")).await;
    bench.put("Patient/2", &identifier("y")).await;
    bench.put("Group/1", &identifier("x")).await;
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(bench.lookup("Patient?identifier=urn:s|x").await, names(&["Patient/1"]));
    assert_eq!(bench.lookup("Patient?identifier=urn:s|x,urn:s|y&active=true").await, names(&["Patient/1", "Patient/2"]));
    assert_eq!(bench.lookup("Patient?_id=7,1").await, names(&["Patient/1", "Patient/7"]));
    for query in ["Patient?identifier=x", "Patient?identifier=urn:s|", "Patient?active=true", "Patient?identifier:not=urn:s|x"] {
        assert_eq!(bench.lookup(query).await, None, "{query}");
    }
    assert_eq!(bench.lookup("Patient?identifier=urn:s|x&organization.name=y").await, None, "a chain takes the index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_racing_creations_under_an_identifier_wins() {
    let bench = Arc::new(Bench::new().await);
    for round in 0..5 {
        let racers: Vec<_> = (0..6)
            .map(|number| {
                let bench = bench.clone();
                tokio::spawn(async move {
                    let query = format!("Patient?identifier=urn:s|r{round}");
                    let change = put(&format!("Patient/{round}.{number}"), &identifier(&format!("r{round}")));
                    let change = Change { method: Method::Post, ..on(Precondition::NeverExisted, change) };
                    bench.commit(vec![change], vec![assume(&query, &[])]).await
                })
            })
            .collect();
        assert_eq!(winners(racers).await, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_racing_creations_wins_that_meet_by_different_identifiers() {
    let bench = Arc::new(Bench::new().await);
    for round in 0..20 {
        // Each makes what all of them would find, each by another of its identifiers.
        let both = |name: &str| {
            let values = (0..3).map(|number| format!("{{\"system\":\"urn:s\",\"value\":\"d{round}.{number}\"}}"));
            put(&format!("Patient/{name}"), &format!("\"identifier\":[{}]", values.collect::<Vec<_>>().join(",")))
        };
        let racers: Vec<_> = (0..3)
            .map(|number| {
                let bench = bench.clone();
                let change = Change { method: Method::Post, ..on(Precondition::NeverExisted, both(&format!("{round}.{number}"))) };
                let assumption = assume(&format!("Patient?identifier=urn:s|d{round}.{number}"), &[]);
                tokio::spawn(async move { bench.commit(vec![change], vec![assumption]).await })
            })
            .collect();
        assert_eq!(winners(racers).await, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_claim_of_a_transaction_that_made_nothing_is_free_at_once() {
    let bench = Bench::new().await;
    bench.put("Patient/1", &identifier("x")).await;
    for round in 0..3 {
        assert!(!bench.holds("Patient?identifier=urn:s|x", &[]).await, "{round}");
    }
    bench.commit(vec![delete("Patient/1")], Vec::new()).await;
    assert!(bench.holds("Patient?identifier=urn:s|x", &[]).await);
}

#[tokio::test]
async fn without_an_index_other_criteria_are_not_guessed_at() {
    let tables = Tables::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store_without_index(tables.client.clone(), vec![tenant("a")], folder.path(), StoreSettings::default(), system_clock());
    let commit = Commit { changes: vec![put("Patient/1", "")], assumptions: vec![assume("Patient?active=true", &[])] };
    assert!(matches!(store.commit(&write_access("a"), commit).await, Err(StorageError::Unavailable(_))));
    assert_eq!(store.read(&read_access("a"), &key("Patient/1")).await.unwrap(), None);
}
