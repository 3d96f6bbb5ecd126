//! The policy file: TOML, checked as a whole.
//!
//! ```toml
//! defaults = true              # begin with the roles of FHIR Works (default: true where there is no [[rule]], else false)
//! scopes_alone = false         # whether SMART scopes grant to a token without a group
//! shared_types = []            # types outside of every patient's compartment that patient/ scopes may look at
//!
//! [[rule]]
//! effect = "allow"             # or "deny", which wins
//! groups = ["nurse"]           # or ["*"]: whoever has a token of the tenant
//! types = ["Observation"]      # or ["*"]
//! interactions = ["read", "vread", "search"]   # or ["*"]
//!
//! [tenant.acme]
//! inherit = true               # begin with the rules of the deployment (default: true)
//! rule = [{ effect = "deny", groups = ["auditor"], types = ["*"], interactions = ["*"] }]
//! ```

use fhirpool_fhir::ResourceType;
use serde::Deserialize;

use super::{Effect, Groups, Policy, Rule, Rules, default_rules};
use crate::TenantId;
use crate::types::{Interaction, InteractionSet, TypeSet};

/// Why a policy is refused: a sentence that names the place, what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy: {0}")]
pub struct PolicyError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    defaults: Option<bool>,
    #[serde(default)]
    scopes_alone: bool,
    #[serde(default)]
    shared_types: Vec<String>,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    tenant: std::collections::BTreeMap<String, TenantFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    inherit: Option<bool>,
    scopes_alone: Option<bool>,
    shared_types: Option<Vec<String>>,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    effect: String,
    groups: Vec<String>,
    types: Vec<String>,
    interactions: Vec<String>,
}

/// More rules of one tenant are refused.
const RULES_MAX: usize = 1000;

impl Policy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| PolicyError(error.to_string().trim_end().to_owned()))?;
        let mut rules = match file.defaults.unwrap_or(file.rule.is_empty()) {
            true => default_rules(),
            false => Vec::new(),
        };
        rules.extend(read_rules("", &file.rule)?);
        let shared_types = types("shared_types", &file.shared_types)?;
        let deployment = Rules { rules, scopes_alone: file.scopes_alone, shared_types };
        let mut policy = Self { deployment, tenants: Default::default() };
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
            policy.tenants.insert(id, Rules { rules, scopes_alone, shared_types });
        }
        Ok(policy)
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
    if text.types.is_empty() || text.interactions.is_empty() {
        return Err(PolicyError(format!("{place}: found no types or no interactions; allowed: at least one of each, or \"*\"")));
    }
    let interactions = interactions(&format!("{place}: interactions"), &text.interactions)?;
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

fn interactions(place: &str, names: &[String]) -> Result<InteractionSet, PolicyError> {
    if let [all] = names
        && all == "*"
    {
        return Ok(Interaction::ALL.into_iter().collect());
    }
    let parse = |name: &String| {
        Interaction::parse(name).ok_or_else(|| {
            let allowed: Vec<&str> = Interaction::ALL.iter().map(|interaction| interaction.name()).collect();
            PolicyError(format!("{place}: found {name:?}; allowed: {}, or \"*\" alone", allowed.join(", ")))
        })
    };
    names.iter().map(parse).collect()
}
