//! Whether a resource in memory is what a search seeks.

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{ResourceKey, ResourceType};

use crate::value::reference;
use crate::{Clause, IndexEntry, TypeSearch};

/// Answers what lies outside of the resource at hand.
pub trait Related {
    /// Whether the inner search holds for this resource (the far end of a chain). One that is not there: `false`.
    fn holds_for(&self, target: &ResourceKey, search: &TypeSearch) -> Result<bool, Undecided>;

    /// Whether some resource for which the inner search holds refers to this one by the parameter (`_has`).
    fn is_referred_to(&self, target: &ResourceKey, parameter: ParameterNumber, source: &TypeSearch) -> Result<bool, Undecided>;
}

/// It takes other resources to tell, and they are not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it takes other resources to tell whether this one matches")]
pub struct Undecided;

/// Knows no other resource: chains and `_has` stay undecided.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Related for Alone {
    fn holds_for(&self, _: &ResourceKey, _: &TypeSearch) -> Result<bool, Undecided> {
        Err(Undecided)
    }

    fn is_referred_to(&self, _: &ResourceKey, _: ParameterNumber, _: &TypeSearch) -> Result<bool, Undecided> {
        Err(Undecided)
    }
}

/// Whether everything in the filter holds for a resource with these entries, whose type is that of the filter. What can be
/// decided from the entries alone is decided first.
pub fn matches(filter: &[Clause], key: &ResourceKey, entries: &[IndexEntry], related: &dyn Related) -> Result<bool, Undecided> {
    let (far, near): (Vec<_>, Vec<_>) = filter.iter().partition(|clause| clause.needs_related());
    for clause in near.into_iter().chain(far) {
        if !clause_matches(clause, key, entries, related)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn clause_matches(clause: &Clause, key: &ResourceKey, entries: &[IndexEntry], related: &dyn Related) -> Result<bool, Undecided> {
    let values = |parameter: ParameterNumber| entries.iter().filter(move |entry| entry.parameter == parameter).map(|entry| &*entry.value);
    Ok(match clause {
        Clause::Matches { parameter, tests } => values(*parameter).any(|value| tests.iter().any(|test| test.accepts(value))),
        Clause::NotMatches { parameter, tests } => !values(*parameter).any(|value| tests.iter().any(|test| test.accepts(value))),
        Clause::Missing { parameter, missing } => values(*parameter).next().is_none() == *missing,
        Clause::Id(ids) => ids.contains(&key.id),
        Clause::Chain { parameter, targets } => {
            for target in values(*parameter).filter_map(reference::reference_target) {
                for search in targets.iter().filter(|search| search.resource_type == target.resource_type) {
                    if related.holds_for(&target, search)? {
                        return Ok(true);
                    }
                }
            }
            false
        }
        Clause::Has { parameter, source } => related.is_referred_to(key, *parameter, source)?,
        Clause::AnyOf(alternatives) => {
            let mut undecided = false;
            for alternative in alternatives {
                match matches(alternative, key, entries, related) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(Undecided) => undecided = true,
                }
            }
            if undecided {
                return Err(Undecided);
            }
            false
        }
    })
}

impl Clause {
    /// Whether it takes other resources to decide this.
    pub fn needs_related(&self) -> bool {
        match self {
            Self::Chain { .. } | Self::Has { .. } => true,
            Self::AnyOf(alternatives) => alternatives.iter().flatten().any(Self::needs_related),
            _ => false,
        }
    }

    /// The types of which other resources decide this; may name one twice.
    pub fn related_types(&self, out: &mut Vec<ResourceType>) {
        let searches: &[TypeSearch] = match self {
            Self::Chain { targets, .. } => targets,
            Self::Has { source, .. } => std::slice::from_ref(source),
            Self::AnyOf(alternatives) => return alternatives.iter().flatten().for_each(|clause| clause.related_types(out)),
            _ => return,
        };
        for search in searches {
            out.push(search.resource_type);
            search.filter.iter().for_each(|clause| clause.related_types(out));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_fhir::ResourceId;

    use super::*;
    use crate::ValueTest;
    use crate::value::token;

    fn key() -> ResourceKey {
        ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse("1").unwrap())
    }

    fn code(parameter: u16, code: &str) -> Clause {
        Clause::Matches { parameter: ParameterNumber(parameter), tests: vec![ValueTest::token(None, code)] }
    }

    fn has() -> Clause {
        let source = TypeSearch { resource_type: key().resource_type, filter: Vec::new(), sort: Vec::new() };
        Clause::Has { parameter: ParameterNumber(9), source: Box::new(source) }
    }

    fn decide(filter: &[Clause]) -> Result<bool, Undecided> {
        let entries = [IndexEntry { parameter: ParameterNumber(1), value: token::value("a", "s") }];
        matches(filter, &key(), &entries, &Alone)
    }

    #[test]
    fn what_the_entries_decide_needs_no_other_resource() {
        assert_eq!(decide(&[has(), code(1, "b")]), Ok(false));
        assert_eq!(decide(&[has(), code(1, "a")]), Err(Undecided));
        assert_eq!(decide(&[Clause::AnyOf(vec![vec![has()], vec![code(1, "a")]])]), Ok(true));
        assert_eq!(decide(&[Clause::AnyOf(vec![vec![has()], vec![code(1, "b")]])]), Err(Undecided));
    }

    #[test]
    fn no_alternative_holds_for_nothing_and_an_empty_one_for_all() {
        assert_eq!(decide(&[Clause::AnyOf(Vec::new())]), Ok(false));
        assert_eq!(decide(&[Clause::AnyOf(vec![Vec::new()])]), Ok(true));
        assert_eq!(decide(&[]), Ok(true));
    }

    #[test]
    fn values_of_other_parameters_do_not_count() {
        assert_eq!(decide(&[code(2, "a")]), Ok(false));
        assert_eq!(decide(&[Clause::Missing { parameter: ParameterNumber(2), missing: true }]), Ok(true));
        assert_eq!(decide(&[Clause::Missing { parameter: ParameterNumber(1), missing: true }]), Ok(false));
    }

    #[test]
    fn the_types_that_decide_are_told() {
        let mut types = Vec::new();
        Clause::AnyOf(vec![vec![has()], vec![code(1, "a")]]).related_types(&mut types);
        assert_eq!(types, [key().resource_type]);
    }
}
