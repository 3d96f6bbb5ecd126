//! What a principal may do.

use std::sync::Arc;

use fhirpool_fhir::ResourceType;

use crate::{Grants, Interaction, Principal, TenantId};

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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 3]
    }

    /// The types of both.
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
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
    client: Option<Arc<str>>,
    types: TypeSet,
    limit: Option<Arc<Limit>>,
}

/// Leave to write within one tenant, and to read what a write must look at.
#[derive(Debug, Clone)]
pub struct WriteAccess {
    read: ReadAccess,
    grants: Arc<Grants>,
}

/// What [`authorize`] gives: a [`WriteAccess`] for an interaction that writes, a [`ReadAccess`] for any other.
#[derive(Debug, Clone)]
pub enum Access {
    /// For looking.
    Read(ReadAccess),
    /// For changing.
    Write(WriteAccess),
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

/// The one decision: whether a principal may do this in the tenant that a request names, on this type (`None`: on whatever
/// types the interaction is granted).
///
/// A read access covers the types on which its interaction is granted. A write access covers every write the principal is
/// granted, because a Bundle holds several kinds: each is asked for by [`WriteAccess::permits`].
pub fn authorize(
    principal: &Principal,
    tenant: &TenantId,
    interaction: Interaction,
    resource_type: Option<ResourceType>,
) -> Result<Access, AccessDenied> {
    if principal.tenant != *tenant {
        return Err(AccessDenied::OtherTenant);
    }
    let types = principal.grants.types(interaction);
    if !resource_type.map_or(!types.is_empty(), |resource_type| types.contains(resource_type)) {
        return Err(AccessDenied::Forbidden);
    }
    let read = |types| ReadAccess {
        tenant: tenant.clone(),
        subject: principal.subject.clone(),
        client: principal.client.clone(),
        types,
        limit: None,
    };
    if interaction.writes() {
        Ok(Access::Write(WriteAccess { read: read(principal.grants.types(Interaction::Read)), grants: principal.grants.clone() }))
    } else {
        Ok(Access::Read(read(types)))
    }
}

impl ReadAccess {
    /// Authorizes a principal to read in the tenant that a request names.
    pub fn authorize(principal: &Principal, tenant: &TenantId) -> Result<Self, AccessDenied> {
        Self::authorize_for(principal, tenant, Interaction::Read, None)
    }

    /// Authorizes a principal for an interaction that reads; of one that writes, only the reading it brings with it.
    pub fn authorize_for(
        principal: &Principal,
        tenant: &TenantId,
        interaction: Interaction,
        resource_type: Option<ResourceType>,
    ) -> Result<Self, AccessDenied> {
        match authorize(principal, tenant, interaction, resource_type)? {
            Access::Read(read) | Access::Write(WriteAccess { read, .. }) => Ok(read),
        }
    }

    /// The one tenant this is for.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who asked.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The application that asked, where its token names one. With the subject it is the client whose own writes a search must find.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
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
        Self::authorize_for(principal, tenant, Interaction::Bundle, None)
    }

    /// Authorizes a principal for an interaction that writes; one that only reads is refused.
    pub fn authorize_for(
        principal: &Principal,
        tenant: &TenantId,
        interaction: Interaction,
        resource_type: Option<ResourceType>,
    ) -> Result<Self, AccessDenied> {
        match authorize(principal, tenant, interaction, resource_type)? {
            Access::Write(write) => Ok(write),
            Access::Read(_) => Err(AccessDenied::Forbidden),
        }
    }

    /// The one tenant this is for.
    pub fn tenant(&self) -> &TenantId {
        self.read.tenant()
    }

    /// Whether resources of this type may be changed in some way.
    pub fn allows(&self, resource_type: ResourceType) -> bool {
        [Interaction::Create, Interaction::Update, Interaction::Patch, Interaction::Delete]
            .into_iter()
            .any(|interaction| self.permits(interaction, resource_type))
    }

    /// Whether this interaction is granted on this type.
    pub fn permits(&self, interaction: Interaction, resource_type: ResourceType) -> bool {
        self.grants.types(interaction).contains(resource_type)
    }

    /// The reading a write brings with it: its stored version, its criteria, its references.
    pub fn as_read(&self) -> &ReadAccess {
        &self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(tenant: &str, group: &str) -> Principal {
        let groups = [group.to_owned()];
        Principal {
            grants: Arc::new(Grants::of_groups(&groups)),
            groups: groups.into(),
            ..Principal::operator(TenantId::parse(tenant).expect("a tenant"))
        }
    }

    fn named(name: &str) -> ResourceType {
        ResourceType::parse(name).expect("a type")
    }

    #[test]
    fn another_tenants_principal_gets_nothing_whatever_it_may_do_at_home() {
        let (practitioner, there) = (principal("acme", "practitioner"), TenantId::parse("demo").expect("a tenant"));
        for interaction in [Interaction::Read, Interaction::Search, Interaction::Create, Interaction::Bundle] {
            assert_eq!(authorize(&practitioner, &there, interaction, None).err(), Some(AccessDenied::OtherTenant));
        }
    }

    #[test]
    fn a_read_access_covers_the_types_of_its_interaction() {
        let auditor = principal("acme", "auditor");
        let access = ReadAccess::authorize_for(&auditor, auditor.tenant(), Interaction::Search, None).expect("granted");
        assert!(access.allows(named("Patient")) && !access.allows(named("Observation")));
        let refused = ReadAccess::authorize_for(&auditor, auditor.tenant(), Interaction::Search, Some(named("Observation")));
        assert_eq!(refused.err(), Some(AccessDenied::Forbidden));
        assert_eq!(ReadAccess::authorize_for(&auditor, auditor.tenant(), Interaction::History, None).err(), Some(AccessDenied::Forbidden));
    }

    #[test]
    fn who_only_reads_gets_no_write_access() {
        let auditor = principal("acme", "auditor");
        assert_eq!(WriteAccess::authorize(&auditor, auditor.tenant()).err(), Some(AccessDenied::Forbidden));
        let reading = WriteAccess::authorize_for(&principal("acme", "practitioner"), auditor.tenant(), Interaction::Read, None);
        assert_eq!(reading.err(), Some(AccessDenied::Forbidden));
    }

    #[test]
    fn a_write_access_permits_each_write_that_is_granted() {
        let practitioner = principal("acme", "practitioner");
        let access = WriteAccess::authorize(&practitioner, practitioner.tenant()).expect("granted");
        assert!(access.permits(Interaction::Delete, named("Patient")) && access.allows(named("Observation")));
        assert!(access.as_read().allows(named("Observation")));
    }
}
