//! Issuers elsewhere, whose keys are fetched.

use async_trait::async_trait;

use super::{Algorithm, Issuer, IssuerName, KeySet};
use crate::TenantId;

/// An issuer elsewhere, as the deployment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIssuer {
    /// The claim `iss`, byte for byte; discovery is at `<url>/.well-known/openid-configuration`.
    pub url: String,
    /// Where its keys are; `None`: where discovery says.
    pub jwks_uri: Option<String>,
    /// The algorithm of all its keys.
    pub algorithm: Algorithm,
    /// As [`Issuer::audiences`].
    pub audiences: Vec<String>,
    /// As [`Issuer::admin_audiences`].
    pub admin_audiences: Vec<String>,
    /// As [`Issuer::tenant_audience_bases`].
    pub tenant_audience_bases: Vec<String>,
    /// As [`Issuer::token_uses`].
    pub token_uses: Vec<String>,
    /// As [`Issuer::tenants`].
    pub tenants: Vec<TenantId>,
}

impl RemoteIssuer {
    /// What a [`super::TokenVerifier`] needs; without keys until some are fetched, so that its tokens are refused.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            url: self.url.clone(),
            audiences: self.audiences.clone(),
            admin_audiences: self.admin_audiences.clone(),
            tenant_audience_bases: self.tenant_audience_bases.clone(),
            token_uses: self.token_uses.clone(),
            tenants: self.tenants.clone(),
            keys: KeySet::default(),
        }
    }
}

/// Fetches the keys of issuers elsewhere.
///
/// Contract: keys are fetched over https or from this machine, under limits of time and size, and not more often than a floor
/// allows, however often this is called.
#[async_trait]
pub trait KeySource: std::fmt::Debug + Send + Sync {
    /// The keys that an issuer has, as far as they are known after a question, or without one where it was asked lately; `None`: it
    /// is none of this source, or no keys of its are known. A call while another one asks waits for that, and one that is given up
    /// leaves its answer to others.
    async fn keys(&self, issuer: &IssuerName) -> Option<KeySet>;
}

/// Whether keys may be fetched from an address: over https, or over http from this machine.
pub fn is_safe_address(address: &str) -> bool {
    let (is_https, rest) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return false,
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'"' | b'<' | b'>' | b'\\');
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !host.is_empty() && rest.bytes().all(is_plain) && (is_https || matches!(host, "localhost" | "127.0.0.1" | "::1"))
}
