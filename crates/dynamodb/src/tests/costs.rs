//! What operations cost: each line is what was really sent, and no more.

use fhirpool_fhir::VersionId;
use fhirpool_storage::conformance::{delete, key, observation, on, put};
use fhirpool_storage::{CommitOutcome, HistoryRequest, HistoryScope, Method};

use super::*;
use crate::cost::Units;
use crate::testing::{Tables, read_access, tenant, write_access};

/// A store, and what the last operations cost.
struct Meter {
    store: DynamoStore,
    before: Units,
    _tables: Tables,
    _folder: tempfile::TempDir,
}

impl Meter {
    async fn new() -> Self {
        let tables = Tables::new().await;
        let folder = tempfile::tempdir().unwrap();
        let store = store(tables.client.clone(), vec![tenant("a")], folder.path(), StoreSettings::default());
        let before = store.client().costs().units();
        Self { store, before, _tables: tables, _folder: folder }
    }

    /// Write and read units since the last time.
    fn spent(&mut self) -> (f64, f64) {
        let now = self.store.client().costs().units();
        let spent = now.since(&self.before);
        self.before = now;
        (spent.writes(), spent.reads())
    }

    async fn commit(&self, changes: Vec<Change>) {
        let outcome = self.store.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    }

    async fn read(&self, name: &str) {
        assert!(self.store.read(&read_access("a"), &key(name)).await.unwrap().is_some(), "{name}");
    }
}

/// A resource as large as Synthea's on average: 1,524 bytes of JSON that the dictionary does not know.
fn typical(name: &str, number: usize) -> Change {
    let note: String = (0..90).map(|word| format!("{:x} ", (word * 2_654_435_761_usize) ^ (number * 40_503))).collect();
    put(name, &format!("\"status\":\"final\",\"code\":{{\"text\":\"c\"}},\"note\":[{{\"text\":\"{note}\"}}]"))
}

/// Under a new id of the server's.
fn created(change: Change) -> Change {
    Change { method: Method::Post, ..on(Precondition::NeverExisted, change) }
}

#[tokio::test]
async fn one_change_costs_one_unit() {
    let mut meter = Meter::new().await;
    meter.commit(vec![created(typical("Observation/1", 1))]).await;
    assert_eq!(meter.spent(), (1.0, 0.0), "create");
    meter.commit(vec![typical("Observation/1", 2)]).await;
    assert_eq!(meter.spent(), (1.0, 1.0), "update");
    meter.commit(vec![typical("Observation/2", 3)]).await;
    assert_eq!(meter.spent(), (1.0, 1.0), "update that creates");
    meter.commit(vec![delete("Observation/1")]).await;
    assert_eq!(meter.spent(), (1.0, 1.0), "delete");
    meter.commit(vec![delete("Observation/1")]).await;
    assert_eq!(meter.spent(), (0.0, 1.0), "delete of what is gone");
}

#[tokio::test]
async fn each_new_identifier_costs_one_more() {
    let mut meter = Meter::new().await;
    let patient = |identifiers: &[&str], active: bool| {
        let identifiers: Vec<String> = identifiers.iter().map(|value| format!("{{\"system\":\"urn:s\",\"value\":\"{value}\"}}")).collect();
        put("Patient/1", &format!("\"identifier\":[{}],\"active\":{active}", identifiers.join(",")))
    };
    meter.commit(vec![created(patient(&["1", "2"], true))]).await;
    assert_eq!(meter.spent(), (3.0, 0.0), "create with two identifiers");
    meter.commit(vec![patient(&["1", "2"], false)]).await;
    assert_eq!(meter.spent(), (1.0, 1.0), "update that keeps them");
    meter.commit(vec![patient(&["1", "3"], false)]).await;
    assert_eq!(meter.spent(), (2.0, 1.0), "update that changes one");
    meter.commit(vec![delete("Patient/1")]).await;
    meter.spent();
    meter.commit(vec![patient(&["1"], false)]).await;
    assert_eq!(meter.spent(), (2.0, 1.0), "back after a delete");
}

