//! Which tenants there are.

use async_trait::async_trait;
use fhirpool_authz::TenantId;
use fhirpool_storage::Result;

/// Knows the tenants of a deployment. What it says may be some seconds old.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Whether the tenant is registered and open.
    async fn is_known(&self, tenant: &TenantId) -> Result<bool>;
}
