//! The embedded store keeps the contracts of the ports.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::SystemTime;

use fhirpool_authz::TenantId;
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, Settings};
use fhirpool_fhir::Timestamp;
use fhirpool_storage::conformance::{Stores, extractors};
use fhirpool_storage::tenants::conformance::Made;

async fn make(tenants: Vec<TenantId>) -> Stores {
    let (store, folder) = open();
    for tenant in &tenants {
        store.register_tenant(tenant).await.unwrap();
    }
    Stores { resources: store.clone(), index: store, pictures: true, keep: Box::new(folder) }
}

async fn registry() -> Made {
    let (store, folder) = open();
    (store, Box::new(folder))
}

fn open() -> (Arc<EmbeddedStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let now = || Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64);
    let keys = Arc::new(LocalKeyRing::open(folder.path()).unwrap());
    let ports = Ports { keys, extractors: extractors(), now: Arc::new(now) };
    (Arc::new(EmbeddedStore::open(folder.path(), Settings::default(), ports).unwrap()), folder)
}

fhirpool_storage::store_conformance!(crate::make);
fhirpool_storage::registry_conformance!(crate::registry);
