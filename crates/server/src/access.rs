//! Roles, issuers elsewhere and the authorization server, as the access file has them.

use std::path::Path;
use std::sync::Arc;

use fhirpool_authz::{AccessFile, CurrentQuotas, Issuer, TenantAccess, TenantAddresses, TenantId, TokenVerifier};
use fhirpool_interactions::{CapabilityCache, Security};
use fhirpool_issuers::{Issuers, Settings};
use tokio::task::JoinHandle;

use crate::StartError;
use crate::config::ConfigError;

/// Reads the access file; without one, the defaults.
pub(crate) fn load(path: &Path) -> Result<AccessFile, ConfigError> {
    if path.as_os_str().is_empty() {
        return Ok(AccessFile::default());
    }
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    AccessFile::parse(&text).map_err(|cause| ConfigError::Access { path: path.to_owned(), cause })
}

/// Who may do what and how much: by the access file, and by the records of tenants.
pub(crate) struct Access {
    pub verifier: Arc<TokenVerifier>,
    issuers: Arc<Issuers>,
    pub quotas: Arc<CurrentQuotas>,
}

impl Access {
    /// By the access file, and the tokens of the server's own issuer, if it has one.
    pub(crate) fn new(file: &AccessFile, local: Option<Issuer>, addresses: Arc<TenantAddresses>) -> Result<Self, StartError> {
        let accepted = file.issuers.iter().map(|issuer| issuer.issuer()).chain(local).collect();
        let verifier = Arc::new(TokenVerifier::with_policy(accepted, file.policy.clone()).at(addresses));
        let issuers = Issuers::new(file.issuers.clone(), Settings::default()).map_err(StartError::Issuers)?;
        Ok(Self { verifier, issuers: Arc::new(issuers), quotas: Arc::new(file.quotas.clone().into()) })
    }

    /// Keeps the keys of issuers elsewhere fresh, until the handle is aborted.
    pub(crate) fn watch_issuers(&self) -> JoinHandle<()> {
        self.issuers.start(&self.verifier)
    }

    /// Gives a tenant what its record says from now on. What this version does not understand, as a later one has written it, closes
    /// the tenant: it may be a prohibition.
    pub(crate) fn set_tenant(&self, tenant: &TenantId, json: Option<&str>) {
        let read = json.map_or(Ok(None), |json| TenantAccess::parse(tenant, json));
        let access = read.unwrap_or_else(|error| {
            tracing::error!(%tenant, %error, "the tenant's record says what this version does not understand: nobody gets in");
            Some(TenantAccess::closed())
        });
        self.quotas.set_tenant(tenant, access.as_ref());
        self.issuers.set_tenant(tenant, access.as_ref().map(TenantAccess::issuers).unwrap_or_default());
        self.verifier.set_tenant(tenant, access.as_ref());
    }
}

/// What the server says of where clients get their tokens.
pub(crate) fn capability_cache(file: &AccessFile, cors: bool) -> CapabilityCache {
    let server = file.authorization_server.clone().unwrap_or_default();
    CapabilityCache::with_security(Security {
        cors,
        issuer: server.issuer,
        authorization_endpoint: server.authorization_endpoint,
        token_endpoint: server.token_endpoint,
        jwks_uri: server.jwks_uri,
        introspection_endpoint: server.introspection_endpoint,
        revocation_endpoint: server.revocation_endpoint,
        registration_endpoint: server.registration_endpoint,
        management_endpoint: server.management_endpoint,
        capabilities: server.capabilities,
    })
}
