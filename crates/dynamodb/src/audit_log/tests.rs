use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::TenantId;
use fhirpool_storage::Result;
use fhirpool_storage::audit_conformance::check;

use super::DynamoAuditLog;
use crate::Tenants;
use crate::testing::{Tables, tenant};

struct Named(BTreeSet<TenantId>);

#[async_trait]
impl Tenants for Named {
    async fn is_known(&self, tenant: &TenantId) -> Result<bool> {
        Ok(self.0.contains(tenant))
    }

    async fn is_closed(&self, _tenant: &TenantId) -> Result<bool> {
        Ok(false)
    }
}

#[tokio::test]
async fn the_log_keeps_to_its_contract() {
    let tables = Tables::new().await;
    let names = [tenant("a"), tenant("b")];
    let log = DynamoAuditLog::new(tables.client.clone(), Arc::new(Named(names.iter().cloned().collect())));
    check(&log, names, tenant("c")).await;
}
