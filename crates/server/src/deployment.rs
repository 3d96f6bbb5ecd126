//! What the profile aws needs of its services, made and removed.

use std::sync::Arc;

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_storage::{KeyRing, ResourceStore, Result, SearchIndex, StorageError};

use crate::StartError;
use crate::assembly::Stop;
use crate::assembly::aws::{self, Services};
use crate::config::Config;

/// Makes tables, index, queue and bucket as this version needs them; gives the numbers of the migrations that were new.
pub async fn migrate(config: &Config) -> Result<Vec<u32>> {
    connect(config).await?.migrate().await
}

/// Removes all of it with everything that is in it: for tests and trials.
pub async fn remove(config: &Config) -> Result<()> {
    let services = connect(config).await?;
    services.schema.remove().await?;
    services.search.remove().await?;
    services.letters.destroy().await?;
    services.content.destroy().await
}

/// Removes whatever there is of a tenant, and tells how much of what that was, and whether the tenant has a key: for tests of
/// what was removed before.
pub async fn remove_tenant(config: &Config, tenant: &str) -> Result<(Vec<(&'static str, u64)>, bool)> {
    let services = connect(config).await?;
    let tenant = TenantId::parse(tenant).ok_or(StorageError::UnknownTenant)?;
    let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).map_err(|_| StorageError::Denied)?;
    let mut removed = Vec::new();
    for part in aws::parts_of_tenants(&services) {
        removed.extend(part.purge(&access).await?);
    }
    Ok((removed, services.keys.data_key(&tenant).await.is_ok()))
}

async fn connect(config: &Config) -> Result<Services> {
    Services::connect(config).await.map_err(|error| StorageError::Unavailable(error.to_string()))
}

/// Store and index of a node without HTTP, with an indexer at work: what the suites of the ports run on.
pub struct Opened {
    /// Resources, as clients see them.
    pub store: Arc<dyn ResourceStore>,
    /// Search.
    pub index: Arc<dyn SearchIndex>,
    stop: Stop,
}

impl Opened {
    /// Ends the indexer.
    pub async fn stop(self) {
        (self.stop)().await;
    }
}

/// Opens a node of these settings.
///
/// # Errors
/// A sentence for whoever asked.
pub async fn open(config: &Config) -> std::result::Result<Opened, StartError> {
    let parts = aws::open(config, "http://127.0.0.1").await?;
    Ok(Opened { store: parts.store, index: parts.index, stop: parts.stop })
}
