//! Random resources and requests over few values, so that they meet.

use std::sync::LazyLock;

use fhirpool_fhir::definitions::{Definitions, ParameterNumber};
use fhirpool_fhir::{DateInterval, OrderedId, ResourceId, ResourceKey, ResourceType, Timestamp};
use fhirpool_search::{Clause, Comparator, Extractors, IndexEntry, SortBy, SortTarget, TypeSearch, ValueTest, reference_value};
use fhirpool_storage::{Freshness, SearchRequest, TotalMode};
use proptest::prelude::*;

use super::memory::Put;

const CODE: ParameterNumber = ParameterNumber(1);
const DATE: ParameterNumber = ParameterNumber(2);
const SUBJECT: ParameterNumber = ParameterNumber(3);
const URI: ParameterNumber = ParameterNumber(4);
const PARAMETERS: [ParameterNumber; 4] = [CODE, DATE, SUBJECT, URI];

static EXTRACTORS: LazyLock<Extractors> = LazyLock::new(|| Extractors::new(Definitions::r4()));

pub(super) fn types() -> [ResourceType; 3] {
    ["Encounter", "Observation", "Patient"].map(|name| ResourceType::parse(name).unwrap())
}

fn any_type() -> impl Strategy<Value = ResourceType> {
    (0..3usize).prop_map(|index| types()[index])
}

fn any_id() -> impl Strategy<Value = ResourceId> {
    let uuid = (0..16u8).prop_map(|number| ResourceId::from(&OrderedId::Uuid([number * 17; 16])));
    let text = "[ab]{1,2}".prop_map(|text| ResourceId::parse(&text).unwrap());
    prop_oneof![3 => uuid, 1 => text]
}

fn any_key() -> impl Strategy<Value = ResourceKey> {
    (any_type(), any_id()).prop_map(|(resource_type, id)| ResourceKey::new(resource_type, id))
}

/// The one value that passes a test.
fn value_of(test: &ValueTest) -> Vec<u8> {
    assert!(test.is_single_value(0));
    test.ranges()[0].from.clone()
}

fn any_entry() -> impl Strategy<Value = IndexEntry> {
    let code = (0..4u8, 0..2u8).prop_map(|(code, system)| {
        let value = value_of(&ValueTest::token(Some(["s", "t"][usize::from(system)]), ["a", "b", "c", "d"][usize::from(code)]));
        IndexEntry { parameter: CODE, value }
    });
    let date = (0..12i64).prop_map(|at| {
        let entry = EXTRACTORS.last_updated_entry(Timestamp(at * 1000));
        IndexEntry { parameter: DATE, value: entry.value }
    });
    let subject = any_key().prop_map(|key| IndexEntry { parameter: SUBJECT, value: reference_value(&key) });
    let uri = (0..3u8).prop_map(|number| IndexEntry { parameter: URI, value: value_of(&ValueTest::uri(&format!("urn:{number}"))) });
    prop_oneof![1 => code, 1 => date, 2 => subject, 1 => uri]
}

/// A change of a resource: often new entries, sometimes its end.
pub(super) fn any_put() -> impl Strategy<Value = Put> {
    let entries = prop::collection::vec(any_entry(), 0..6).prop_map(|mut entries| {
        entries.sort();
        entries.dedup();
        entries
    });
    (any_key(), prop::option::weighted(0.8, entries)).prop_map(|(key, entries)| (key.resource_type, OrderedId::from(&key.id), entries))
}

fn any_tests() -> impl Strategy<Value = (ParameterNumber, Vec<ValueTest>)> {
    let code = (prop::option::of(0..2usize), 0..4usize)
        .prop_map(|(system, code)| ValueTest::token(system.map(|system| ["s", "t"][system]), ["a", "b", "c", "d"][code]));
    let comparators = [Comparator::GreaterOrEqual, Comparator::Less, Comparator::Equal, Comparator::NotEqual];
    let date = (0..4usize, 0..12i64)
        .prop_map(move |(comparator, at)| ValueTest::date(comparators[comparator], DateInterval::from(Timestamp(at * 1000))));
    let subject = prop::collection::vec(any_key(), 1..3).prop_map(|keys| ValueTest::references_to(&keys));
    let uri = (0..3u8).prop_map(|number| ValueTest::uri(&format!("urn:{number}")));
    prop_oneof![
        prop::collection::vec(code, 0..3).prop_map(|tests| (CODE, tests)),
        prop::collection::vec(date, 1..3).prop_map(|tests| (DATE, tests)),
        prop::collection::vec(subject, 1..3).prop_map(|tests| (SUBJECT, tests)),
        prop::collection::vec(uri, 1..3).prop_map(|tests| (URI, tests)),
    ]
}

fn any_parameter() -> impl Strategy<Value = ParameterNumber> {
    (0..PARAMETERS.len()).prop_map(|index| PARAMETERS[index])
}

fn any_clause() -> impl Strategy<Value = Clause> {
    let leaf = prop_oneof![
        4 => any_tests().prop_map(|(parameter, tests)| Clause::Matches { parameter, tests }),
        1 => any_tests().prop_map(|(parameter, tests)| Clause::NotMatches { parameter, tests }),
        1 => (any_parameter(), any::<bool>()).prop_map(|(parameter, missing)| Clause::Missing { parameter, missing }),
        1 => prop::collection::vec(any_id(), 0..4).prop_map(Clause::Id),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let inner_search = (any_type(), prop::collection::vec(inner.clone(), 0..3));
        let inner_search = inner_search.prop_map(|(resource_type, filter)| TypeSearch { resource_type, filter, sort: Vec::new() }).boxed();
        prop_oneof![
            prop::collection::vec(inner_search.clone(), 0..3).prop_map(|targets| Clause::Chain { parameter: SUBJECT, targets }),
            inner_search.prop_map(|source| Clause::Has { parameter: SUBJECT, source: Box::new(source) }),
            prop::collection::vec(prop::collection::vec(inner, 0..3), 0..3).prop_map(Clause::AnyOf),
        ]
    })
}

fn any_sort() -> impl Strategy<Value = Vec<SortBy>> {
    let target = prop_oneof![1 => Just(SortTarget::Id), 4 => any_parameter().prop_map(SortTarget::Parameter)];
    let by = (target, any::<bool>()).prop_map(|(target, descending)| SortBy { target, descending });
    prop::collection::vec(by, 0..3)
}

/// A request from the first page on.
pub(super) fn any_request() -> impl Strategy<Value = SearchRequest> {
    let part = (any_type(), prop::collection::vec(any_clause(), 0..4));
    let total = prop_oneof![Just(TotalMode::None), (0..20u64).prop_map(TotalMode::UpTo), Just(TotalMode::Accurate)];
    (prop::collection::vec(part, 1..4), any_sort(), 0..8usize, total).prop_map(|(mut parts, sort, limit, total)| {
        parts.sort_by_key(|(resource_type, _)| *resource_type);
        parts.dedup_by_key(|(resource_type, _)| *resource_type);
        let parts = parts.into_iter().map(|(resource_type, filter)| TypeSearch { resource_type, filter, sort: sort.clone() });
        SearchRequest { parts: parts.collect(), after: None, limit, total, view: None, freshness: Freshness::Exact }
    })
}
