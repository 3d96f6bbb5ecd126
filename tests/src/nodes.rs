//! Several nodes of the profile aws on the same services: each sees what the other acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fhirpool_server::config::Given;
use fhirpool_testkit::{Deployment, TestServer};

/// Writes through one node, each sought at once through the other.
fn writes() -> usize {
    std::env::var("FHIRPOOL_NODE_WRITES").map_or(60, |count| count.parse().unwrap())
}

fn given() -> Given {
    // A machine that does much else besides may take its time; what is shown is that nothing is missed, and how long it took.
    Given { search_wait_ms_max: Some(20_000), ..Given::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_through_one_node_finds_what_its_client_wrote_through_another() {
    let deployment = Arc::new(Deployment::create().await);
    let (one, other) =
        tokio::join!(TestServer::start_node(&deployment, &["fleet"], given()), TestServer::start_node(&deployment, &["fleet"], given()));
    let (writer, reader) = (one.client("fleet"), other.client("fleet"));
    let mut waits: Vec<Duration> = Vec::new();
    let mut missed = 0;
    for number in 0..writes() {
        let text = format!(
            r#"{{"resourceType":"Patient","identifier":[{{"system":"urn:n","value":"{number}"}}],"name":[{{"family":"N{number}x"}}]}}"#
        );
        let created = writer.post("Patient", text).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let started = Instant::now();
        let found = reader.get(&format!("Patient?family=N{number}x")).await;
        waits.push(started.elapsed());
        assert_eq!(found.status, 200, "{}", found.text());
        missed += usize::from(found.json()["total"] != 1 || found.json()["entry"].as_array().map(Vec::len) != Some(1));
    }
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_millis();
    println!(
        "nodes: {} writes through one node, searches through the other: {missed} missed, p50 {} ms, p99 {} ms",
        waits.len(),
        at(50),
        at(99)
    );
    assert_eq!(missed, 0, "a write was not found");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_tenants_page_links_and_histories() {
    let deployment = Arc::new(Deployment::create().await);
    let one = TestServer::start_node(&deployment, &["fleet"], given()).await;
    // The second names no tenants: it learns of them from the services.
    let other = TestServer::start_node(&deployment, &[], given()).await;
    let (here, there) = (one.client("fleet"), other.client("fleet"));
    for number in 0..3 {
        assert_eq!(here.put(&format!("Patient/p{number}"), format!(r#"{{"resourceType":"Patient","id":"p{number}"}}"#)).await.status, 201);
    }
    assert_eq!(there.get("Patient/p1").await.status, 200, "a read is of the store");
    let first = here.get("Patient?_count=2&_sort=_id").await.json();
    let links = first["link"].as_array().unwrap();
    let next = links.iter().find(|link| link["relation"] == "next").unwrap()["url"].as_str().unwrap();
    let next = next.replace(&one.root(), &other.root());
    let second = there.get(&next).await;
    assert_eq!((second.status, second.json()["entry"][0]["resource"]["id"].as_str()), (200, Some("p2")), "{}", second.text());
    let history = there.get("_history").await.json();
    assert_eq!(history["entry"].as_array().map(Vec::len), Some(3), "{history}");
    assert_eq!(there.send("DELETE", "Patient/p1", &[], "").await.status, 204);
    assert_eq!(here.get("Patient/p1").await.status, 410);
    assert_eq!(here.get("Patient?_summary=count").await.json()["total"], 2);
    one.stop().await;
    other.stop().await;
}
