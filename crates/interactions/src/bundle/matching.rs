//! Which of a transaction's own resources match a search.
//!
//! R4 http.html#trules resolves conditional references last, so that they find what the same transaction writes. The resources
//! are matched as the client sent them: what they refer to within the Bundle is not known by its final address yet.

use std::collections::HashMap;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{ResourceKey, ResourceType};
use fhirpool_search::{Alone, Clause, IndexEntry, TypeSearch, matches};

/// The resources that a transaction writes, of the types that are sought.
#[derive(Debug, Default)]
pub(super) struct OwnWrites {
    by_type: HashMap<ResourceType, OfType>,
    /// How many resources may still be looked at.
    left: usize,
}

/// How many resources all searches together may look at: many times what criteria with identifiers need.
const LOOKS_MAX: usize = 1_000_000;

/// What matches is told up to this number: the resource that asks, and two others.
const FOUND_MAX: usize = 3;

/// Why it cannot be said what matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmatched {
    /// The criteria lead through other resources.
    Undecided,
    /// Too many resources would have to be looked at.
    TooCostly,
}

#[derive(Debug, Default)]
struct OfType {
    resources: Vec<(ResourceKey, Vec<IndexEntry>)>,
    /// Parameter, value and place in `resources`, sorted once all are in: many searches times many resources must not add up.
    postings: Vec<(ParameterNumber, Vec<u8>, usize)>,
}

impl OwnWrites {
    pub(super) fn new(resources: impl IntoIterator<Item = (ResourceKey, Vec<IndexEntry>)>) -> Self {
        let mut by_type: HashMap<ResourceType, OfType> = HashMap::new();
        for (key, entries) in resources {
            let of_type = by_type.entry(key.resource_type).or_default();
            let place = of_type.resources.len();
            of_type.postings.extend(entries.iter().map(|entry| (entry.parameter, entry.value.clone(), place)));
            of_type.resources.push((key, entries));
        }
        by_type.values_mut().for_each(|of_type| of_type.postings.sort_unstable());
        Self { by_type, left: LOOKS_MAX }
    }

    /// The first that match, [`FOUND_MAX`] at most.
    pub(super) fn matching(&mut self, search: &TypeSearch) -> Result<Vec<ResourceKey>, Unmatched> {
        let Some(of_type) = self.by_type.get(&search.resource_type) else { return Ok(Vec::new()) };
        let candidates = of_type.candidates(search);
        self.left = self.left.checked_sub(candidates.len()).ok_or(Unmatched::TooCostly)?;
        let mut found = Vec::new();
        for place in candidates {
            let (key, entries) = &of_type.resources[place];
            if matches(&search.filter, key, entries, &Alone).map_err(|_| Unmatched::Undecided)? {
                found.push(key.clone());
                if found.len() == FOUND_MAX {
                    break;
                }
            }
        }
        Ok(found)
    }
}

impl OfType {
    /// The places of all that may match, each once.
    fn candidates(&self, search: &TypeSearch) -> Vec<usize> {
        let by_values = search.filter.iter().find_map(|clause| match clause {
            Clause::Matches { parameter, tests } => Some((*parameter, tests)),
            _ => None,
        });
        let Some((parameter, tests)) = by_values else { return (0..self.resources.len()).collect() };
        let mut places = Vec::new();
        for range in tests.iter().flat_map(|test| test.ranges()) {
            let from = self.postings.partition_point(|(number, value, _)| (*number, value) < (parameter, &range.from));
            let behind = self.postings[from..].iter();
            let within = behind.take_while(|(number, value, _)| *number == parameter && *value < range.to);
            places.extend(within.map(|(_, _, place)| *place));
        }
        places.sort_unstable();
        places.dedup();
        places
    }
}
