//! Interactions over the embedded store in a folder that goes away.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bundles;
mod conditional;
mod crud;
mod data;
mod limited;
mod limited_model;
mod searches;
mod troubled;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fhirpool_authz::{Interaction, Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_binary::{LocalContent, LocalSettings};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, Settings};
use fhirpool_fhir::{Definitions, ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp};
use fhirpool_search::Extractors;
use fhirpool_storage::Freshness;
use serde_json::{Value, json};

use crate::{
    BundleProgress, BundleRequest, CapabilityCache, Clock, CreateRequest, DeleteRequest, Handling, InteractionError, Interactions, Limits,
    PageTokens, Randomness, ReadOutcome, ReadRequest, Result, Returning, SearchInteraction, SearchScope, SeededIds, Target, UpdateRequest,
    WriteOutcome,
};

static BASE: ServiceBase = ServiceBase::fixed("http://localhost/tenant/test");

/// A clock that moves when told.
#[derive(Debug, Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that count up.
struct Counting(AtomicI64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        bytes.iter_mut().zip(number.into_iter().cycle()).for_each(|(byte, of)| *byte = of);
    }
}

struct Server {
    interactions: Interactions,
    access: WriteAccess,
    clock: TestClock,
    _folder: tempfile::TempDir,
}

fn definitions() -> Arc<Definitions> {
    static DEFINITIONS: std::sync::OnceLock<Arc<Definitions>> = std::sync::OnceLock::new();
    DEFINITIONS.get_or_init(Definitions::r4).clone()
}

fn access(name: &str) -> WriteAccess {
    let tenant = TenantId::parse(name).unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn resource_type(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn key(text: &str) -> ResourceKey {
    let (name, id) = text.split_once('/').unwrap();
    ResourceKey::new(resource_type(name), ResourceId::parse(id).unwrap())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Server {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = TestClock(Arc::new(AtomicI64::new(1_700_000_000_000)));
        let (definitions, told) = (definitions(), clock.clone());
        let extractors = Arc::new(Extractors::new(definitions.clone()));
        let keys = Arc::new(LocalKeyRing::open(folder.path()).unwrap());
        let content = LocalSettings { folder: folder.path().join("content"), length_max: 1 << 20 };
        let content = Arc::new(LocalContent::open(&content, keys.clone(), Arc::new(|| 1_700_000_000)).unwrap());
        let ports = Ports { keys, extractors: extractors.clone(), now: Arc::new(move || told.now()) };
        let store = Arc::new(EmbeddedStore::open(folder.path(), Settings::default(), ports).unwrap());
        for tenant in ["test", "other"] {
            store.register_tenant(&TenantId::parse(tenant).unwrap()).await.unwrap();
        }
        let interactions = Interactions {
            index: store.clone(),
            store,
            content,
            definitions,
            extractors,
            clock: Arc::new(clock.clone()),
            ids: Arc::new(SeededIds::new(7)),
            limits: Arc::new(limits),
            page_tokens: PageTokens::new(&[7; 32], Arc::new(Counting(AtomicI64::new(0)))),
            capability_cache: CapabilityCache::default(),
        };
        Self { interactions, access: access("test"), clock, _folder: folder }
    }

    fn reading(&self, interaction: Interaction) -> ReadAccess {
        self.access.reading(interaction)
    }

    async fn create(&self, resource: Value) -> Result<WriteOutcome> {
        self.create_if_none(resource, None).await
    }

    async fn create_if_none(&self, resource: Value, if_none_exist: Option<&str>) -> Result<WriteOutcome> {
        let request = CreateRequest {
            base: &BASE,
            resource_type: resource_type(resource["resourceType"].as_str().unwrap()),
            body: resource.to_string().into_bytes(),
            if_none_exist,
            returning: Returning::Representation,
        };
        self.interactions.create(&self.access, request).await
    }

    async fn put(&self, resource: Value) -> Result<WriteOutcome> {
        let id = ResourceId::parse(resource["id"].as_str().unwrap()).unwrap();
        self.put_to(Target::Id(id), resource, None).await
    }

    async fn put_to(&self, target: Target<'_>, resource: Value, if_match: Option<&str>) -> Result<WriteOutcome> {
        let request = UpdateRequest {
            base: &BASE,
            resource_type: resource_type(resource["resourceType"].as_str().unwrap()),
            target,
            body: resource.to_string().into_bytes(),
            if_match,
            if_none_match: None,
            returning: Returning::Representation,
        };
        self.interactions.update(&self.access, request).await
    }

    async fn delete(&self, text: &str) -> Result<WriteOutcome> {
        let ResourceKey { resource_type, id } = key(text);
        self.interactions.delete(&self.access, DeleteRequest { base: &BASE, resource_type, target: Target::Id(id), if_match: None }).await
    }

    async fn read(&self, text: &str) -> Result<Value> {
        let request = ReadRequest { base: &BASE, key: key(text), query: "", if_none_match: None, if_modified_since: None };
        match self.interactions.read(&self.reading(Interaction::Read), request).await? {
            ReadOutcome::Found(found) => Ok(json_of(&found.json)),
            ReadOutcome::NotModified { .. } => panic!("nothing was said of what the client has"),
        }
    }

    /// A search of the form `Type?query` or `?query`.
    async fn search(&self, address: &str) -> Result<Value> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let scope = if path.is_empty() { SearchScope::Tenant } else { SearchScope::Type(resource_type(path)) };
        let request = SearchInteraction { base: &BASE, scope, query, handling: Handling::Strict, freshness: Freshness::default() };
        self.interactions.search(&self.reading(Interaction::Search), request).await.map(|outcome| json_of(&outcome.json))
    }

    async fn bundle(&self, bundle: Value) -> Result<Value> {
        self.bundle_returning(bundle, Returning::Minimal).await
    }

    async fn bundle_returning(&self, bundle: Value, returning: Returning) -> Result<Value> {
        let request = BundleRequest {
            base: &BASE,
            body: bundle.to_string().into_bytes(),
            returning,
            handling: Handling::Strict,
            freshness: Freshness::default(),
        };
        self.interactions.bundle(&self.access, request, &BundleProgress::default()).await.map(|outcome| json_of(&outcome.json))
    }

    async fn count(&self, address: &str) -> u64 {
        let separator = if address.contains('?') { '&' } else { '?' };
        self.search(&format!("{address}{separator}_summary=count")).await.unwrap()["total"].as_u64().unwrap()
    }
}

/// A transaction of entries `(method, url, resource)`.
fn bundle(kind: &str, entries: &[(&str, &str, Value)]) -> Value {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(method, url, resource)| match resource {
            Value::Null => json!({ "request": { "method": method, "url": url } }),
            _ => json!({ "resource": resource, "request": { "method": method, "url": url } }),
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries })
}

/// A patient with an identifier.
fn patient(identifier: &str) -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:test", "value": identifier }] })
}

fn expressions(error: &InteractionError) -> Vec<&str> {
    error.outcome.issues.iter().filter_map(|issue| issue.expression.as_deref()).collect()
}
