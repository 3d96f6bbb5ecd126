//! SMART App Launch: scopes (v1 and v2) and the context of a launch, as they stand in a token.
//!
//! A `patient/` scope grants what is in the compartment of the launch's patient; a `user/` scope what the user may do, who by
//! `fhirUser` is a practitioner (everything) or a patient or relative (their compartment); a `system/` scope everything of its
//! types. `?param=value` narrows any of them to what matches. Context that a scope needs and a token lacks: nothing is granted.
//!
//! A scope that begins as one of these and is not understood grants nothing, and still makes the token one of SMART: it narrows.

use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};

use crate::policy::is_practitioner;
use crate::types::{Interaction, InteractionSet, TypeSet};
use crate::{Grants, Limit};

#[cfg(test)]
mod tests;

/// Whom a launch is about, as far as the token says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// The patient in context.
    pub patient: Option<ResourceId>,
    /// The encounter in context. It narrows nothing: SMART has no scopes of encounters.
    pub encounter: Option<ResourceId>,
    /// The user's own resource (`fhirUser`), where it is this tenant's.
    pub user: Option<ResourceKey>,
    /// `fhirUser` names someone elsewhere who is no practitioner: nothing here is theirs, whatever their groups may do.
    pub is_stranger: bool,
}

/// The scopes of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scopes {
    scopes: Vec<Scope>,
    is_smart: bool,
}

/// A scope on resources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    context: Context,
    types: TypeSet,
    interactions: InteractionSet,
    criteria: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Patient,
    User,
    System,
}

impl Scopes {
    /// Reads the scopes of a token. Those that are not SMART's (`openid`, `profile`, …) count for nothing.
    pub(crate) fn parse(texts: &[String]) -> Self {
        let mut scopes = Self::default();
        for text in texts {
            match text.split_once('/') {
                Some((context @ ("patient" | "user" | "system"), rest)) => {
                    scopes.is_smart = true;
                    scopes.scopes.extend(Scope::parse(context, rest));
                }
                // Who asks for a launch asks for what scopes grant in it, even if that is nothing.
                Some(("launch", _)) => scopes.is_smart = true,
                None if text == "launch" => scopes.is_smart = true,
                _ => {}
            }
        }
        scopes
    }

    /// Whether the token is one of SMART, so that its scopes narrow.
    pub(crate) fn is_smart(&self) -> bool {
        self.is_smart
    }

    /// What the scopes grant. `has_role`: whether groups say what a user may do; else `fhirUser` must.
    pub(crate) fn grants(&self, launch: &Launch, has_role: bool, shared_types: TypeSet) -> Grants {
        let mut grants = Grants::default();
        for scope in &self.scopes {
            let compartment = match (scope.context, &launch.user) {
                (Context::System, _) => None,
                (Context::Patient, _) => {
                    let Some(patient) = &launch.patient else { continue };
                    let looking = looking().iter().filter(|interaction| scope.interactions.contains(*interaction)).collect();
                    let criteria = scope.criteria.clone();
                    grants.add(looking, scope.types.intersection(shared_types), Limit { compartment: None, criteria });
                    Some(ResourceKey::new(patient_type(), patient.clone()))
                }
                (Context::User, Some(user)) if is_practitioner(user) => None,
                (Context::User, Some(user)) if matches!(user.resource_type.name(), "Patient" | "RelatedPerson") => Some(user.clone()),
                (Context::User, None) if has_role && !launch.is_stranger => None,
                (Context::User, _) => continue,
            };
            // The log of accesses is for whoever was given just that: a scope for all types means what FHIR stores.
            let is_whole = compartment.is_none() && scope.criteria.is_none() && (scope.context == Context::System || has_role);
            if is_whole && scope.types == audit_type() && scope.interactions.contains(Interaction::Search) {
                grants.add([Interaction::Audit].into_iter().collect(), scope.types, Limit::default());
            }
            grants.add(scope.interactions, scope.types, Limit { compartment, criteria: scope.criteria.clone() });
        }
        if Interaction::ALL.iter().any(|interaction| !grants.types(*interaction).is_empty()) {
            // A Bundle is what its entries are.
            grants.add([Interaction::Bundle].into_iter().collect(), TypeSet::all(), Limit::default());
        }
        grants
    }
}

