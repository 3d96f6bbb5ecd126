//! A query as adapters see it: typed, resolved against the definitions, without names.

use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{Issue, OrderedId, ResourceId, ResourceType};

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

/// A whole search as a client asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is sought, by type; each with the same count of sort keys. Ascending by name.
    pub parts: Arc<[TypeSearch]>,
    /// `_count`: the page size asked for.
    pub count: Option<u64>,
    /// `_total`.
    pub total: Total,
    /// `_summary`.
    pub summary: Summary,
    /// `_elements`: names of elements of the base level to return; empty: all.
    pub elements: Vec<String>,
    /// `_include`.
    pub includes: Vec<Include>,
    /// `_revinclude`.
    pub revincludes: Vec<Include>,
    /// The page token, as it came.
    pub page: Option<String>,
    /// What was understood, in its order, for the self link; without the page token and what clients add of their own.
    pub self_parameters: Vec<(String, String)>,
    /// What was left out.
    pub warnings: Vec<Issue>,
}

impl Query {
    /// Whether only the number of matches is asked for (`_summary=count` or `_count=0`).
    pub fn only_counts(&self) -> bool {
        self.summary == Summary::Count || self.count == Some(0)
    }
}

/// R4 search.html#total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Total {
    /// Nothing was said.
    #[default]
    Unspecified,
    /// No total is wanted.
    None,
    /// An estimate will do.
    Estimate,
    /// The exact number.
    Accurate,
}

/// R4 search.html#summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summary {
    /// Whole resources.
    #[default]
    False,
    /// The elements marked as summary.
    True,
    /// `text`, `id`, `meta` and mandatory elements.
    Text,
    /// Everything but `text`.
    Data,
    /// The number of matches alone.
    Count,
}

/// One `_include` or `_revinclude`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Include {
    /// The type that holds the reference; `None` (`*`): any.
    pub source: Option<ResourceType>,
    /// The parameter that names it; `None` (`*`): every reference parameter.
    pub parameter: Option<ParameterNumber>,
    /// Only references to this type.
    pub target: Option<ResourceType>,
    /// Whether it is applied to what was included, too.
    pub iterate: bool,
}
