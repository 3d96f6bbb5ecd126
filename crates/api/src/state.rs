//! What the API works with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_audit::AuditTrail;
use fhirpool_authz::{TenantAddresses, TenantId, TokenVerifier};
use fhirpool_interactions::Interactions;
use fhirpool_storage::SignedContent;
use fhirpool_storage::tenants::TenantDirectory;

use crate::NodeQuotas;

/// What the API works with.
pub struct ApiState {
    /// What FHIR's interactions do.
    pub interactions: Interactions,
    /// Serves the signed URLs of content; `None`: they lead elsewhere.
    pub signed_content: Option<Arc<dyn SignedContent>>,
    /// Whose tokens are accepted.
    pub verifier: Arc<TokenVerifier>,
    /// How tenants stand. Someone refreshes it.
    pub tenants: Arc<TenantDirectory>,
    /// Begins to remove a tenant that is being deleted, or does nothing where that is under way here.
    pub remove_tenant: Box<dyn Fn(&TenantId) + Send + Sync>,
    /// How much tenants and applications may ask.
    pub quotas: NodeQuotas,
    /// Notes every access; `None`: none is.
    pub audit: Option<AuditTrail>,
    /// Settings.
    pub settings: Settings,
    /// Whether requests can be served now (`/health/ready`).
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address clients reach the server by, without `/tenant/…` and without a slash at its end; `None`: each request's own.
    pub base_url: Option<String>,
    /// Whether the server itself speaks TLS.
    pub https: bool,
    /// The tenant that is also served without `/tenant/<id>`.
    pub default_tenant: Option<TenantId>,
    /// Tenants' bases besides `/tenant/<id>`.
    pub addresses: Arc<TenantAddresses>,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Web origins that browsers may call from; `*` for all; empty: no CORS.
    pub cors_origins: Vec<String>,
    /// Largest request body in bytes, after decompression.
    pub body_bytes_max: usize,
    /// Longest request target in bytes.
    pub url_bytes_max: usize,
    /// Most bytes of request headers, names and values.
    pub header_bytes_max: usize,
    /// How long one request may take, its body included.
    pub request_time_max: Duration,
    /// The issuer named in `.well-known/smart-configuration`; empty: none.
    pub issuer_url: String,
    /// Whether requests are counted and timed for the recorder of metrics, which is then to be installed before the router is
    /// made, and how many tenants by name.
    pub metrics_tenants_max: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: None,
            https: false,
            default_tenant: None,
            addresses: Arc::default(),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            body_bytes_max: 256 << 20,
            url_bytes_max: 64 << 10,
            header_bytes_max: 64 << 10,
            request_time_max: Duration::from_secs(300),
            issuer_url: String::new(),
            metrics_tenants_max: None,
        }
    }
}
