//! What groups grant: a table of roles, as data.

use fhirpool_fhir::ResourceType;

use crate::TypeSet;

/// What a request does, as far as rules tell interactions apart (R4 http.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Interaction {
    /// Read the newest version.
    Read,
    /// Read a certain version.
    Vread,
    /// Search a type, a compartment or everything.
    Search,
    /// History of a resource, a type or everything.
    History,
    /// Create.
    Create,
    /// Update, or create under the client's id.
    Update,
    /// Patch.
    Patch,
    /// Delete.
    Delete,
    /// POST a batch or transaction; each entry is authorized besides.
    Bundle,
}

impl Interaction {
    const COUNT: usize = 9;

    /// Whether it may change something.
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete | Self::Bundle)
    }
}

/// The types on which each interaction is granted, decided once for a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants([TypeSet; Interaction::COUNT]);

impl Grants {
    /// The types on which the interaction is granted; for [`Interaction::Bundle`] any type at all means yes.
    pub fn types(&self, interaction: Interaction) -> TypeSet {
        self.0[interaction as usize]
    }

    /// What a principal's groups grant together. Unknown groups grant nothing.
    ///
    /// Scopes grant nothing here: SMART's rules are a second source of grants and belong beside this function.
    pub(crate) fn of_groups(groups: &[String]) -> Self {
        let mut grants = Self::default();
        for role in ROLES.iter().filter(|role| groups.iter().any(|group| group == role.group)) {
            let types: TypeSet = match role.types {
                Types::All => TypeSet::all(),
                Types::Named(names) => names.iter().filter_map(|name| ResourceType::parse(name)).collect(),
            };
            for interaction in role.interactions {
                grants.0[*interaction as usize] = grants.0[*interaction as usize].union(types);
            }
        }
        grants
    }
}

struct Role {
    group: &'static str,
    interactions: &'static [Interaction],
    types: Types,
}

enum Types {
    All,
    Named(&'static [&'static str]),
}

const EVERYTHING: &[Interaction] = &[
    Interaction::Read,
    Interaction::Vread,
    Interaction::Search,
    Interaction::History,
    Interaction::Create,
    Interaction::Update,
    Interaction::Patch,
    Interaction::Delete,
    Interaction::Bundle,
];
const LOOKING: &[Interaction] = &[Interaction::Read, Interaction::Vread, Interaction::Search];

/// The groups of a Cognito user pool and what each may do.
static ROLES: &[Role] = &[
    Role { group: "practitioner", interactions: EVERYTHING, types: Types::All },
    Role { group: "non-practitioner", interactions: LOOKING, types: Types::Named(FINANCIAL) },
    Role { group: "auditor", interactions: LOOKING, types: Types::Named(&["Patient"]) },
];

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

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(groups: &[&str]) -> Grants {
        Grants::of_groups(&groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_name_in_the_role_table_is_a_type_of_r4() {
        for role in ROLES {
            if let Types::Named(names) = role.types {
                assert!(names.iter().all(|name| ResourceType::parse(name).is_some()), "{}", role.group);
            }
        }
    }

    #[test]
    fn a_practitioner_may_do_everything() {
        let grants = grants(&["practitioner"]);
        assert!(EVERYTHING.iter().all(|interaction| grants.types(*interaction) == TypeSet::all()));
    }

    #[test]
    fn an_auditor_who_is_a_non_practitioner_too_reads_what_both_read_and_writes_nothing() {
        let grants = grants(&["auditor", "non-practitioner", "wheel"]);
        let read = grants.types(Interaction::Read);
        let named = |name| ResourceType::parse(name).expect("a type");
        assert!(read.contains(named("Patient")) && read.contains(named("Claim")) && !read.contains(named("Observation")));
        assert!(EVERYTHING.iter().filter(|interaction| interaction.writes()).all(|interaction| grants.types(*interaction).is_empty()));
        assert!(grants.types(Interaction::History).is_empty());
    }

    #[test]
    fn no_group_and_unknown_groups_grant_nothing() {
        assert_eq!(grants(&[]), Grants::default());
        assert_eq!(grants(&["Practitioner", "practitioner ", "admin"]), Grants::default());
    }
}
