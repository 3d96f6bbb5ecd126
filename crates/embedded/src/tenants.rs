//! Which tenants there are, and the numbers that stored keys hold for them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fhirpool_authz::{ReadAccess, TenantId};
use fhirpool_fhir::ResourceType;
use fhirpool_storage::{Result, StorageError};

/// A tenant's number in stored keys: given once, from 1, never to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TenantNumber(pub(crate) u32);

/// The tenants of a store. Clones share one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tenants {
    numbers: Arc<RwLock<HashMap<TenantId, TenantNumber>>>,
}

impl Tenants {
    /// The tenant's number, where it is registered.
    pub(crate) fn number(&self, tenant: &TenantId) -> Option<TenantNumber> {
        self.numbers.read().unwrap_or_else(PoisonError::into_inner).get(tenant).copied()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<(TenantId, TenantNumber)> {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = numbers.iter().map(|(tenant, number)| (tenant.clone(), *number)).collect();
        all.sort();
        all
    }

    /// Takes up a tenant that is on stable storage.
    pub(crate) fn insert(&self, tenant: TenantId, number: TenantNumber) {
        self.numbers.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, number);
    }

    /// The number for the next tenant.
    pub(crate) fn next_number(&self) -> TenantNumber {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        TenantNumber(numbers.values().map(|number| number.0).max().unwrap_or(0) + 1)
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
