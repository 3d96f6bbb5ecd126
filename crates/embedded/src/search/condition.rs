//! What can be told of a resource from the values of one of its parameters.

use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::{Clause, ValueTest, reference_target};

use crate::search::cache::Subject;
use crate::search::ids::IdList;

/// A check and which outcome is sought.
#[derive(Debug)]
pub(crate) struct Condition<'c> {
    pub(crate) check: Check<'c>,
    /// Whether it must fail.
    pub(crate) negated: bool,
}

/// A check on the values of one parameter: whether there is one that passes.
#[derive(Debug)]
pub(crate) enum Check<'c> {
    /// It passes one of the tests.
    Tests {
        /// The parameter.
        parameter: ParameterNumber,
        /// The tests.
        tests: &'c [ValueTest],
    },
    /// Every value passes.
    Present {
        /// The parameter.
        parameter: ParameterNumber,
    },
    /// It is a reference to one of these.
    RefersTo {
        /// The parameter.
        parameter: ParameterNumber,
        /// What is referred to.
        targets: Vec<(ResourceType, Arc<IdList>)>,
    },
}

impl<'c> Condition<'c> {
    /// The condition of a clause, where it is one on a single parameter's values.
    pub(crate) fn of(clause: &'c Clause) -> Option<Self> {
        Some(match clause {
            Clause::Matches { parameter, tests } => Self { check: Check::Tests { parameter: *parameter, tests }, negated: false },
            Clause::NotMatches { parameter, tests } => Self { check: Check::Tests { parameter: *parameter, tests }, negated: true },
            Clause::Missing { parameter, missing } => Self { check: Check::Present { parameter: *parameter }, negated: *missing },
            Clause::Id(_) | Clause::Chain { .. } | Clause::Has { .. } | Clause::AnyOf(_) => return None,
        })
    }

    /// Whether it holds for a resource with these values of the parameter.
    pub(crate) fn holds<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        values.any(|value| self.check.accepts(value)) != self.negated
    }
}

impl Check<'_> {
    /// The parameter.
    pub(crate) fn parameter(&self) -> ParameterNumber {
        match self {
            Self::Tests { parameter, .. } | Self::Present { parameter } | Self::RefersTo { parameter, .. } => *parameter,
        }
    }

    /// Whether a value passes.
    pub(crate) fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Tests { tests, .. } => tests.iter().any(|test| test.accepts(value)),
            Self::Present { .. } => true,
            Self::RefersTo { targets, .. } => reference_target(value).is_some_and(|target| {
                let id = OrderedId::from(&target.id);
                targets.iter().any(|(resource_type, ids)| *resource_type == target.resource_type && ids.contains((&id).into()))
            }),
        }
    }

    /// The lists of which one holds each resource that passes; none where no list is of it.
    pub(crate) fn subjects(&self) -> Vec<Subject<'_>> {
        match self {
            Self::Tests { parameter, tests } => tests.iter().map(|test| subject(*parameter, test)).collect(),
            Self::Present { parameter } => vec![Subject::Any(*parameter)],
            Self::RefersTo { .. } => Vec::new(),
        }
    }

    /// Whether it asks for certain values, so that its postings lie together and in the order of ids.
    pub(crate) fn is_of_single_values(&self) -> bool {
        match self {
            Self::Tests { tests, .. } => tests.iter().all(|test| (0..test.ranges().len()).all(|range| test.is_single_value(range))),
            Self::Present { .. } | Self::RefersTo { .. } => false,
        }
    }
}

/// One value has one list, however it was asked for.
fn subject(parameter: ParameterNumber, test: &ValueTest) -> Subject<'_> {
    match test.ranges() {
        [range] if test.is_single_value(0) => Subject::Value(parameter, &range.from),
        _ => Subject::Test(parameter, test),
    }
}
