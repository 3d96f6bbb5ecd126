//! Who asks.

use std::sync::Arc;

use crate::{Grants, TenantId};

/// Someone whose token was verified. Two tenants' principals are never the same, whatever their subject says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub(crate) tenant: TenantId,
    pub(crate) issuer: Arc<str>,
    pub(crate) subject: Arc<str>,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) groups: Arc<[String]>,
    pub(crate) scopes: Arc<[String]>,
    pub(crate) grants: Arc<Grants>,
}

impl Principal {
    /// The person at the machine itself, who holds the data folder and its keys: for the command line and for tests of
    /// stores, never for a request. May do everything in this tenant.
    pub fn operator(tenant: TenantId) -> Self {
        let groups = ["practitioner".to_owned()];
        Self {
            tenant,
            issuer: "urn:fhirpool:operator".into(),
            subject: "operator".into(),
            client: None,
            grants: Arc::new(Grants::of_groups(&groups)),
            groups: groups.into(),
            scopes: [].into(),
        }
    }

    /// Someone with the grants of these groups, for tests of what an access covers.
    #[cfg(feature = "testing")]
    pub fn in_groups(tenant: TenantId, groups: &[&str]) -> Self {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { subject: "test".into(), grants: Arc::new(Grants::of_groups(&groups)), groups: groups.into(), ..Self::operator(tenant) }
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

    /// What the groups grant.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }
}
