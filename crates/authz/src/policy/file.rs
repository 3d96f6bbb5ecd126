//! The access file: roles, issuers and the authorization server in TOML, checked as a whole.
//!
//! ```toml
//! defaults = true              # begin with the roles of FHIR Works (default: true where there is no [[rule]], else false)
//! scopes_alone = false         # whether SMART scopes grant to a token without a group
//! shared_types = []            # types outside of every patient's compartment that patient/ scopes may look at
//! api_keys_required = false    # true: no request with a token goes without a good x-api-key
//!
//! [[rule]]
//! effect = "allow"             # or "deny", which wins
//! groups = ["nurse"]           # or ["*"]: whoever has a token of the tenant
//! types = ["Observation"]      # or ["*"]
//! interactions = ["read", "vread", "search"]   # or ["*"]
//! operations = ["$everything"]                 # or ["*"]; default: none
//!
//! [tenant.acme]
//! inherit = true               # begin with the rules of the deployment (default: true)
//! rule = [{ effect = "deny", groups = ["auditor"], types = ["*"], interactions = ["*"] }]
//!
//! [quota]                      # of each tenant
//! points_per_second = 500      # a read costs 1, a history 10, a search 20, a write 100, a Bundle its entries
//! burst_points = 5000          # default: four seconds' worth
//! requests_at_once = 200
//! stored_resources = 1000000   # deletions and versions that are superseded not counted
//! stored_bytes = 10000000000   # of JSON, every version counted
//! body_bytes = 10485760        # of a request, where body_bytes_max allows more
//!
//! [application_quota]          # of each application within a tenant
//! points_per_second = 100
//!
//! [[api_key]]
//! name = "portal"
//! sha256 = "…"                  # of the key, in hexadecimal digits
//! quota = { points_per_second = 50 }
//!
//! [[issuer]]
//! url = "https://issuer.example"         # the claim iss; discovery is below it
//! audiences = ["my-app"]                 # of which aud (or client_id) must name one
//! admin_audiences = []                   # of which aud must name one of tokens for /admin (default: it issues none)
//! jwks_uri = "https://issuer.example/k"  # default: what discovery says
//! algorithm = "RS256"                    # the one of all its keys (default)
//! token_uses = ["id", "access"]          # of token_use; default: it is not looked at
//! audience_bases = ["https://fhir.example"]  # aud may be <base>/tenant/<tenant id>, or a base of the tenant's own
//! tenants = ["acme"]                     # whose tokens it may issue; default: all
//!
//! [authorization_server]                 # what .well-known/smart-configuration tells
//! issuer = "https://issuer.example"
//! token_endpoint = "https://issuer.example/token"
//! capabilities = ["launch-standalone", "client-public"]
//! ```

use std::collections::HashMap;

use serde::Deserialize;

use super::tenant::TenantText;
use super::texts::{
    IssuerText, PolicyError, QuotaText, RateText, RuleText, SAFE_ADDRESS, read_issuer, read_quota, read_rate, read_rules, read_tenants,
    types,
};
use super::{Policy, Rules, default_rules};
use crate::quota::{QuotaRules, TenantQuota};
use crate::token::{RemoteIssuer, is_safe_address};
use crate::{ApiKey, ApiKeys, TenantId};

/// What an access file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessFile {
    /// The roles.
    pub policy: Policy,
    /// Issuers elsewhere.
    pub issuers: Vec<RemoteIssuer>,
    /// Where clients get their tokens.
    pub authorization_server: Option<AuthorizationServer>,
    /// How much may be asked.
    pub quotas: QuotaRules,
}

/// Where clients get their tokens, as a file has it and SMART App Launch names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServer {
    /// Its issuer.
    pub issuer: String,
    /// Where users authorize applications.
    pub authorization_endpoint: Option<String>,
    /// Where applications get tokens.
    pub token_endpoint: Option<String>,
    /// Its keys.
    pub jwks_uri: Option<String>,
    /// Where tokens are introspected.
    pub introspection_endpoint: Option<String>,
    /// Where tokens are revoked.
    pub revocation_endpoint: Option<String>,
    /// Where applications register themselves.
    pub registration_endpoint: Option<String>,
    /// Where users look after what they have granted.
    pub management_endpoint: Option<String>,
    /// What it does of SMART App Launch.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    defaults: Option<bool>,
    #[serde(default)]
    scopes_alone: bool,
    #[serde(default)]
    shared_types: Vec<String>,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    tenant: std::collections::BTreeMap<String, TenantText>,
    quota: Option<QuotaText>,
    application_quota: Option<RateText>,
    #[serde(default)]
    api_keys_required: bool,
    #[serde(default)]
    api_key: Vec<ApiKeyText>,
    #[serde(default)]
    issuer: Vec<IssuerText>,
    authorization_server: Option<AuthorizationServer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyText {
    name: String,
    sha256: String,
    #[serde(default)]
    tenants: Vec<String>,
    quota: Option<RateText>,
}

