//! The suite that every backend runs.

use fhirpool_authz::TenantId;
use fhirpool_storage::conformance::Stores;

use super::*;
use crate::testing::Tables;

pub(crate) async fn make(tenants: Vec<TenantId>) -> Stores {
    let tables = Tables::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(tables.client.clone(), tenants, folder.path(), StoreSettings::default());
    let index = Arc::new(WholeTable(store.clone()));
    let resources = Arc::new(followed::Followed::new(store));
    Stores { resources, index, pictures: true, keep: Box::new((tables, folder)) }
}

fhirpool_storage::store_conformance!(crate::tests::conformance::make);
