//! The store on the real engine.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_binary::{LocalContent, LocalSettings};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceKey, Timestamp};
use fhirpool_search::testing::BASE;
use fhirpool_storage::conformance::extractors;
use fhirpool_storage::memory::MemoryStore;
use fhirpool_storage::{
    Change, ChangeContent, Commit, Content, Precondition, ResourceStore, Result, SearchIndex, SearchPage, SearchRequest,
};

use crate::client::Table;
use crate::item::Item;
use crate::keys::{PARTITION, ParsedPartition, parse};
use crate::testing::NamedKeys;
use crate::{Client, Clock, DynamoStore, StorePorts, StoreSettings, Tenants};

mod closed;
mod conditional;
mod conformance;
mod coordinators;
mod costs;
mod cut;
pub(crate) mod followed;
mod large;
mod pictures;

/// A tenant that is being deleted.
pub(crate) const CLOSED: &str = "closed";

/// Just these tenants, until they are closed.
#[derive(Default)]
struct Known {
    tenants: Vec<TenantId>,
    closed: AtomicBool,
}

#[async_trait]
impl Tenants for Known {
    async fn is_known(&self, tenant: &TenantId) -> Result<bool> {
        Ok(self.tenants.contains(tenant) && !self.closed.load(Ordering::SeqCst))
    }

    async fn is_closed(&self, tenant: &TenantId) -> Result<bool> {
        Ok(tenant.as_str() == CLOSED || self.closed.load(Ordering::SeqCst))
    }
}

/// Just these tenants.
pub(crate) fn known(tenants: Vec<TenantId>) -> Arc<dyn Tenants> {
    Arc::new(Known { tenants, ..Known::default() })
}

/// A store over tables, with an index that looks at everything.
pub(crate) fn store(client: Client, tenants: Vec<TenantId>, folder: &Path, settings: StoreSettings) -> DynamoStore {
    store_with_clock(client, tenants, folder, settings, system_clock())
}

fn system_clock() -> Clock {
    Arc::new(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64)
}

/// The same, with a clock of the test's.
pub(crate) fn store_with_clock(
    client: Client,
    tenants: Vec<TenantId>,
    folder: &Path,
    settings: StoreSettings,
    clock: Clock,
) -> DynamoStore {
    let store = store_without_index(client, tenants, folder, settings, clock);
    store.set_index(Arc::new(WholeTable(store.clone())));
    store
}

/// The same, with nobody to ask about other criteria.
fn store_without_index(client: Client, tenants: Vec<TenantId>, folder: &Path, settings: StoreSettings, clock: Clock) -> DynamoStore {
    store_for(client, Arc::new(Known { tenants, ..Known::default() }), folder, settings, clock)
}

/// The same, for tenants that the test closes.
fn store_for(client: Client, tenants: Arc<Known>, folder: &Path, settings: StoreSettings, clock: Clock) -> DynamoStore {
    let now_s = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let content = LocalSettings { folder: folder.to_owned(), length_max: 100 << 20 };
    let ports = StorePorts {
        keys: Arc::new(NamedKeys),
        content: Arc::new(LocalContent::open(&content, Arc::new(NamedKeys), Arc::new(now_s)).unwrap()),
        tenants,
        extractors: extractors(),
        base: Arc::new(|_| BASE.clone()),
        clock,
    };
    DynamoStore::new(client, ports, settings)
}

/// An index that is always right: it looks at everything the store holds, in the picture asked for.
pub(crate) struct WholeTable(pub(crate) DynamoStore);

#[async_trait]
impl SearchIndex for WholeTable {
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage> {
        let view = match &request.view {
            Some(view) => view.clone(),
            None => self.0.view(access).await?,
        };
        let operator = Principal::operator(access.tenant().clone());
        let everything = ReadAccess::authorize(&operator, access.tenant()).unwrap();
        let keys = keys(&self.0, access.tenant()).await;
        let versions = self.0.read_many(&everything, &view, &keys).await?;
        let mut by_time: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        for (key, version) in keys.into_iter().zip(versions) {
            let Some(version) = version else { continue };
            let Content::Resource(body) = version.content else { continue };
            let document = Document::parse(body.text.as_str()).unwrap();
            let entries = extractors().entries(key.resource_type, document.root(), &BASE);
            let content = ChangeContent::Put { body, entries };
            let change = Change { key, method: version.method, precondition: Precondition::None, content };
            by_time.entry(version.last_updated.0).or_default().push(change);
        }
        let time = Arc::new(AtomicI64::new(0));
        let clock = time.clone();
        let now = move || Timestamp(clock.load(Ordering::Relaxed));
        let model = MemoryStore::new(std::slice::from_ref(access.tenant()), extractors(), now);
        let write = WriteAccess::authorize(&operator, access.tenant()).unwrap();
        for (last_updated, changes) in by_time {
            time.store(last_updated, Ordering::Relaxed);
            model.commit(&write, Commit { changes, assumptions: Vec::new() }).await?;
        }
        let page = model.search(access, &SearchRequest { view: None, ..request.clone() }).await?;
        Ok(SearchPage { view, ..page })
    }
}

/// Every resource of a tenant that has a version of whatever standing.
pub(crate) async fn keys(store: &DynamoStore, tenant: &TenantId) -> Vec<ResourceKey> {
    let mut keys = HashSet::new();
    for item in items(store).await {
        let Some(AttributeValue::S(partition)) = item.get(PARTITION) else { continue };
        if let Some(ParsedPartition::Resource(of, key)) = parse(partition)
            && of == *tenant
        {
            keys.insert(key);
        }
    }
    keys.into_iter().collect()
}

/// Everything in the data table; by a scan, which only tests may.
pub(crate) async fn items(store: &DynamoStore) -> Vec<Item> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let request = store.client().sdk().scan().table_name(store.client().table(Table::Data));
        let page = request.consistent_read(true).set_exclusive_start_key(after).send().await.unwrap();
        items.extend(page.items.unwrap_or_default());
        after = page.last_evaluated_key;
        if after.is_none() {
            return items;
        }
    }
}
