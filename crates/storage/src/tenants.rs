//! Tenants as records: the registry that every node reads, what a node remembers of it, and how a tenant is forgotten.
//!
//! A record may have roles, quotas and issuers of the tenant's own. They go above what the access file says, which each node reads
//! at its start.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod directory;
mod record;

use async_trait::async_trait;
use fhirpool_authz::{TenantId, WriteAccess};

pub use directory::{
    DirectoryClock, DirectorySettings, OnAccessChange, OnTenantChange, Standing, TenantDirectory, change_tenant, change_tenant_for,
    register_tenant, set_tenant_access,
};
pub use record::{Refused, TENANT_NAME_CHARS_MAX, TenantRecord, TenantState};

use crate::Result;

/// The tenants of a deployment, on stable storage that all its nodes share.
///
/// Contract: a record is there for good: a deleted tenant's says that it was there, so that its id is never given to another.
/// The epoch changes with every change of a record, and only grows; who reads it strongly and then lists sees at least the
/// changes that it counts. A tenant that an earlier version registered without a record is one that is active and named like
/// its id, with revision 0.
#[async_trait]
pub trait TenantRegistry: Send + Sync {
    /// How often records have changed.
    async fn epoch(&self) -> Result<u64>;

    /// All records, the deleted ones among them, by id.
    async fn list(&self) -> Result<Vec<TenantRecord>>;

    /// One record, read strongly.
    async fn read(&self, tenant: &TenantId) -> Result<Option<TenantRecord>>;

    /// Adds a record of a tenant that has none; `false`: it has one.
    async fn create(&self, record: &TenantRecord) -> Result<bool>;

    /// Puts a record in place of the one before it, which has one revision less; `false`: another was faster, or there is none.
    async fn replace(&self, record: &TenantRecord) -> Result<bool>;
}

/// A part of a deployment that keeps something of tenants, and can forget one.
#[async_trait]
pub trait PurgeTenant: Send + Sync {
    /// Removes all that there is of the access's tenant, whose keys are gone by then, and tells how much of what it was. Nothing
    /// is left of it once this ends, unless someone still writes. Done again, it removes what is left.
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>>;
}