#[tokio::test]
async fn an_entry_of_a_bundle_costs_little_more_than_one() {
    let mut meter = Meter::new().await;
    let entries = |round: usize| {
        (0..200).map(move |number| typical(&format!("Observation/00000000-0000-4000-8000-{number:012}"), round * 200 + number))
    };
    meter.commit(entries(0).map(created).collect()).await;
    let (writes, reads) = meter.spent();
    // The manifest takes 20 bytes an entry; the record is one more.
    assert_eq!((writes, reads), (200.0 + 4.0 + 1.0, 0.0), "bundle of creates");
    assert!(writes / 200.0 <= 1.1);
    meter.commit(entries(1).collect()).await;
    assert_eq!(meter.spent(), (205.0, 200.0), "bundle of updates");
}

#[tokio::test]
async fn reads_cost_one_strong_and_half_eventual() {
    let mut meter = Meter::new().await;
    meter.commit(vec![created(typical("Observation/1", 1))]).await;
    meter.spent();
    meter.read("Observation/1").await;
    assert_eq!(meter.spent(), (0.0, 1.0), "read");
    let version = meter.store.read_version(&read_access("a"), &key("Observation/1"), VersionId(1)).await.unwrap();
    assert!(version.is_some());
    assert_eq!(meter.spent(), (0.0, 0.5), "vread");
    let view = meter.store.view(&read_access("a")).await.unwrap();
    meter.store.read_many(&read_access("a"), &view, &[key("Observation/1")]).await.unwrap();
    assert_eq!(meter.spent(), (0.0, 1.0), "read in a view");
    let request = HistoryRequest { scope: HistoryScope::Instance(key("Observation/1")), since: None, at: None, after: None, limit: 10 };
    meter.store.history(&read_access("a"), &request).await.unwrap();
    assert_eq!(meter.spent(), (0.0, 1.0), "history");
}

#[tokio::test]
async fn a_transaction_costs_a_node_one_unit_when_it_first_meets_it() {
    let mut meter = Meter::new().await;
    let names = ["Observation/1", "Observation/2"];
    meter.commit(names.iter().enumerate().map(|(number, name)| typical(name, number)).collect()).await;
    meter.spent();
    for name in names {
        meter.read(name).await;
    }
    assert_eq!(meter.spent(), (0.0, 2.0), "its own transaction");
    let folder = tempfile::tempdir().unwrap();
    let other = store(meter.store.client().clone(), vec![tenant("a")], folder.path(), StoreSettings::default());
    for name in names {
        assert!(other.read(&read_access("a"), &key(name)).await.unwrap().is_some());
    }
    assert_eq!(meter.spent(), (0.0, 3.0), "another node, the first time");
    for name in names {
        assert!(other.read(&read_access("a"), &key(name)).await.unwrap().is_some());
    }
    assert_eq!(meter.spent(), (0.0, 2.0), "another node, from then on");
}

#[tokio::test]
async fn a_conditional_create_costs_a_claim_and_a_transaction() {
    use fhirpool_storage::Assumption;
    use fhirpool_storage::conformance::parts;

    let mut meter = Meter::new().await;
    let assume = |found| Assumption { search: Arc::new(parts("Patient?identifier=urn:s|1")[0].clone()), found, sequence: 0 };
    let patient = created(put("Patient/1", "\"identifier\":[{\"system\":\"urn:s\",\"value\":\"1\"}]"));
    let commit = Commit { changes: vec![patient], assumptions: vec![assume(Vec::new())] };
    meter.store.commit(&write_access("a"), commit).await.unwrap();
    // Claim, look-up, manifest, version, record; the look-ups are asked before and after staging.
    assert_eq!(meter.spent(), (5.0, 2.0), "conditional create");
    let referring = created(put("Observation/1", &observation("x", 1, "Patient/1")));
    let commit = Commit { changes: vec![referring], assumptions: vec![assume(vec![key("Patient/1").id])] };
    meter.store.commit(&write_access("a"), commit).await.unwrap();
    assert_eq!(meter.spent(), (1.0, 2.0), "reference by identifier");
}
