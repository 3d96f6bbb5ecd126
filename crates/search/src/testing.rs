//! What every index must answer: searches over small resources with what they find, as data, and a search in memory to show
//! that the meaning itself holds. For tests of this crate and of adapters (feature `testing`).

#![expect(clippy::missing_panics_doc, reason = "tests want panics")]

use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp};

use crate::parse::{Handling, Limits, Options, Scope, decode_query, parse};
use crate::{Extractors, IndexEntry, Query, QueryError, Related, TypeSearch, Undecided, matches, position, reference_value};

mod composites;
mod dates;
mod numbers;
mod references;
mod relations;
mod strings;
mod tokens;
mod whole;

/// The base URL that the cases go by.
pub static BASE: ServiceBase = ServiceBase::fixed("http://127.0.0.1:8080/tenant/demo");

/// The time that the cases go by: 2024-06-01T00:00:00Z.
pub const NOW: Timestamp = Timestamp(1_717_200_000_000);

/// Resources and searches over them.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What it is about.
    pub name: &'static str,
    /// JSON, each with type and id.
    pub resources: &'static [&'static str],
    /// Query (`Patient?name=x`, `?_type=…`, `Patient/1/Observation?…`) and what it finds in order: ids separated by spaces,
    /// with their type where the search is over several.
    pub searches: &'static [(&'static str, &'static str)],
}

/// All cases.
pub fn groups() -> Vec<Group> {
    [
        strings::GROUPS,
        tokens::GROUPS,
        dates::GROUPS,
        numbers::GROUPS,
        references::GROUPS,
        composites::GROUPS,
        relations::GROUPS,
        whole::GROUPS,
    ]
    .concat()
}

/// Reads a query of the cases.
pub fn read_query(definitions: &Definitions, text: &str, handling: Handling) -> Result<Query, QueryError> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let segments: Vec<_> = path.split('/').collect();
    let of_type = |name: &str| ResourceType::parse(name).expect("the case names a type");
    let scope = match segments.as_slice() {
        [""] => Scope::System,
        [name] => Scope::Type(of_type(name)),
        [owner, id, name] => {
            let owner = ResourceKey::new(of_type(owner), ResourceId::parse(id).expect("the case names an id"));
            Scope::Compartment { owner, resource_type: (*name != "*").then(|| of_type(name)) }
        }
        _ => panic!("{text} is no search"),
    };
    let options = Options { base: &BASE, handling, limits: Limits::default(), now: NOW };
    parse(definitions, &scope, &decode_query(query)?, &options)
}

/// What a search found, as [`Group::searches`] writes it.
pub fn describe(query: &Query, keys: &[ResourceKey]) -> String {
    let several = query.parts.len() > 1;
    let names: Vec<_> = keys.iter().map(|key| if several { key.to_string() } else { key.id.to_string() }).collect();
    names.join(" ")
}

/// Resources in memory, searched one by one.
#[derive(Debug)]
pub struct ResourceSet {
    extractors: Arc<Extractors>,
    resources: Vec<(ResourceKey, Vec<IndexEntry>)>,
}

impl ResourceSet {
    /// These resources, all updated at [`NOW`].
    pub fn new(extractors: Arc<Extractors>, resources: &[&str]) -> Self {
        let resources = resources.iter().map(|json| {
            let document = Document::parse(*json).expect("the case's resource is JSON");
            let root = document.root();
            let name = root.get_str("resourceType").expect("the case's resource has a type");
            let id = root.get_str("id").expect("the case's resource has an id");
            let resource_type = ResourceType::parse(&name).expect("the case's type is one of R4");
            let key = ResourceKey::new(resource_type, ResourceId::parse(&id).expect("the case's id is one"));
            let mut entries = extractors.entries(resource_type, root, &BASE);
            entries.push(extractors.last_updated_entry(NOW));
            (key, entries)
        });
        let resources = resources.collect();
        Self { extractors, resources }
    }

    /// The definitions they were extracted by.
    pub fn definitions(&self) -> &Definitions {
        self.extractors.definitions()
    }

    /// What a query finds, in its order.
    pub fn search(&self, query: &Query) -> Vec<ResourceKey> {
        let mut hits = Vec::new();
        for part in query.parts.iter() {
            for (key, entries) in self.resources.iter().filter(|(key, _)| key.resource_type == part.resource_type) {
                if matches(&part.filter, key, entries, self).expect("everything is at hand") {
                    hits.push((position(key, entries, &part.sort), key.clone(), &part.sort));
                }
            }
        }
        hits.sort_by(|one, other| one.0.compare(&other.0, one.2));
        hits.into_iter().map(|(_, key, _)| key).collect()
    }
}

impl Related for ResourceSet {
    fn holds_for(&self, target: &ResourceKey, search: &TypeSearch) -> Result<bool, Undecided> {
        let Some((key, entries)) = self.resources.iter().find(|(key, _)| key == target) else { return Ok(false) };
        matches(&search.filter, key, entries, self)
    }

    fn is_referred_to(&self, target: &ResourceKey, parameter: ParameterNumber, source: &TypeSearch) -> Result<bool, Undecided> {
        let sought = IndexEntry { parameter, value: reference_value(target) };
        for (key, entries) in self.resources.iter().filter(|(key, _)| key.resource_type == source.resource_type) {
            if entries.contains(&sought) && matches(&source.filter, key, entries, self)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_case_finds_what_it_must() {
        let extractors = Arc::new(Extractors::new(Definitions::r4()));
        let mut wrong = Vec::new();
        for group in groups() {
            let set = ResourceSet::new(extractors.clone(), group.resources);
            for (text, expected) in group.searches {
                let found = match read_query(set.definitions(), text, Handling::Strict) {
                    Ok(query) => describe(&query, &set.search(&query)),
                    Err(error) => format!("error: {error}"),
                };
                if found != *expected {
                    wrong.push(format!("{}: {text}\n   found    {found}\n   expected {expected}", group.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The ranges that an index scans never leave out what a test accepts, and say truly when they need no test.
    #[test]
    fn ranges_and_tests_agree_on_every_value_of_the_cases() {
        let extractors = Arc::new(Extractors::new(Definitions::r4()));
        for group in groups() {
            let set = ResourceSet::new(extractors.clone(), group.resources);
            for (_, entries) in &set.resources {
                for entry in entries {
                    assert!(entry.value.len() <= IndexEntry::VALUE_BYTES_MAX);
                    for (text, _) in group.searches {
                        for part in read_query(set.definitions(), text, Handling::Strict).unwrap().parts.iter() {
                            check_tests(&part.filter, entry);
                        }
                    }
                }
            }
        }
    }

    fn check_tests(filter: &[crate::Clause], entry: &IndexEntry) {
        for clause in filter {
            let (crate::Clause::Matches { tests, .. } | crate::Clause::NotMatches { tests, .. }) = clause else { continue };
            for test in tests {
                assert_eq!(test.pattern().matches(&entry.value), test.accepts(&entry.value), "{test:?} {:?}", entry.value);
                let range = test.ranges().iter().position(|range| range.contains(&entry.value));
                assert!(range.is_some() || !test.accepts(&entry.value));
                // An index puts an id behind the value; the bounds must hold all the same.
                let key = [entry.value.as_slice(), &[0xFF]].concat();
                assert_eq!(range.is_some(), test.ranges().iter().any(|range| range.contains(&key)));
                if let Some(range) = range {
                    assert!(test.accepts(&entry.value) || !test.accepts_all_in_ranges());
                    assert!(!test.is_single_value(range) || test.ranges()[range].from == entry.value);
                }
            }
        }
    }
}