impl AccessFile {
    /// Reads an access file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: FileText = toml::from_str(text).map_err(|error| PolicyError(error.to_string().trim_end().to_owned()))?;
        let mut rules = match file.defaults.unwrap_or(file.rule.is_empty()) {
            true => default_rules(),
            false => Vec::new(),
        };
        rules.extend(read_rules("", &file.rule)?);
        let shared_types = types("shared_types", &file.shared_types)?;
        let deployment = Rules { rules, scopes_alone: file.scopes_alone, shared_types };
        let mut policy = Policy { deployment, tenants: HashMap::new(), own: HashMap::new() };
        let of_deployment = read_quota("", file.quota.as_ref(), file.application_quota.as_ref(), TenantQuota::default())?;
        let api_keys = read_api_keys(&file.api_key, file.api_keys_required)?;
        let mut quotas = QuotaRules { deployment: of_deployment, api_keys, ..QuotaRules::default() };
        let issuers = file.issuer.into_iter().map(read_issuer).collect::<Result<Vec<_>, _>>()?;
        for (name, tenant) in &file.tenant {
            let id = TenantId::parse(name)
                .ok_or_else(|| PolicyError(format!("found the tenant {name:?}; allowed: 1 to 64 letters, digits, `-` and `_`")))?;
            let place = format!("tenant.{name}.");
            quotas.tenants.insert(id.clone(), tenant.quota(&place, quotas.deployment)?);
            if !tenant.issuer.is_empty() {
                return Err(PolicyError(format!("{place}issuer: found one; allowed: [[issuer]] with tenants = [{name:?}]")));
            }
            let rules = tenant.rules(&place, &policy.deployment)?;
            policy.tenants.insert(id, rules);
        }
        for (index, issuer) in issuers.iter().enumerate() {
            if issuers[..index].iter().any(|other| other.url == issuer.url) {
                return Err(PolicyError(format!("issuer: found {:?} twice; allowed: each once", issuer.url)));
            }
        }
        if let Some(server) = &file.authorization_server {
            check_server(server)?;
        }
        Ok(Self { policy, issuers, authorization_server: file.authorization_server, quotas })
    }
}

impl Policy {
    /// Reads the roles of an access file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Ok(AccessFile::parse(text)?.policy)
    }

    /// The tenants that have rules of their own.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }
}

fn read_api_keys(texts: &[ApiKeyText], is_required: bool) -> Result<ApiKeys, PolicyError> {
    let mut keys: Vec<ApiKey> = Vec::with_capacity(texts.len());
    for ApiKeyText { name, sha256, tenants, quota } in texts {
        let place = format!("api_key {name:?}");
        let digest = digest_of(sha256)
            .ok_or_else(|| PolicyError(format!("{place}: sha256: found something else; allowed: 64 hexadecimal digits")))?;
        if name.is_empty() || keys.iter().any(|other| other.name == *name || other.digest == digest) {
            return Err(PolicyError(format!("{place}: found no name, or a name or key twice; allowed: each once")));
        }
        let rate =
            quota.as_ref().map(|rate| read_rate(&format!("{place}: quota"), rate.points_per_second, rate.burst_points)).transpose()?;
        keys.push(ApiKey { name: name.clone(), digest, tenants: read_tenants(&place, tenants)?, rate });
    }
    if is_required && keys.is_empty() {
        return Err(PolicyError("api_keys_required: found true without an api_key; allowed: with one, or nobody gets in".to_owned()));
    }
    Ok(ApiKeys::new(keys, is_required))
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}

fn check_server(server: &AuthorizationServer) -> Result<(), PolicyError> {
    let endpoints = [
        ("issuer", Some(&server.issuer)),
        ("authorization_endpoint", server.authorization_endpoint.as_ref()),
        ("token_endpoint", server.token_endpoint.as_ref()),
        ("jwks_uri", server.jwks_uri.as_ref()),
        ("introspection_endpoint", server.introspection_endpoint.as_ref()),
        ("revocation_endpoint", server.revocation_endpoint.as_ref()),
        ("registration_endpoint", server.registration_endpoint.as_ref()),
        ("management_endpoint", server.management_endpoint.as_ref()),
    ];
    match endpoints.into_iter().find_map(|(name, uri)| uri.filter(|uri| !is_safe_address(uri)).map(|uri| (name, uri))) {
        Some((name, uri)) => Err(PolicyError(format!("authorization_server: {name}: found {uri:?}; allowed: {SAFE_ADDRESS}"))),
        None => Ok(()),
    }
}
