//! Which tenants there are.

use async_trait::async_trait;
use fhirpool_authz::TenantId;
use fhirpool_storage::Result;
use fhirpool_storage::tenants::TenantDirectory;

/// Knows the tenants of a deployment. What it says may be some seconds old.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Whether the tenant is registered, and what it has is there.
    async fn is_known(&self, tenant: &TenantId) -> Result<bool>;

    /// Whether the tenant is being deleted, or is deleted. One that was made this moment is not.
    async fn is_closed(&self, tenant: &TenantId) -> Result<bool>;
}

#[async_trait]
impl Tenants for TenantDirectory {
    async fn is_known(&self, tenant: &TenantId) -> Result<bool> {
        self.is_kept(tenant).await
    }

    async fn is_closed(&self, tenant: &TenantId) -> Result<bool> {
        TenantDirectory::is_closed(self, tenant).await
    }
}
