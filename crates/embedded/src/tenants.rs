//! Which tenants there are, and the numbers that stored keys hold for them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fhirpool_authz::{ReadAccess, TenantId};
use fhirpool_fhir::ResourceType;
use fhirpool_storage::tenants::TenantRecord;
use fhirpool_storage::{Result, StorageError};

/// A tenant's number in stored keys: given once, from 1, never to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TenantNumber(pub(crate) u32);

/// A tenant as it is on stable storage.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) number: TenantNumber,
    pub(crate) record: Arc<TenantRecord>,
}

/// The tenants of a store. Clones share one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tenants {
    tenants: Arc<RwLock<HashMap<TenantId, Tenant>>>,
}

impl Tenants {
    /// The tenant's number, where what it has is there.
    pub(crate) fn number(&self, tenant: &TenantId) -> Option<TenantNumber> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).filter(|tenant| tenant.record.state.is_kept()).map(|tenant| tenant.number)
    }

    /// A tenant in whatever state.
    pub(crate) fn get(&self, tenant: &TenantId) -> Option<Tenant> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> Vec<(TenantId, Tenant)> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = tenants.iter().map(|(id, tenant)| (id.clone(), tenant.clone())).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Takes up a tenant that is on stable storage, or how it is there now.
    pub(crate) fn insert(&self, number: TenantNumber, record: Arc<TenantRecord>) {
        let tenant = Tenant { number, record };
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.record.id.clone(), tenant);
    }

    /// The number for the next tenant: none that another ever had.
    pub(crate) fn next_number(&self) -> TenantNumber {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        TenantNumber(tenants.values().map(|tenant| tenant.number.0).max().unwrap_or(0) + 1)
    }
}

/// An access with its tenant's number: what every key is made from. There is no other way to one, and from outside of this crate
/// neither to this nor to a key:
/// ```compile_fail,E0603
/// fn key(scope: fhirpool_embedded::tenants::Scope<'_>) {}
/// ```
/// ```compile_fail,E0603
/// fn read(slot: fhirpool_embedded::keys::ResourceSlot) {}
/// ```
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    access: &'a ReadAccess,
    tenant: TenantNumber,
}

impl<'a> Scope<'a> {
    /// Looks the access's tenant up.
    pub(crate) fn of(access: &'a ReadAccess, tenants: &Tenants) -> Result<Self> {
        let tenant = tenants.number(access.tenant()).ok_or(StorageError::UnknownTenant)?;
        Ok(Self { access, tenant })
    }

    /// The tenant's number.
    pub(crate) fn tenant(&self) -> TenantNumber {
        self.tenant
    }

    /// The access.
    pub(crate) fn access(&self) -> &'a ReadAccess {
        self.access
    }

    /// Refuses a type that the access does not cover.
    pub(crate) fn check(&self, resource_type: ResourceType) -> Result<()> {
        if self.access.allows(resource_type) { Ok(()) } else { Err(StorageError::Denied) }
    }
}
