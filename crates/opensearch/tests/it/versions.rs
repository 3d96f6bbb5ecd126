//! Versions and tombstones, in whatever order and however often they come.

use fhirpool_fhir::Timestamp;
use fhirpool_search::testing::NOW;
use fhirpool_storage::IndexWriter;

use crate::harness::{Client, index};

fn observation(code: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"1","status":"final","code":{{"coding":[{{"code":"{code}"}}]}}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_changes_nothing_whenever_it_comes() {
    let index = index().await;
    let client = Client::new(&index, "t");
    let (first, second) = (client.document(&observation("a"), 1), client.document(&observation("b"), 2));
    let (gone, again) = (client.tombstone("Observation/1", 3), client.document(&observation("d"), 4));
    client.apply(&[second.clone(), first.clone(), second.clone()]).await;
    assert!(client.names("Observation?code=a").await.is_empty());
    assert_eq!(client.names("Observation?code=b").await, ["Observation/1"]);
    let page = client.page(&Client::request(&client.query("Observation"), 10, fhirpool_storage::TotalMode::Accurate)).await;
    assert_eq!(page.candidates[0].version.0, 2);
    client.apply(std::slice::from_ref(&gone)).await;
    client.apply(&[first, second]).await;
    for query in ["Observation", "Observation?_id=1", "Observation?code:not=z", "Observation?subject:missing=true"] {
        assert!(client.names(query).await.is_empty(), "{query}");
    }
    client.apply(std::slice::from_ref(&again)).await;
    client.apply(&[gone, again]).await;
    assert_eq!(client.names("Observation?code=d").await, ["Observation/1"]);
    index.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_gone_and_nothing_else() {
    let index = index().await;
    let (client, other) = (Client::new(&index, "t"), Client::new(&index, "t2"));
    for client in [&client, &other] {
        client.apply(&[client.tombstone("Observation/2", 2), client.document(&observation("a"), 1)]).await;
    }
    assert_eq!(index.purge_tombstones(&client.write, NOW).await.unwrap(), 0);
    assert_eq!(index.purge_tombstones(&client.write, Timestamp(NOW.0 + 1)).await.unwrap(), 1);
    assert_eq!(client.names("Observation").await, ["Observation/1"]);
    assert_eq!(index.purge_tenant(&client.write).await.unwrap(), 1);
    assert!(client.names("Observation").await.is_empty());
    assert_eq!(other.names("Observation").await, ["Observation/1"]);
    assert_eq!(index.purge_tenant(&other.write).await.unwrap(), 2);
    index.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_documents_go_in_several_requests_and_none_is_lost() {
    let mut settings = crate::harness::settings();
    settings.bulk_documents_max = 7;
    settings.bulk_bytes_max = 4_000;
    let index = crate::harness::index_of(settings).await;
    let client = Client::new(&index, "t");
    let json = |number: usize| format!(r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"family":"f{number}"}}]}}"#);
    let documents: Vec<_> = (0..100).map(|number| client.document(&json(number), 1)).collect();
    client.apply(&documents).await;
    assert_eq!(client.names("Patient").await.len(), 100);
    assert_eq!(index.apply(&[]).await.unwrap(), []);
    index.remove().await.unwrap();
}
