//! A query as adapters see it: typed, resolved against the definitions, without names.

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceType};

use crate::ValueTest;

/// The part of a search that concerns one type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypeSearch {
    /// The type.
    pub resource_type: ResourceType,
    /// What must hold, all of it.
    pub filter: Vec<Clause>,
    /// The order, before type and id.
    pub sort: Vec<SortBy>,
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Clause {
    /// Some value of the parameter passes one of the tests.
    Matches {
        /// The parameter.
        parameter: ParameterNumber,
        /// Alternatives.
        tests: Vec<ValueTest>,
    },
    /// No value of the parameter passes any of the tests (`:not`).
    NotMatches {
        /// The parameter.
        parameter: ParameterNumber,
        /// Alternatives.
        tests: Vec<ValueTest>,
    },
    /// The parameter has no value (`true`) or some (`false`).
    Missing {
        /// The parameter.
        parameter: ParameterNumber,
        /// Which.
        missing: bool,
    },
    /// The id is one of these (`_id`).
    Id(Vec<ResourceId>),
    /// A reference in the parameter leads to a resource of which everything in the inner search holds (a chain); one
    /// alternative for each type it may lead to.
    Chain {
        /// The reference parameter.
        parameter: ParameterNumber,
        /// What is sought there; `sort` is empty.
        targets: Vec<TypeSearch>,
    },
    /// A resource for which the inner search holds refers here by this parameter (`_has`).
    Has {
        /// The reference parameter of the inner type.
        parameter: ParameterNumber,
        /// The inner search; `sort` is empty.
        source: Box<TypeSearch>,
    },
    /// One of these holds, each a list of which all must hold. An empty list of alternatives holds for nothing.
    AnyOf(Vec<Vec<Clause>>),
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SortBy {
    /// By what.
    pub target: SortTarget,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// What a sort key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The id (`_sort=_id`).
    Id,
    /// A parameter's value: the least when ascending, the greatest when descending; missing last either way.
    Parameter(ParameterNumber),
}

/// A place in an ordered result: what a page continues behind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The sort keys' bytes; `None` where the value is missing.
    pub keys: Vec<Option<Vec<u8>>>,
    /// The type.
    pub resource_type: ResourceType,
    /// The id.
    pub id: OrderedId,
}