impl Scope {
    /// Reads what stands behind `patient/` and the like: `Observation.rs?category=laboratory`; `None` for what is not of the form.
    fn parse(context: &str, text: &str) -> Option<Self> {
        let context = match context {
            "patient" => Context::Patient,
            "user" => Context::User,
            _ => Context::System,
        };
        let (name, criteria) = match text.split_once('?') {
            Some((name, criteria)) => (name, Some(criteria)),
            None => (text, None),
        };
        let (types, permissions) = name.split_once('.')?;
        let types = match types {
            "*" => TypeSet::all(),
            name => [ResourceType::parse(name)?].into_iter().collect(),
        };
        let interactions = match permissions {
            // Version 1 has no criteria.
            "read" | "write" | "*" if criteria.is_some() => return None,
            "read" => permitted("rs")?,
            "write" => permitted("cud")?,
            "*" => permitted("cruds")?,
            letters => permitted(letters)?,
        };
        let criteria = match criteria {
            Some("") => return None,
            criteria => criteria.map(str::to_owned),
        };
        Some(Self { context, types, interactions, criteria })
    }
}

/// The interactions of version 2's letters, which stand in the order of `cruds`.
fn permitted(letters: &str) -> Option<InteractionSet> {
    let mut rest = "cruds";
    let mut interactions = Vec::new();
    for letter in letters.chars() {
        rest = rest.split_once(letter)?.1;
        interactions.extend_from_slice(match letter {
            'c' => &[Interaction::Create],
            'r' => &[Interaction::Read, Interaction::Vread, Interaction::HistoryInstance][..],
            'u' => &[Interaction::Update, Interaction::Patch],
            'd' => &[Interaction::Delete],
            _ => &[Interaction::Search, Interaction::HistoryType, Interaction::Everything],
        });
    }
    (!interactions.is_empty()).then(|| interactions.into_iter().collect())
}

fn looking() -> InteractionSet {
    Interaction::ALL.into_iter().filter(|interaction| !interaction.writes()).collect()
}

fn audit_type() -> TypeSet {
    [ResourceType::parse("AuditEvent").expect("AuditEvent is a type of R4")].into_iter().collect()
}

fn patient_type() -> ResourceType {
    ResourceType::parse("Patient").expect("Patient is a type of R4")
}

/// Reads a claim that names a resource: `id` where its type is known, `Type/id`, or that below one of the bases. The address of a
/// resource elsewhere is none of ours.
pub(crate) fn own_resource(text: &str, of_type: Option<ResourceType>, bases: &[String]) -> Option<ResourceKey> {
    let typed = |path: &str| {
        let (name, id) = path.split_once('/')?;
        let resource_type = ResourceType::parse(name).filter(|found| of_type.is_none_or(|wanted| wanted == *found))?;
        Some(ResourceKey::new(resource_type, ResourceId::parse(id)?))
    };
    // One base may lie below another.
    let mut below = bases.iter().filter_map(|base| text.strip_prefix(base.as_str())?.strip_prefix('/'));
    match of_type {
        Some(resource_type) if !text.contains('/') => Some(ResourceKey::new(resource_type, ResourceId::parse(text)?)),
        _ => below.find_map(typed).or_else(|| typed(text)),
    }
}

/// Whether the address of a user, wherever that is, is a practitioner's.
pub(crate) fn names_practitioner(address: &str) -> bool {
    matches!(address.trim_end_matches('/').rsplit('/').nth(1), Some("Practitioner" | "PractitionerRole"))
}
