//! What a principal may do.

use std::sync::Arc;

use fhirpool_fhir::ResourceType;

use crate::{Grants, Interaction, Leave, Principal, TenantId, TypeSet};

/// Leave to read within one tenant, for one interaction.
#[derive(Debug, Clone)]
pub struct ReadAccess {
    tenant: TenantId,
    issuer: Arc<str>,
    subject: Arc<str>,
    client: Option<Arc<str>>,
    interaction: Interaction,
    /// What a store may give.
    types: TypeSet,
    grants: Arc<Grants>,
}

/// Leave to write within one tenant, and to look at what a write must look at.
#[derive(Debug, Clone)]
pub struct WriteAccess {
    read: ReadAccess,
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
    let read = |interaction, types| ReadAccess {
        tenant: tenant.clone(),
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        client: principal.client.clone(),
        interaction,
        types,
        grants: principal.grants.clone(),
    };
    if interaction.writes() {
        Ok(Access::Write(WriteAccess { read: read(Interaction::Read, principal.grants.any_types()) }))
    } else {
        Ok(Access::Read(read(interaction, types)))
    }
}

impl ReadAccess {
    /// Authorizes a principal to read in the tenant that a request names.
    pub fn authorize(principal: &Principal, tenant: &TenantId) -> Result<Self, AccessDenied> {
        Self::authorize_for(principal, tenant, Interaction::Read, None)
    }

    /// Authorizes a principal to look into the log of accesses of the tenant that a request names.
    pub fn authorize_audit(principal: &Principal, tenant: &TenantId) -> Result<Self, AccessDenied> {
        Self::authorize_for(principal, tenant, Interaction::Audit, None)
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

    /// Who vouches for the subject: the token's issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who asked; a name of the issuer's.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The application that asked, where its token names one. With the subject it is the client whose own writes a search must find.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether a store may give resources of this type. What of them may be shown is [`ReadAccess::leave`].
    pub fn allows(&self, resource_type: ResourceType) -> bool {
        self.types.contains(resource_type)
    }

    /// Whether this is leave to look into the log of accesses.
    pub fn is_for_audit(&self) -> bool {
        self.interaction == Interaction::Audit
    }

    /// What of a type may be shown.
    pub fn leave(&self, resource_type: ResourceType) -> Leave<'_> {
        self.grants.leave(self.interaction, resource_type)
    }

    /// The same principal's leave for another interaction that reads.
    pub fn looking(&self, interaction: Interaction) -> Self {
        let types = if interaction.writes() { TypeSet::default() } else { self.grants.types(interaction) };
        Self { interaction, types, ..self.clone() }
    }

    /// A digest of what may be shown, to bind what was handed out to it: alike for alike grants, and for no others.
    pub fn extent(&self) -> [u8; 32] {
        self.grants.digest()
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

    /// Whether this interaction is granted on this type, be it within limits.
    pub fn permits(&self, interaction: Interaction, resource_type: ResourceType) -> bool {
        self.read.grants.types(interaction).contains(resource_type)
    }

    /// Of which resources of a type this interaction is granted.
    pub fn leave(&self, interaction: Interaction, resource_type: ResourceType) -> Leave<'_> {
        self.read.grants.leave(interaction, resource_type)
    }

    /// What a write itself must look at to decide: the stored version, what criteria find. It covers every type that anything is
    /// granted on, so what it gives is judged by [`WriteAccess::leave`], and shown only by [`WriteAccess::reading`].
    pub fn as_read(&self) -> &ReadAccess {
        &self.read
    }

    /// Leave for an interaction that reads, on what it is granted on: for the entries of a Bundle, for criteria (search), for what
    /// is shown of a stored resource (read).
    pub fn reading(&self, interaction: Interaction) -> ReadAccess {
        self.read.looking(interaction)
    }
}

#[cfg(test)]
mod tests {
    use fhirpool_fhir::ResourceId;

    use super::*;
    use crate::Policy;
    use crate::smart::{Launch, Scopes};

    fn principal(tenant: &str, group: &str) -> Principal {
        let (tenant, groups) = (TenantId::parse(tenant).expect("a tenant"), [group.to_owned()]);
        Principal {
            grants: Arc::new(Policy::default().grants(&tenant, &groups, &Scopes::default(), &Launch::default())),
            groups: groups.into(),
            ..Principal::operator(tenant)
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
        assert_eq!(
            ReadAccess::authorize_for(&auditor, auditor.tenant(), Interaction::HistoryType, None).err(),
            Some(AccessDenied::Forbidden)
        );
    }

    /// A patient's application: what it may look at is in the compartment of its own patient.
    fn launched(patient: &str) -> Principal {
        let (tenant, id) = (TenantId::parse("acme").expect("a tenant"), ResourceId::parse(patient).expect("an id"));
        let scopes = Scopes::parse(&["patient/Patient.rs".to_owned(), "patient/Observation.rs".to_owned()]);
        let launch = Launch { patient: Some(id), ..Launch::default() };
        let groups = ["practitioner".to_owned()];
        Principal { grants: Arc::new(Policy::default().grants(&tenant, &groups, &scopes, &launch)), ..Principal::operator(tenant) }
    }

    #[test]
    fn an_access_of_one_compartment_is_none_for_another() {
        let access = |patient| {
            let principal = launched(patient);
            ReadAccess::authorize_for(&principal, principal.tenant(), Interaction::Read, None).expect("granted")
        };
        let (one, other) = (access("1"), access("2"));
        for name in ["Patient", "Observation"] {
            let Leave::Within(limits) = one.leave(named(name)) else { panic!("{name} is limited") };
            let compartments: Vec<String> = limits.iter().map(|limit| limit.compartment.as_ref().expect("one").to_string()).collect();
            assert_eq!(compartments, ["Patient/1"], "{name}");
        }
        // What was handed out under the one is worth nothing under the other.
        assert_ne!(one.extent(), other.extent());
        assert_eq!(one.leave(named("Condition")), Leave::Denied);
        assert!(!one.allows(named("Condition")));
        // It may post a Bundle, whose entries only look.
        let write = WriteAccess::authorize(&launched("1"), one.tenant()).expect("granted");
        assert!(!write.allows(named("Patient")));
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
