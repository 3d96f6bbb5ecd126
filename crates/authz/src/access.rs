//! What a principal may do.

use std::sync::Arc;

use fhirpool_fhir::ResourceType;

use crate::{Principal, TenantId};

/// A set of resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeSet([u64; 3]);

impl TypeSet {
    /// Every type.
    pub fn all() -> Self {
        ResourceType::all().collect()
    }

    /// Whether the type is among them.
    pub fn contains(&self, resource_type: ResourceType) -> bool {
        let number = usize::from(resource_type.number());
        self.0[number / 64] & (1 << (number % 64)) != 0
    }
}

impl FromIterator<ResourceType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = ResourceType>>(types: I) -> Self {
        let mut set = Self::default();
        for resource_type in types {
            let number = usize::from(resource_type.number());
            set.0[number / 64] |= 1 << (number % 64);
        }
        set
    }
}

/// What an access is narrowed to within its types, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Compartments (owner type, id) of which a resource must be in one.
    pub compartments: Vec<(ResourceType, String)>,
    /// Search criteria by type (`Observation?category=…`), of which one must match.
    pub criteria: Vec<(ResourceType, String)>,
}

/// Leave to read within one tenant.
#[derive(Debug, Clone)]
pub struct ReadAccess {
    tenant: TenantId,
    subject: Arc<str>,
    types: TypeSet,
    limit: Option<Arc<Limit>>,
}

/// Leave to write within one tenant, and to read what a write must look at.
#[derive(Debug, Clone)]
pub struct WriteAccess {
    read: ReadAccess,
}

/// The principal may not do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessDenied {
    /// The token is another tenant's.
    #[error("the token is not for this tenant")]
    OtherTenant,
    /// No rule allows it.
    #[error("no rule allows this interaction")]
    Forbidden,
}

impl ReadAccess {
    /// Authorizes a principal to read in the tenant that a request names.
    pub fn authorize(principal: &Principal, tenant: &TenantId) -> Result<Self, AccessDenied> {
        if principal.tenant != *tenant {
            return Err(AccessDenied::OtherTenant);
        }
        Ok(Self { tenant: tenant.clone(), subject: principal.subject.clone(), types: TypeSet::all(), limit: None })
    }

    /// The one tenant this is for.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who asked.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether resources of this type may be looked at.
    pub fn allows(&self, resource_type: ResourceType) -> bool {
        self.types.contains(resource_type)
    }

    /// What it is narrowed to, if at all.
    pub fn limit(&self) -> Option<&Limit> {
        self.limit.as_deref()
    }
}

impl WriteAccess {
    /// Authorizes a principal to write in the tenant that a request names.
    pub fn authorize(principal: &Principal, tenant: &TenantId) -> Result<Self, AccessDenied> {
        ReadAccess::authorize(principal, tenant).map(|read| Self { read })
    }

    /// The one tenant this is for.
    pub fn tenant(&self) -> &TenantId {
        self.read.tenant()
    }

    /// Whether resources of this type may be changed.
    pub fn allows(&self, resource_type: ResourceType) -> bool {
        self.read.allows(resource_type)
    }

    /// The reading a write brings with it: its stored version, its criteria, its references.
    pub fn as_read(&self) -> &ReadAccess {
        &self.read
    }
}
