//! Bundles over a store that has trouble, or other clients, at the worst moment.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::VersionId;
use fhirpool_storage::{
    Change, ChangeContent, Commit, CommitOutcome, Content, HistoryPage, HistoryRequest, Method, Precondition, ResourceStore,
    Result as StorageResult, StorageError, StoredVersion, View,
};

use super::*;
use crate::{ErrorKind, VersionReadRequest};

/// A store in which another client writes two patients together after every read.
struct Troubled {
    store: Arc<dyn ResourceStore>,
    access: WriteAccess,
}

impl Troubled {
    async fn write_both(&self) -> StorageResult<()> {
        let mut changes = Vec::new();
        for key in [key("Patient/a"), key("Patient/b")] {
            let current = self.store.read(self.access.as_read(), &key).await?.unwrap();
            let Content::Resource(body) = current.content else { panic!("no one deletes") };
            let content = ChangeContent::Put { body, entries: Vec::new() };
            changes.push(Change { key, method: Method::Put, precondition: Precondition::None, content });
        }
        let outcome = self.store.commit(&self.access, Commit { changes, assumptions: Vec::new() }).await?;
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
        Ok(())
    }
}

#[async_trait]
impl ResourceStore for Troubled {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> StorageResult<Option<StoredVersion>> {
        let found = self.store.read(access, key).await;
        self.write_both().await?;
        found
    }

