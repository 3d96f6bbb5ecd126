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

use fhirpool_fhir::ResourceType;
use serde::Deserialize;

use super::{Effect, Groups, Policy, Rule, Rules, default_rules};
use crate::TenantId;
use crate::quota::{QuotaRules, Rate, TenantQuota};
use crate::token::{Algorithm, RemoteIssuer, is_safe_address};
use crate::types::{Interaction, InteractionSet, TypeSet};
use crate::{ApiKey, ApiKeys};

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

/// Why an access file is refused: a sentence that names the place, what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("access file: {0}")]
pub struct PolicyError(String);

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
    tenant: std::collections::BTreeMap<String, TenantFile>,
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
struct IssuerText {
    url: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    admin_audiences: Vec<String>,
    jwks_uri: Option<String>,
    algorithm: Option<String>,
    #[serde(default)]
    token_uses: Vec<String>,
    #[serde(default)]
    audience_bases: Vec<String>,
    #[serde(default)]
    tenants: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    inherit: Option<bool>,
    scopes_alone: Option<bool>,
    shared_types: Option<Vec<String>>,
    quota: Option<QuotaText>,
    application_quota: Option<RateText>,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaText {
    points_per_second: Option<u32>,
    burst_points: Option<u32>,
    requests_at_once: Option<u32>,
    stored_resources: Option<u64>,
    stored_bytes: Option<u64>,
    body_bytes: Option<u64>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateText {
    points_per_second: u32,
    burst_points: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    effect: String,
    groups: Vec<String>,
    types: Vec<String>,
    #[serde(default)]
    interactions: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
}

/// More rules of one tenant are refused.
const RULES_MAX: usize = 1000;

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
        let mut policy = Policy { deployment, tenants: Default::default() };
        let of_deployment = read_quota("", file.quota.as_ref(), file.application_quota.as_ref(), TenantQuota::default())?;
        let api_keys = read_api_keys(&file.api_key, file.api_keys_required)?;
        let mut quotas = QuotaRules { deployment: of_deployment, api_keys, ..QuotaRules::default() };
        for (name, tenant) in &file.tenant {
            let id = TenantId::parse(name)
                .ok_or_else(|| PolicyError(format!("found the tenant {name:?}; allowed: 1 to 64 letters, digits, `-` and `_`")))?;
            let place = format!("tenant.{name}.");
            let mut rules = match tenant.inherit.unwrap_or(true) {
                true => policy.deployment.rules.clone(),
                false => Vec::new(),
            };
            rules.extend(read_rules(&place, &tenant.rule)?);
            let shared_types = match &tenant.shared_types {
                Some(names) => types(&format!("{place}shared_types"), names)?,
                None => policy.deployment.shared_types,
            };
            let scopes_alone = tenant.scopes_alone.unwrap_or(policy.deployment.scopes_alone);
            let quota = read_quota(&place, tenant.quota.as_ref(), tenant.application_quota.as_ref(), quotas.deployment)?;
            quotas.tenants.insert(id.clone(), quota);
            policy.tenants.insert(id, Rules { rules, scopes_alone, shared_types });
        }
        let issuers = file.issuer.into_iter().map(read_issuer).collect::<Result<Vec<_>, _>>()?;
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

fn read_rules(place: &str, texts: &[RuleText]) -> Result<Vec<Rule>, PolicyError> {
    if texts.len() > RULES_MAX {
        return Err(PolicyError(format!("{place}rule: found {} rules; allowed: {RULES_MAX}", texts.len())));
    }
    texts.iter().enumerate().map(|(index, text)| read_rule(&format!("{place}rule {}", index + 1), text)).collect()
}

fn read_rule(place: &str, text: &RuleText) -> Result<Rule, PolicyError> {
    let effect = match text.effect.as_str() {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        other => return Err(PolicyError(format!("{place}: effect: found {other:?}; allowed: allow, deny"))),
    };
    if text.groups.is_empty() || text.groups.iter().any(|group| group.is_empty()) {
        return Err(PolicyError(format!("{place}: groups: found no name; allowed: names of groups, or \"*\" alone")));
    }
    let groups = match text.groups.as_slice() {
        [all] if all == "*" => Groups::Everyone,
        names if names.iter().any(|name| name == "*") => {
            return Err(PolicyError(format!("{place}: groups: found \"*\" among names; allowed: names of groups, or \"*\" alone")));
        }
        names => Groups::Named(names.to_vec()),
    };
    if text.types.is_empty() || text.interactions.is_empty() && text.operations.is_empty() {
        return Err(PolicyError(format!(
            "{place}: found no types or no interactions and operations; allowed: a type, and an interaction or operation, or \"*\""
        )));
    }
    let named = interactions(&format!("{place}: interactions"), &text.interactions, &Interaction::ALL, &[Interaction::Audit])?;
    let operations = interactions(&format!("{place}: operations"), &text.operations, &Interaction::OPERATIONS, &[])?;
    let interactions = named.iter().chain(operations.iter()).collect();
    Ok(Rule { effect, groups, types: types(&format!("{place}: types"), &text.types)?, interactions })
}

fn types(place: &str, names: &[String]) -> Result<TypeSet, PolicyError> {
    if let [all] = names
        && all == "*"
    {
        return Ok(TypeSet::all());
    }
    let parse = |name: &String| {
        ResourceType::parse(name)
            .ok_or_else(|| PolicyError(format!("{place}: found {name:?}; allowed: resource types of FHIR R4, or \"*\" alone")))
    };
    names.iter().map(parse).collect()
}

/// Of those that `"*"` stands for, and of `more`, which are named alone.
fn interactions(place: &str, names: &[String], all: &[Interaction], more: &[Interaction]) -> Result<InteractionSet, PolicyError> {
    if let [star] = names
        && star == "*"
    {
        return Ok(all.iter().copied().collect());
    }
    let allowed = || all.iter().chain(more).copied();
    let parse = |name: &String| {
        allowed().find(|interaction| interaction.name() == name).ok_or_else(|| {
            let allowed: Vec<&str> = allowed().map(Interaction::name).collect();
            PolicyError(format!("{place}: found {name:?}; allowed: {}, or \"*\" alone", allowed.join(", ")))
        })
    };
    names.iter().map(parse).collect()
}

/// What is not said is as elsewhere.
fn read_quota(
    place: &str,
    quota: Option<&QuotaText>,
    application: Option<&RateText>,
    elsewhere: TenantQuota,
) -> Result<TenantQuota, PolicyError> {
    let rate = |name: &str, points_per_s, burst_points| read_rate(&format!("{place}{name}"), points_per_s, burst_points);
    let mut read = elsewhere;
    if let Some(quota) = quota {
        read.tenant = match (quota.points_per_second, quota.burst_points) {
            (Some(points_per_s), burst_points) => Some(rate("quota", points_per_s, burst_points)?),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(PolicyError(format!("{place}quota: found burst_points alone; allowed: with points_per_second")));
            }
        };
        if quota.requests_at_once == Some(0) {
            return Err(PolicyError(format!("{place}quota: requests_at_once: found 0; allowed: 1 to {}", u32::MAX)));
        }
        if quota.body_bytes == Some(0) {
            return Err(PolicyError(format!("{place}quota: body_bytes: found 0; allowed: 1 to {}", u64::MAX)));
        }
        read.requests_at_once_max = quota.requests_at_once;
        read.stored_resources_max = quota.stored_resources;
        read.stored_bytes_max = quota.stored_bytes;
        read.body_bytes_max = quota.body_bytes;
    }
    if let Some(application) = application {
        read.application = Some(rate("application_quota", application.points_per_second, application.burst_points)?);
    }
    Ok(read)
}

fn read_rate(place: &str, points_per_s: u32, burst_points: Option<u32>) -> Result<Rate, PolicyError> {
    let burst_points = burst_points.unwrap_or(points_per_s.saturating_mul(4));
    if points_per_s == 0 || burst_points == 0 {
        return Err(PolicyError(format!("{place}: found 0 points; allowed: 1 to {}", u32::MAX)));
    }
    Ok(Rate { points_per_s, burst_points })
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

fn read_tenants(place: &str, names: &[String]) -> Result<Vec<TenantId>, PolicyError> {
    let parse = |name: &String| {
        TenantId::parse(name)
            .ok_or_else(|| PolicyError(format!("{place}: tenants: found {name:?}; allowed: 1 to 64 letters, digits, `-` and `_`")))
    };
    names.iter().map(parse).collect()
}

/// What an address may be.
const SAFE_ADDRESS: &str = "an https URL without query or fragment, or an http one of this machine";

fn read_issuer(text: IssuerText) -> Result<RemoteIssuer, PolicyError> {
    let place = format!("issuer {:?}", text.url);
    if !is_safe_address(&text.url) {
        return Err(PolicyError(format!("{place}: url: found it; allowed: {SAFE_ADDRESS}")));
    }
    if let Some(uri) = text.jwks_uri.as_ref().filter(|uri| !is_safe_address(uri)) {
        return Err(PolicyError(format!("{place}: jwks_uri: found {uri:?}; allowed: {SAFE_ADDRESS}")));
    }
    if text.audiences.is_empty() && text.audience_bases.is_empty() && text.admin_audiences.is_empty() {
        return Err(PolicyError(format!(
            "{place}: found neither audiences nor audience_bases; allowed: at least one, or any token passes"
        )));
    }
    if let Some(audience) = text.admin_audiences.iter().find(|audience| text.audiences.contains(audience)) {
        return Err(PolicyError(format!("{place}: admin_audiences: found {audience:?}, which is among audiences; allowed: others")));
    }
    if let Some(base) = text.audience_bases.iter().find(|base| base.is_empty() || base.ends_with('/')) {
        return Err(PolicyError(format!("{place}: audience_bases: found {base:?}; allowed: a URL without a slash at its end")));
    }
    let name = text.algorithm.as_deref().unwrap_or("RS256");
    let algorithm = Algorithm::parse(name).ok_or_else(|| {
        PolicyError(format!("{place}: algorithm: found {name:?}; allowed: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384"))
    })?;
    let tenants = read_tenants(&place, &text.tenants)?;
    let IssuerText { url, audiences, admin_audiences, jwks_uri, token_uses, audience_bases, .. } = text;
    Ok(RemoteIssuer { url, jwks_uri, algorithm, audiences, admin_audiences, tenant_audience_bases: audience_bases, token_uses, tenants })
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
