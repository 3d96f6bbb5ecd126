//! What one tenant has of its own: a section of the access file, and what its record says.

use serde::Deserialize;
use serde_json::Value;

use super::Rules;
use super::texts::{IssuerText, PolicyError, QuotaText, RateText, RuleText, read_issuer, read_quota, read_rules, types};
use crate::TenantId;
use crate::quota::TenantQuota;
use crate::token::RemoteIssuer;

/// A tenant's part, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantText {
    inherit: Option<bool>,
    scopes_alone: Option<bool>,
    shared_types: Option<Vec<String>>,
    quota: Option<QuotaText>,
    application_quota: Option<RateText>,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    pub(super) issuer: Vec<IssuerText>,
}

impl TenantText {
    /// The rules, above those that would hold without it.
    pub(super) fn rules(&self, place: &str, beneath: &Rules) -> Result<Rules, PolicyError> {
        let mut rules = match self.inherit.unwrap_or(true) {
            true => beneath.rules.clone(),
            false => Vec::new(),
        };
        rules.extend(read_rules(place, &self.rule)?);
        let shared_types = match &self.shared_types {
            Some(names) => types(&format!("{place}shared_types"), names)?,
            None => beneath.shared_types,
        };
        Ok(Rules { rules, scopes_alone: self.scopes_alone.unwrap_or(beneath.scopes_alone), shared_types })
    }

    /// The quotas; what is not said is as it would be without it.
    pub(super) fn quota(&self, place: &str, beneath: TenantQuota) -> Result<TenantQuota, PolicyError> {
        read_quota(place, self.quota.as_ref(), self.application_quota.as_ref(), beneath)
    }

    /// The issuers, which issue tokens of this tenant alone.
    fn issuers(&self, tenant: &TenantId) -> Result<Vec<RemoteIssuer>, PolicyError> {
        let read = |text: &IssuerText| {
            let place = format!("issuer {:?}", text.url);
            if !text.tenants.is_empty() || !text.admin_audiences.is_empty() {
                let found = if text.tenants.is_empty() { "admin_audiences" } else { "tenants" };
                return Err(PolicyError(format!("{place}: found {found}; allowed: none, it issues this tenant's tokens alone")));
            }
            Ok(RemoteIssuer { tenants: vec![tenant.clone()], ..read_issuer(text.clone())? })
        };
        if self.issuer.len() > ISSUERS_MAX {
            return Err(PolicyError(format!("issuer: found {}; allowed: {ISSUERS_MAX}", self.issuer.len())));
        }
        let issuers = self.issuer.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        match issuers.iter().enumerate().find(|(place, issuer)| issuers[..*place].iter().any(|other| other.url == issuer.url)) {
            Some((_, twice)) => Err(PolicyError(format!("issuer {:?}: found twice; allowed: each once", twice.url))),
            None => Ok(issuers),
        }
    }
}

/// More issuers of one tenant are refused.
const ISSUERS_MAX: usize = 16;

/// Roles, quotas and issuers that a tenant's record has, as a JSON object with the members of `[tenant.ID]` in the access file and
/// `issuer`. What it says goes above the access file; what it does not say is as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantAccess {
    json: Box<str>,
    text: TenantText,
    issuers: Vec<RemoteIssuer>,
}

impl TenantAccess {
    /// The longest text, in bytes.
    pub const BYTES_MAX: usize = 64 << 10;

    /// Reads it for a tenant; `None` where it says nothing.
    ///
    /// # Errors
    /// What cannot be meant, in a sentence.
    pub fn parse(tenant: &TenantId, json: &str) -> Result<Option<Self>, PolicyError> {
        if json.len() > Self::BYTES_MAX {
            return Err(PolicyError(format!("found {} bytes; allowed: {}", json.len(), Self::BYTES_MAX)));
        }
        let malformed = |error: serde_json::Error| PolicyError(error.to_string());
        let value: Value = serde_json::from_str(json).map_err(malformed)?;
        check_form(&value)?;
        // From the text, where a member that stands twice is seen.
        let text: TenantText = serde_json::from_str(json).map_err(malformed)?;
        if text == TenantText::default() {
            return Ok(None);
        }
        // Whatever it is above, it can be read or it cannot.
        text.rules("", &Rules::default())?;
        text.quota("", TenantQuota::default())?;
        let issuers = text.issuers(tenant)?;
        // One line, whatever it was.
        Ok(Some(Self { json: value.to_string().into(), text, issuers }))
    }

    /// One that lets nobody do anything.
    pub fn closed() -> Self {
        let text = TenantText { inherit: Some(false), scopes_alone: Some(false), ..TenantText::default() };
        Self { json: r#"{"inherit":false,"scopes_alone":false}"#.into(), text, issuers: Vec::new() }
    }

    /// As JSON, in one line.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// The issuers that the tenant has of its own.
    pub fn issuers(&self) -> &[RemoteIssuer] {
        &self.issuers
    }

    /// The rules above others.
    pub(super) fn rules(&self, beneath: &Rules) -> Rules {
        self.text.rules("", beneath).expect("it was read before")
    }

    /// The quotas above others.
    pub(crate) fn quota(&self, beneath: TenantQuota) -> TenantQuota {
        self.text.quota("", beneath).expect("it was read before")
    }
}

/// Refuses lists where objects belong: what reads them would take their elements for members.
fn check_form(access: &Value) -> Result<(), PolicyError> {
    let one = ["quota", "application_quota"].map(|name| (name, access.get(name).into_iter().collect::<Vec<_>>()));
    let many = ["rule", "issuer"].map(|name| (name, access.get(name).and_then(|list| list.as_array()).into_iter().flatten().collect()));
    let places = [("the whole", vec![access])].into_iter().chain(one).chain(many);
    for (place, values) in places {
        if values.iter().any(|value| value.is_array()) {
            return Err(PolicyError(format!("{place}: found a list; allowed: a JSON object")));
        }
    }
    Ok(())
}