    async fn view(&self, access: &ReadAccess) -> StorageResult<View> {
        self.store.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> StorageResult<Vec<Option<StoredVersion>>> {
        let found = self.store.read_many(access, view, keys).await;
        self.write_both().await?;
        found
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> StorageResult<Option<StoredVersion>> {
        self.store.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> StorageResult<HistoryPage> {
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> StorageResult<CommitOutcome> {
        self.store.commit(access, commit).await
    }
}

#[tokio::test]
async fn the_reads_of_a_batch_see_one_picture_behind_its_writes() {
    let mut server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "a" })).await.unwrap();
    server.interactions.store = Arc::new(Troubled { store: server.interactions.store.clone(), access: server.access.clone() });
    let entries = [
        ("GET", "Patient/a", Value::Null),
        ("GET", "Patient/b", Value::Null),
        ("GET", "Patient?_id=a,b", Value::Null),
        ("GET", "Patient/a/_history/1", Value::Null),
        ("GET", "Patient/a/_history/2", Value::Null),
        ("PUT", "Patient/b", json!({ "resourceType": "Patient", "id": "b" })),
    ];
    let response = server.bundle(bundle("batch", &entries)).await.unwrap();
    let statuses: Vec<&str> = (0..6).map(|entry| response["entry"][entry]["response"]["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "404", "201"]);
    let found = &response["entry"][2]["resource"]["entry"];
    let resources = [&response["entry"][0]["resource"], &response["entry"][1]["resource"], &found[0]["resource"], &found[1]["resource"]];
    assert_eq!(resources.map(|resource| resource["meta"]["versionId"].as_str()), [Some("1"); 4]);
}

#[tokio::test]
async fn a_view_has_no_version_that_came_later() {
    let server = Server::start().await;
    let patient = json!({ "resourceType": "Patient", "id": "p" });
    server.put(patient.clone()).await.unwrap();
    server.put(patient.clone()).await.unwrap();
    let view = server.interactions.store.view(server.access.as_read()).await.unwrap();
    server.put(patient).await.unwrap();
    let read = async |version: &'static str| {
        let request =
            VersionReadRequest { base: &BASE, key: key("Patient/p"), version, query: "", if_none_match: None, if_modified_since: None };
        server.interactions.vread_in(server.access.as_read(), &view, request).await.map_err(|error| error.kind)
    };
    assert!(read("1").await.is_ok() && read("2").await.is_ok());
    assert_eq!(read("3").await.unwrap_err(), ErrorKind::NotFound);
}

/// A store that gives no views once something was committed.
struct Blinded {
    store: Arc<dyn ResourceStore>,
    is_blind: AtomicBool,
}

#[async_trait]
impl ResourceStore for Blinded {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> StorageResult<Option<StoredVersion>> {
        self.store.read(access, key).await
    }

    async fn view(&self, access: &ReadAccess) -> StorageResult<View> {
        if self.is_blind.load(Ordering::SeqCst) {
            return Err(StorageError::Unavailable("for a test".to_owned()));
        }
        self.store.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> StorageResult<Vec<Option<StoredVersion>>> {
        self.store.read_many(access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> StorageResult<Option<StoredVersion>> {
        self.store.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> StorageResult<HistoryPage> {
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> StorageResult<CommitOutcome> {
        let outcome = self.store.commit(access, commit).await;
        self.is_blind.store(true, Ordering::SeqCst);
        outcome
    }
}

/// A transaction that writes, finds what is there, and looks; with the status of each entry.
async fn statuses_of_writing_and_looking(server: &Server) -> Vec<String> {
    let entries =
        [("POST", "Patient", patient("new")), ("POST", "Patient", patient("there")), ("GET", "Patient?_summary=count", Value::Null)];
    let mut transaction = bundle("transaction", &entries);
    transaction["entry"][1]["request"]["ifNoneExist"] = json!("identifier=urn:test|there");
    let response = server.bundle(transaction).await.unwrap();
    let entries = response["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_committed_transaction_is_answered_though_its_reads_fail() {
    let mut server = Server::start().await;
    server.create(patient("there")).await.unwrap();
    assert_eq!(statuses_of_writing_and_looking(&server).await, ["201", "200", "200"]);
    let whole = server.interactions.store.clone();
    server.interactions.store = Arc::new(Blinded { store: whole, is_blind: AtomicBool::new(false) });
    assert_eq!(statuses_of_writing_and_looking(&server).await, ["201", "503", "503"]);
    assert_eq!(server.count("Patient?identifier=urn:test|new").await, 2);
}

#[tokio::test]
async fn a_transaction_whose_reads_take_too_long_is_answered_without_them() {
    let server = Server::start_with(Limits { look_ms_max: 0, ..Limits::default() }).await;
    server.create(patient("there")).await.unwrap();
    assert_eq!(statuses_of_writing_and_looking(&server).await, ["201", "503", "503"]);
    assert_eq!(server.count("Patient?identifier=urn:test|new").await, 1);
}

/// A store in which another client puts a patient just ahead of the first commit.
struct Overtaken {
    store: Arc<dyn ResourceStore>,
    other: Mutex<Option<(Interactions, Value)>>,
}

#[async_trait]
impl ResourceStore for Overtaken {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> StorageResult<Option<StoredVersion>> {
        self.store.read(access, key).await
    }

    async fn view(&self, access: &ReadAccess) -> StorageResult<View> {
        self.store.view(access).await
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> StorageResult<Vec<Option<StoredVersion>>> {
        self.store.read_many(access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> StorageResult<Option<StoredVersion>> {
        self.store.read_version(access, key, version).await
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> StorageResult<HistoryPage> {
        self.store.history(access, request).await
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> StorageResult<CommitOutcome> {
        let other = self.other.lock().unwrap().take();
        if let Some((interactions, resource)) = other {
            let request = UpdateRequest {
                base: &BASE,
                resource_type: resource_type("Patient"),
                target: Target::Id(ResourceId::parse(resource["id"].as_str().unwrap()).unwrap()),
                body: resource.to_string().into_bytes(),
                if_match: None,
                if_none_match: None,
                returning: Returning::Minimal,
            };
            interactions.update(access, request).await.unwrap();
        }
        self.store.commit(access, commit).await
    }
}

#[tokio::test]
async fn a_match_that_comes_behind_those_a_transaction_deletes_is_noticed() {
    let mut server = Server::start().await;
    let named = |id: &str| {
        let mut resource = patient("1");
        resource["id"] = json!(id);
        resource
    };
    server.put(named("p1")).await.unwrap();
    server.put(named("p2")).await.unwrap();
    let other = Mutex::new(Some((server.interactions.clone(), named("p3"))));
    server.interactions.store = Arc::new(Overtaken { store: server.interactions.store.clone(), other });
    let entries = [("DELETE", "Patient/p1", Value::Null), ("DELETE", "Patient/p2", Value::Null), ("POST", "Patient", patient("1"))];
    let mut transaction = bundle("transaction", &entries);
    transaction["entry"][2]["request"]["ifNoneExist"] = json!("identifier=urn:test|1");
    let response = server.bundle(transaction).await.unwrap();
    assert_eq!(response["entry"][2]["response"]["status"], "200");
    assert_eq!(server.count("Patient?identifier=urn:test|1").await, 1);
}
