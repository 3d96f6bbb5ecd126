//! Where tenants are, as the settings say.

use std::sync::Arc;

use fhirpool_authz::{AddressError, TenantAddresses};

use super::{Config, ConfigError};

/// Of the settings `base_url` and `tenant_address`, wherever they were given.
pub(crate) fn tenant_addresses(base_url: &str, given: &[String]) -> Result<TenantAddresses, ConfigError> {
    let server = Some(base_url).filter(|url| !url.is_empty());
    TenantAddresses::new(server, given.iter().map(String::as_str)).map_err(|error| {
        let AddressError { is_servers, found, allowed } = error;
        let setting = if is_servers { "base_url, beside tenant_address" } else { "tenant_address" };
        ConfigError::Refused { setting, found, allowed: allowed.to_owned() }
    })
}

impl Config {
    /// Where tenants are.
    pub(crate) fn addresses(&self) -> Arc<TenantAddresses> {
        Arc::new(tenant_addresses(&self.base_url, &self.tenant_address).expect("the settings were checked when they were put together"))
    }

    pub(super) fn check_addresses(&self) -> Result<(), ConfigError> {
        let addresses = tenant_addresses(&self.base_url, &self.tenant_address)?;
        if !self.default_tenant.is_empty() && addresses.are_at_server() {
            return Err(ConfigError::Refused {
                setting: "tenant_address",
                found: self.tenant_address.join(", "),
                allowed: "other hosts than that of base_url, which is all the default_tenant's".to_owned(),
            });
        }
        Ok(())
    }
}
