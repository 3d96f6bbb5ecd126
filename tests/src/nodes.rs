//! Several nodes of the profile aws on the same services: each sees what the other acknowledged.

use std::sync::Arc;

use fhirpool_server::config::Given;
use fhirpool_testkit::{Deployment, TestServer};

fn given() -> Given {
    // A machine that does much else besides may take its time; what is shown is that nothing is missed.
    Given { search_wait_ms_max: Some(20_000), ..Given::default() }
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
    assert_eq!(there.send("DELETE", "Patient/p1", &[], "").await.status, 200);
    assert_eq!(here.get("Patient/p1").await.status, 410);
    assert_eq!(here.get("Patient?_summary=count").await.json()["total"], 2);
    one.stop().await;
    other.stop().await;
}
