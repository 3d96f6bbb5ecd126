//! Keys of applications (`x-api-key`), beside the token of whoever uses them. Kept as digests: a key is random, so that its
//! SHA-256 tells nothing of it.

use std::collections::HashMap;

use crate::{Rate, TenantId};

/// The key of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name, for quotas and logs.
    pub name: String,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// The tenants that it may be used with; empty: all.
    pub tenants: Vec<TenantId>,
    /// How much may be asked with it, in each tenant.
    pub rate: Option<Rate>,
}

/// The keys of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiKeys {
    by_digest: HashMap<[u8; 32], ApiKey>,
    is_required: bool,
}

/// No key of this tenant came where one must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of this application is required in x-api-key")]
pub struct ApiKeyRefused;

impl ApiKeys {
    /// These keys; `is_required`: no request with a token goes without one.
    pub fn new(keys: Vec<ApiKey>, is_required: bool) -> Self {
        Self { by_digest: keys.into_iter().map(|key| (key.digest, key)).collect(), is_required }
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty() && !self.is_required
    }

    /// The key that a request brings. One that is not known, or another tenant's, is refused even where none is required: who
    /// sends one expects that it counts.
    pub fn check(&self, tenant: &TenantId, given: Option<&str>) -> Result<Option<&ApiKey>, ApiKeyRefused> {
        let Some(given) = given else { return if self.is_required { Err(ApiKeyRefused) } else { Ok(None) } };
        let digest = ring::digest::digest(&ring::digest::SHA256, given.as_bytes());
        let key = self.by_digest.get(digest.as_ref()).filter(|key| key.tenants.is_empty() || key.tenants.contains(tenant));
        key.map(Some).ok_or(ApiKeyRefused)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(name: &str, text: &str, tenants: &[&str]) -> ApiKey {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap();
        let tenants = tenants.iter().map(|tenant| TenantId::parse(tenant).unwrap()).collect();
        ApiKey { name: name.into(), digest, tenants, rate: None }
    }

    #[test]
    fn a_key_counts_in_its_tenants_alone() {
        let keys = || vec![key("portal", "secret-1", &["acme"]), key("app", "secret-2", &[])];
        let (acme, other) = (TenantId::parse("acme").unwrap(), TenantId::parse("acme1").unwrap());
        for is_required in [false, true] {
            let keys = ApiKeys::new(keys(), is_required);
            let name = |tenant: &TenantId, given: Option<&str>| keys.check(tenant, given).map(|key| key.map(|key| key.name.clone()));
            assert_eq!(name(&acme, Some("secret-1")), Ok(Some("portal".into())));
            assert_eq!(name(&other, Some("secret-1")), Err(ApiKeyRefused));
            assert_eq!(name(&other, Some("secret-2")), Ok(Some("app".into())));
            for wrong in ["", "secret-3", "SECRET-1", "secret-1 "] {
                assert_eq!(name(&acme, Some(wrong)), Err(ApiKeyRefused), "{wrong:?}");
            }
            assert_eq!(name(&acme, None), if is_required { Err(ApiKeyRefused) } else { Ok(None) });
        }
        assert!(ApiKeys::default().is_empty() && !ApiKeys::new(Vec::new(), true).is_empty());
    }
}
