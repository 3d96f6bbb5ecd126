//! The meaning of searches.

use fhirpool_search::testing::{describe, groups};
use fhirpool_storage::TotalMode;

use crate::harness::{Client, index};

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_meaning_is_answered() {
    let index = index().await;
    let mut wrong = Vec::new();
    for (number, group) in groups().into_iter().enumerate() {
        let client = Client::new(&index, &format!("t{number}"));
        let documents: Vec<_> = group.resources.iter().map(|json| client.document(json, 1)).collect();
        client.apply(&documents).await;
        for (text, expected) in group.searches {
            let query = client.query(text);
            for limit in [1, 3, 1000] {
                let found = describe(&query, &client.all(&query, limit).await);
                if found != *expected {
                    wrong.push(format!("{}: {text} by {limit}\n   found    {found}\n   expected {expected}", group.name));
                }
            }
            let count = client.page(&Client::request(&query, 0, TotalMode::Accurate)).await.total;
            if count != Some(expected.split_whitespace().count() as u64) {
                wrong.push(format!("{}: {text} counts {count:?}, expected {expected}", group.name));
            }
        }
    }
    index.remove().await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
