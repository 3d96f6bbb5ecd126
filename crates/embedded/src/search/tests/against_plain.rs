//! Random commits and searches, in the newest and in older snapshots, with one cache for all.

use fhirpool_authz::TypeSet;
use fhirpool_storage::SearchRequest;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::memory::{Put, Snapshot, World};
use super::plain;
use super::requests::{any_put, any_request, types};
use crate::search::{SearchCache, SearchSettings, search, search_briefly};

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Put>),
    Search {
        request: SearchRequest,
        /// How many commits ago.
        ago: usize,
        /// Which of the types may be seen, by bit.
        types: u8,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let search = (any_request(), prop_oneof![3 => Just(0usize), 1 => 0..4usize], prop_oneof![3 => Just(7u8), 1 => 0..8u8]);
    prop_oneof![
        2 => prop::collection::vec(any_put(), 1..12).prop_map(Step::Commit),
        3 => search.prop_map(|(request, ago, types)| Step::Search { request, ago, types }),
    ]
}

/// Settings under which small data takes the ways of large data; which ones, by bit.
fn settings(ways: u8) -> SearchSettings {
    SearchSettings {
        probe_length: if ways & 1 == 0 { 4 } else { 4_096 },
        kept_length_min: if ways & 2 == 0 { 0 } else { 32 },
        walk_length_min: if ways & 4 == 0 { 1 } else { 1_000 },
        column_length_max: if ways & 8 == 0 { 1_000 } else { 0 },
        ..SearchSettings::default()
    }
}

fn run(steps: &[Step], ways: u8) {
    let settings = settings(ways);
    let cache = SearchCache::new(settings.cache_bytes);
    let mut world = World::new();
    for step in steps {
        match step {
            Step::Commit(changes) => {
                let mut changes = changes.clone();
                changes.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
                changes.dedup_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
                world.commit(&cache, &changes);
            }
            Step::Search { request, ago, types: bits } => {
                let state = world.states[world.states.len().saturating_sub(ago + 1)].clone();
                let seen = types().into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
                let snapshot = Snapshot { state, types: TypeSet::from_iter(seen.map(|(_, resource_type)| resource_type)) };
                all_pages_agree(&snapshot, &cache, &settings, request);
            }
        }
    }
}

fn all_pages_agree(snapshot: &Snapshot, cache: &SearchCache, settings: &SearchSettings, request: &SearchRequest) {
    let mut request = request.clone();
    loop {
        let found = search(snapshot, cache, settings, &request).unwrap();
        assert_eq!(found, plain::search(snapshot, &request));
        let brief = search_briefly(snapshot, cache, settings, &request).unwrap();
        assert!(brief.is_none_or(|brief| brief == found));
        match found.hits.last() {
            Some(last) if found.more => request.after = Some(last.position.clone()),
            _ => return,
        }
    }
}

#[test]
fn random_searches_agree_with_the_plain_reading() {
    let seed = std::env::var("FHIRPOOL_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        time.as_nanos() as u64
    });
    eprintln!("FHIRPOOL_TEST_SEED={seed}");
    let seed: [u8; 32] = std::array::from_fn(|index| seed.to_be_bytes()[index % 8]);
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let strategy = (prop::collection::vec(any_step(), 1..30), 0..16u8);
    let outcome = runner.run(&strategy, |(steps, ways)| {
        run(&steps, ways);
        Ok(())
    });
    outcome.unwrap();
}
