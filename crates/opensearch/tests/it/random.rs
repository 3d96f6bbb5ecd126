//! Random searches, against the plain reading in memory.

use std::collections::BTreeMap;

use fhirpool_search::parse::Handling;
use fhirpool_search::testing::{ResourceSet, read_query};
use fhirpool_storage::TotalMode;
use fhirpool_storage::conformance::queries::{random_query, random_resource};
use fhirpool_storage::conformance::{Random, extractors};

use crate::harness::{Client, index};

const ROUNDS: usize = 8;
const QUERIES: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn random_searches_find_what_the_plain_reading_finds() {
    let index = index().await;
    let mut random = Random::seeded("random searches");
    let mut wrong = Vec::new();
    let (mut asked, mut refused, mut hits) = (0, 0, 0);
    for round in 0..ROUNDS {
        let client = Client::new(&index, &format!("t{round}"));
        let mut resources = BTreeMap::new();
        for _ in 0..20 + random.below(120) {
            let json = random_resource(&mut random);
            resources.insert(client.document(&json, 1).key.to_string(), json);
        }
        let documents: Vec<_> = resources.values().map(|json| client.document(json, 1)).collect();
        client.apply(&documents).await;
        let texts: Vec<&str> = resources.values().map(String::as_str).collect();
        let plain = ResourceSet::new(extractors(), &texts);
        for _ in 0..QUERIES {
            let text = random_query(&mut random);
            let Ok(query) = read_query(plain.definitions(), &text, Handling::Strict) else {
                refused += 1;
                continue;
            };
            asked += 1;
            let expected = plain.search(&query);
            hits += expected.len();
            let limit = random.pick(&[1, 2, 3, 7, 1000]);
            let found = client.all(&query, limit).await;
            if found != expected {
                wrong.push(format!("{text} by {limit}\n   found    {found:?}\n   expected {expected:?}"));
            }
            let most = random.below(20) as u64;
            let total = client.page(&Client::request(&query, random.below(4), TotalMode::UpTo(most))).await.total;
            let whole = query.parts.iter().all(|part| part.filter.is_empty());
            let count = expected.len() as u64;
            if total != (whole || count <= most).then_some(count) {
                wrong.push(format!("{text} counts {total:?} up to {most}, expected {count}"));
            }
        }
    }
    index.remove().await.unwrap();
    println!("{asked} searches with {hits} hits, {refused} refused");
    assert!(refused * 10 < asked, "too many queries are not understood: {refused} of {}", asked + refused);
    assert!(hits > asked, "the searches find too little to show anything");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
