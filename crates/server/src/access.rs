//! Roles, issuers elsewhere and the authorization server, as the access file has them.

use std::path::Path;
use std::sync::Arc;

use fhirpool_authz::{AccessFile, Issuer, TenantAddresses, TokenVerifier};
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

/// A verifier of the tokens of all issuers, and what keeps the keys of those elsewhere fresh, where there are any.
pub(crate) fn verifier(
    file: &AccessFile,
    local: Option<Issuer>,
    addresses: Arc<TenantAddresses>,
) -> Result<(Arc<TokenVerifier>, Option<JoinHandle<()>>), StartError> {
    let issuers = file.issuers.iter().map(|issuer| issuer.issuer()).chain(local).collect();
    let verifier = Arc::new(TokenVerifier::with_policy(issuers, file.policy.clone()).at(addresses));
    if file.issuers.is_empty() {
        return Ok((verifier, None));
    }
    let watching = Issuers::new(file.issuers.clone(), Settings::default()).map_err(StartError::Issuers)?.start(&verifier);
    Ok((verifier, Some(watching)))
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
