//! A new index beside the old one.

use fhirpool_storage::{IndexOutcome, IndexRebuild, IndexWriter};

use crate::harness::{Client, index};

fn patient(id: usize, family: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"p{id}","name":[{{"family":"{family}"}}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_index_takes_over_with_what_was_written_meanwhile() {
    let index = index().await;
    let client = Client::new(&index, "t");
    let old: Vec<_> = (0..20).map(|id| client.document(&patient(id, "old"), 1)).collect();
    client.apply(&old).await;
    assert!(index.backfill(&old).await.is_err(), "nothing was begun");
    index.begin().await.unwrap();
    // Half done and begun again.
    index.begin().await.unwrap();
    client.apply(&[client.document(&patient(3, "new"), 2), client.tombstone("Patient/p4", 2)]).await;
    assert_eq!(index.counts(&client.write).await.unwrap(), (19, 1));
    assert_eq!(client.names("Patient").await.len(), 19, "searches go to the old index");
    assert_eq!(index.backfill(&old).await.unwrap(), vec![IndexOutcome::Applied; 20]);
    assert_eq!(index.counts(&client.write).await.unwrap(), (19, 19));
    let other_node = Client::new(&fhirpool_opensearch::OpenSearch::clone(&index), "t");
    index.swap().await.unwrap();
    assert_eq!(other_node.names("Patient?name=old").await.len(), 18);
    assert_eq!(other_node.names("Patient?name=new").await, ["Patient/p3"]);
    other_node.apply(&[client.document(&patient(3, "newer"), 3)]).await;
    assert_eq!(other_node.names("Patient?name=newer").await, ["Patient/p3"]);
    index.begin().await.unwrap();
    index.abort().await.unwrap();
    index.refresh().await.unwrap();
    assert_eq!(client.names("Patient").await.len(), 19);
    index.remove().await.unwrap();
}
