//! Tables for tests, on the real engine that the environment names.

use std::sync::Arc;

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_storage::{KeyEpoch, KeyRing, MIGRATIONS, Migrate, MigrationPart, Result, StorageError, TenantKey};

use crate::{Client, ConnectionSettings, Schema};

/// Tables of a test's own, removed at its end.
pub(crate) struct Tables {
    pub(crate) client: Client,
    settings: ConnectionSettings,
}

/// Where the engine is.
pub(crate) fn settings(table_prefix: &str) -> ConnectionSettings {
    let endpoint = std::env::var("FHIRPOOL_DYNAMODB_ENDPOINT").expect("start the local stack with `cargo xtask stack up`");
    ConnectionSettings::new(Some(endpoint), None, table_prefix)
}

impl Tables {
    /// Under a prefix of their own.
    pub(crate) async fn new() -> Self {
        let settings = settings(&format!("test-{}", uuid::Uuid::new_v4().simple()));
        let client = Client::connect(settings.clone()).await;
        let schema = Schema::new(client.clone());
        for migration in MIGRATIONS.iter().filter(|migration| migration.part == MigrationPart::DynamoDb) {
            schema.apply(migration).await.expect("tables can be made");
        }
        Self { client, settings }
    }

    /// What their names begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.settings.table_prefix
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { Schema::new(Client::connect(settings).await).remove().await })
        });
        // The test has told what it had to tell.
        let _ = removed.join();
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a tenant's name")
}

pub(crate) fn read_access(name: &str) -> ReadAccess {
    ReadAccess::authorize(&Principal::operator(tenant(name)), &tenant(name)).expect("an operator may")
}

pub(crate) fn write_access(name: &str) -> WriteAccess {
    WriteAccess::authorize(&Principal::operator(tenant(name)), &tenant(name)).expect("an operator may")
}

/// Keys made of tenants' names: the same in every process.
#[derive(Debug, Default)]
pub(crate) struct NamedKeys;

#[async_trait::async_trait]
impl KeyRing for NamedKeys {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.unwrap(tenant, KeyEpoch(1)).await
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        if epoch != KeyEpoch(1) {
            return Err(StorageError::UnknownTenant);
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, tenant.as_str().as_bytes());
        let key = digest.as_ref().try_into().expect("a hash has the length of a key");
        Ok(Arc::new(TenantKey::new(epoch, key)))
    }

    fn forget(&self, _tenant: &TenantId) {}

    async fn destroy(&self, _tenant: &TenantId) -> Result<()> {
        Err(StorageError::Denied)
    }
}
