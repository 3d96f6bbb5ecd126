//! What this crate's tests share: a store in a folder that goes away, and short ways to make commits.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceBody, ResourceId, ResourceKey, ResourceType, Timestamp, VersionId};
use fhirpool_search::{Clause, Extractors, IndexEntry, TypeSearch, ValueTest};
use fhirpool_storage::{
    Change, ChangeContent, Commit, CommitOutcome, Content, Freshness, Method, Precondition, ResourceStore, Result, SearchIndex, SearchPage,
    SearchRequest, StoredVersion, TotalMode,
};

use crate::maintenance::Extraction;
use crate::{EmbeddedStore, LocalKeyRing, OpenError, Ports, Settings};

/// A parameter that tests post values of.
pub(crate) const CODE: ParameterNumber = ParameterNumber(3);

/// A store and what it is built on.
pub(crate) struct TestStore {
    pub(crate) store: EmbeddedStore,
    pub(crate) clock: Arc<AtomicI64>,
}

pub(crate) fn extractors() -> Arc<Extractors> {
    static EXTRACTORS: std::sync::OnceLock<Arc<Extractors>> = std::sync::OnceLock::new();
    Arc::clone(EXTRACTORS.get_or_init(|| Arc::new(Extractors::new(Definitions::r4()))))
}

pub(crate) fn open(folder: &Path, settings: Settings) -> std::result::Result<TestStore, OpenError> {
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let told = Arc::clone(&clock);
    let keys = Arc::new(LocalKeyRing::open(folder).unwrap());
    let ports = Ports { keys, extractors: extractors(), now: Arc::new(move || Timestamp(told.load(Ordering::SeqCst))) };
    Ok(TestStore { store: EmbeddedStore::open(folder, settings, ports)?, clock })
}

impl TestStore {
    /// In a folder, with the tenants `a` and `b`.
    pub(crate) async fn open(folder: &Path) -> Self {
        let test = open(folder, Settings::default()).unwrap();
        for name in ["a", "b"] {
            test.store.register_tenant(&tenant(name)).await.unwrap();
        }
        test
    }

    pub(crate) async fn commit(&self, tenant: &str, changes: Vec<Change>) -> Result<CommitOutcome> {
        self.store.commit(&writer(tenant), Commit { changes, assumptions: Vec::new() }).await
    }

    pub(crate) async fn put(&self, tenant: &str, key: &ResourceKey, text: &str) -> VersionId {
        committed(self.commit(tenant, vec![put(key, text)]).await.unwrap())
    }

    pub(crate) async fn delete(&self, tenant: &str, key: &ResourceKey) -> VersionId {
        committed(self.commit(tenant, vec![delete(key)]).await.unwrap())
    }

    pub(crate) async fn patients(&self, tenant: &str, filter: Vec<Clause>, limit: usize) -> SearchPage {
        let part = TypeSearch { resource_type: key("Patient", "x").resource_type, filter, sort: Vec::new() };
        let request =
            SearchRequest { parts: [part].into(), after: None, limit, total: TotalMode::Accurate, view: None, freshness: Freshness::Exact };
        self.store.search(&reader(tenant), &request).await.unwrap()
    }

    /// How many Patients of tenant `a` have this text.
    pub(crate) async fn count_patients(&self, text: &str) -> u64 {
        self.patients("a", vec![code(text)], 0).await.total.unwrap()
    }

    pub(crate) async fn read(&self, tenant: &str, key: &ResourceKey) -> Option<StoredVersion> {
        self.store.read(&reader(tenant), key).await.unwrap()
    }
}

/// What holds for a resource that [`put`] made with this text.
pub(crate) fn code(text: &str) -> Clause {
    Clause::Matches { parameter: CODE, tests: vec![ValueTest::uri(text)] }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn reader(name: &str) -> ReadAccess {
    ReadAccess::authorize(&Principal::operator(tenant(name)), &tenant(name)).unwrap()
}

pub(crate) fn writer(name: &str) -> WriteAccess {
    WriteAccess::authorize(&Principal::operator(tenant(name)), &tenant(name)).unwrap()
}

pub(crate) fn key(resource_type: &str, id: &str) -> ResourceKey {
    ResourceKey::new(ResourceType::parse(resource_type).unwrap(), ResourceId::parse(id).unwrap())
}

/// A UUID that ends in this number.
pub(crate) fn uuid(number: usize) -> String {
    format!("0190b3c1-0000-7000-8000-{number:012x}")
}

pub(crate) fn body(key: &ResourceKey, text: &str) -> ResourceBody {
    let json = format!(r#"{{"resourceType":"{}","language":"{text}"}}"#, key.resource_type);
    let document = Document::parse(json).unwrap();
    ResourceBody::prepare(document.root(), &key.id, &[])
}

/// A resource whose text is posted for [`CODE`].
pub(crate) fn put(key: &ResourceKey, text: &str) -> Change {
    let value = ValueTest::uri(text).ranges()[0].from.clone();
    let entry = IndexEntry { parameter: CODE, value };
    Change {
        key: key.clone(),
        method: Method::Put,
        precondition: Precondition::None,
        content: ChangeContent::Put { body: body(key, text), entries: vec![entry] },
    }
}

pub(crate) fn delete(key: &ResourceKey) -> Change {
    Change { key: key.clone(), method: Method::Delete, precondition: Precondition::None, content: ChangeContent::Delete }
}

pub(crate) fn on(precondition: Precondition, change: Change) -> Change {
    Change { precondition, ..change }
}

/// The version that the first change made.
pub(crate) fn committed(outcome: CommitOutcome) -> VersionId {
    match outcome {
        CommitOutcome::Committed { changes, .. } => changes[0].version.unwrap(),
        other => panic!("not committed: {other:?}"),
    }
}

/// The text of a version made by [`put`].
pub(crate) fn text(version: &StoredVersion) -> String {
    match &version.content {
        Content::Resource(body) => Document::parse(body.text.as_str()).unwrap().root().get("language").unwrap().as_str().unwrap().into(),
        Content::Deleted => "deleted".into(),
    }
}

/// Makes the entries that [`put`] posts.
pub(crate) fn extraction() -> Extraction {
    let entries = |_: &TenantId, _: ResourceType, body: &ResourceBody| {
        let document = Document::parse(body.text.as_str()).unwrap();
        let value = ValueTest::uri(&document.root().get_str("language").unwrap()).ranges()[0].from.clone();
        vec![IndexEntry { parameter: CODE, value }]
    };
    Extraction { extractors: extractors(), entries: Arc::new(entries) }
}
