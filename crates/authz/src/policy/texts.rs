//! Rules, quotas and issuers as they are written, in an access file and in a tenant's record.

use fhirpool_fhir::ResourceType;
use serde::Deserialize;

use super::{Effect, Groups, Rule};
use crate::TenantId;
use crate::quota::{Rate, TenantQuota};
use crate::token::{Algorithm, RemoteIssuer, is_safe_address};
use crate::types::{Interaction, InteractionSet, TypeSet};

/// Why what is written is refused: a sentence that names the place, what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub(super) String);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerText {
    pub(super) url: String,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    #[serde(default)]
    pub(super) admin_audiences: Vec<String>,
    pub(super) jwks_uri: Option<String>,
    pub(super) algorithm: Option<String>,
    #[serde(default)]
    pub(super) token_uses: Vec<String>,
    #[serde(default)]
    pub(super) audience_bases: Vec<String>,
    #[serde(default)]
    pub(super) tenants: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaText {
    pub(super) points_per_second: Option<u32>,
    pub(super) burst_points: Option<u32>,
    pub(super) requests_at_once: Option<u32>,
    pub(super) stored_resources: Option<u64>,
    pub(super) stored_bytes: Option<u64>,
    pub(super) body_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateText {
    pub(super) points_per_second: u32,
    pub(super) burst_points: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
    pub(super) effect: String,
    pub(super) groups: Vec<String>,
    pub(super) types: Vec<String>,
    #[serde(default)]
    pub(super) interactions: Vec<String>,
    #[serde(default)]
    pub(super) operations: Vec<String>,
}

/// More rules of one tenant are refused.
const RULES_MAX: usize = 1000;

pub(super) fn read_rules(place: &str, texts: &[RuleText]) -> Result<Vec<Rule>, PolicyError> {
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

pub(super) fn types(place: &str, names: &[String]) -> Result<TypeSet, PolicyError> {
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
pub(super) fn read_quota(
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

pub(super) fn read_rate(place: &str, points_per_s: u32, burst_points: Option<u32>) -> Result<Rate, PolicyError> {
    let burst_points = burst_points.unwrap_or(points_per_s.saturating_mul(4));
    if points_per_s == 0 || burst_points == 0 {
        return Err(PolicyError(format!("{place}: found 0 points; allowed: 1 to {}", u32::MAX)));
    }
    Ok(Rate { points_per_s, burst_points })
}

pub(super) fn read_tenants(place: &str, names: &[String]) -> Result<Vec<TenantId>, PolicyError> {
    let parse = |name: &String| {
        TenantId::parse(name)
            .ok_or_else(|| PolicyError(format!("{place}: tenants: found {name:?}; allowed: 1 to 64 letters, digits, `-` and `_`")))
    };
    names.iter().map(parse).collect()
}

/// What an address may be.
pub(super) const SAFE_ADDRESS: &str = "an https URL without query or fragment, or an http one of this machine";

pub(super) fn read_issuer(text: IssuerText) -> Result<RemoteIssuer, PolicyError> {
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
