//! Roles as policy: which groups may do what, by deployment and by tenant.
//!
//! Rules allow or deny interactions on types to groups. Without a matching `allow` there is nothing, and a `deny` wins over every
//! `allow`. The rules of a deployment are those of FHIR Works on AWS unless a file says otherwise; a tenant may have more, or its
//! own instead.
//!
//! SMART's scopes are a second source ([`crate::smart`]): where a token carries any, both must allow. Whether scopes may grant to
//! a token without a group is a setting, off by default.

use std::collections::HashMap;

use fhirpool_fhir::{ResourceKey, ResourceType};

use crate::smart::{Launch, Scopes};
use crate::types::{Interaction, InteractionSet, TypeSet};
use crate::{Grants, TenantId};

mod file;
mod tenant;
mod texts;

pub use file::{AccessFile, AuthorizationServer};
pub use tenant::TenantAccess;
pub use texts::PolicyError;

/// The rules of a deployment and of its tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    deployment: Rules,
    tenants: HashMap<TenantId, Rules>,
    /// Of the tenants whose records say something, in place of the others.
    own: HashMap<TenantId, Rules>,
}

/// The rules that hold for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Whether scopes grant to a token without a group.
    scopes_alone: bool,
    /// Types without a part in a patient's compartment that `patient/` scopes may look at as a whole.
    shared_types: TypeSet,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    effect: Effect,
    groups: Groups,
    types: TypeSet,
    interactions: InteractionSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Groups {
    /// Whoever has a token of the tenant.
    Everyone,
    /// Whoever is in one of these.
    Named(Vec<String>),
}

impl Default for Policy {
    fn default() -> Self {
        let deployment = Rules { rules: default_rules(), scopes_alone: false, shared_types: TypeSet::default() };
        Self { deployment, tenants: HashMap::new(), own: HashMap::new() }
    }
}

impl Policy {
    /// The default roles, with scopes that grant to a token without a group.
    pub fn with_scopes_alone(mut self) -> Self {
        self.deployment.scopes_alone = true;
        self.tenants.values_mut().for_each(|rules| rules.scopes_alone = true);
        self
    }

    /// Gives a tenant the roles that its record has, beyond or in place of those here, or takes them away.
    pub(crate) fn set_own(&mut self, tenant: &TenantId, access: Option<&TenantAccess>) {
        match access.map(|access| access.rules(self.beneath(tenant))) {
            Some(rules) => self.own.insert(tenant.clone(), rules),
            None => self.own.remove(tenant),
        };
    }

    /// What holds for a tenant whose record says nothing.
    fn beneath(&self, tenant: &TenantId) -> &Rules {
        self.tenants.get(tenant).unwrap_or(&self.deployment)
    }

    /// What a token grants.
    pub(crate) fn grants(&self, tenant: &TenantId, groups: &[String], scopes: &Scopes, launch: &Launch) -> Grants {
        let rules = self.own.get(tenant).unwrap_or_else(|| self.beneath(tenant));
        let by_groups = rules.allowed_to(groups);
        if !scopes.is_smart() {
            return Grants::whole(by_groups);
        }
        let has_role = !groups.is_empty();
        let by_scopes = scopes.grants(launch, has_role, rules.shared_types);
        if has_role || !rules.scopes_alone {
            return by_scopes.kept_to(&by_groups);
        }
        by_scopes.kept_to(&rules.not_denied_to(groups))
    }
}

impl Rules {
    fn types_of(&self, effect: Effect, groups: &[String]) -> [TypeSet; Interaction::COUNT] {
        let mut types = [TypeSet::default(); Interaction::COUNT];
        for rule in self.rules.iter().filter(|rule| rule.effect == effect && rule.groups.hold(groups)) {
            for interaction in rule.interactions.iter() {
                types[interaction as usize] = types[interaction as usize].union(rule.types);
            }
        }
        types
    }

    /// What these groups are allowed and not denied, by interaction.
    fn allowed_to(&self, groups: &[String]) -> [TypeSet; Interaction::COUNT] {
        let (allowed, denied) = (self.types_of(Effect::Allow, groups), self.types_of(Effect::Deny, groups));
        std::array::from_fn(|place| allowed[place].difference(denied[place]))
    }

    fn not_denied_to(&self, groups: &[String]) -> [TypeSet; Interaction::COUNT] {
        self.types_of(Effect::Deny, groups).map(|denied| TypeSet::all().difference(denied))
    }
}

impl Groups {
    fn hold(&self, groups: &[String]) -> bool {
        match self {
            Self::Everyone => true,
            Self::Named(names) => names.iter().any(|name| groups.contains(name)),
        }
    }
}

/// The groups of FHIR Works on AWS and what each may do, and who may look into the log of accesses.
fn default_rules() -> Vec<Rule> {
    let allow = |group: &str, types: TypeSet, interactions: &[Interaction]| Rule {
        effect: Effect::Allow,
        groups: Groups::Named(vec![group.to_owned()]),
        types,
        interactions: interactions.iter().copied().collect(),
    };
    let looking = [Interaction::Read, Interaction::Vread, Interaction::Search];
    vec![
        allow("practitioner", TypeSet::all(), &Interaction::ALL),
        allow("practitioner", TypeSet::all(), &Interaction::OPERATIONS),
        allow("non-practitioner", named(FINANCIAL), &looking),
        allow("auditor", named(&["Patient"]), &looking),
        allow("audit-admin", named(&["AuditEvent"]), &[Interaction::Audit]),
    ]
}

fn named(names: &[&str]) -> TypeSet {
    names.iter().map(|name| ResourceType::parse(name).expect("the names are R4's, see the test")).collect()
}

const FINANCIAL: &[&str] = &[
    "Account",
    "ChargeItem",
    "ChargeItemDefinition",
    "Claim",
    "ClaimResponse",
    "Contract",
    "Coverage",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "ExplanationOfBenefit",
    "InsurancePlan",
    "Invoice",
    "PaymentNotice",
    "PaymentReconciliation",
];

/// Whose eyes a `user/` scope sees with.
pub(crate) fn is_practitioner(user: &ResourceKey) -> bool {
    matches!(user.resource_type.name(), "Practitioner" | "PractitionerRole")
}

#[cfg(test)]
mod tests;
