//! Who asks.

use std::sync::Arc;

use crate::{Grants, Launch, TenantId};
#[cfg(feature = "testing")]
use crate::{Policy, smart::Scopes};

/// The issuer of whoever sits at the machine itself.
pub(crate) const OPERATOR_ISSUER: &str = "urn:fhirpool:operator";

/// Someone whose token was verified. Two tenants' principals are never the same, whatever their subject says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub(crate) tenant: TenantId,
    pub(crate) issuer: Arc<str>,
    pub(crate) subject: Arc<str>,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) groups: Arc<[String]>,
    pub(crate) scopes: Arc<[String]>,
    pub(crate) launch: Launch,
    pub(crate) grants: Arc<Grants>,
}

impl Principal {
    /// The person at the machine itself, who holds the data folder and its keys: for the command line and for tests of
    /// stores, never for a request. May do everything in this tenant.
    pub fn operator(tenant: TenantId) -> Self {
        Self {
            tenant,
            issuer: OPERATOR_ISSUER.into(),
            subject: "operator".into(),
            client: None,
            groups: [].into(),
            scopes: [].into(),
            launch: Launch::default(),
            grants: Arc::new(Grants::everything()),
        }
    }

    /// Someone with the default grants of these groups, for tests of what an access covers.
    #[cfg(feature = "testing")]
    pub fn in_groups(tenant: TenantId, groups: &[&str]) -> Self {
        Self::with(&Policy::default(), tenant, groups, &[], Launch::default())
    }

    /// Someone whose token says this, for tests of what an access covers.
    #[cfg(feature = "testing")]
    pub fn with(policy: &Policy, tenant: TenantId, groups: &[&str], scopes: &[&str], launch: Launch) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (groups, scopes) = (texts(groups), texts(scopes));
        let grants = policy.grants(&tenant, &groups, &Scopes::parse(&scopes), &launch).into();
        Self { subject: "test".into(), grants, groups: groups.into(), scopes: scopes.into(), launch, ..Self::operator(tenant) }
    }

    /// The tenant whose token this is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The issuer (`iss`).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject (`sub`), unique within the issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The application, where the token names one.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The groups (`cognito:groups`).
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The scopes, as they came in.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The context of a SMART launch.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// What groups and scopes grant.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }
}
