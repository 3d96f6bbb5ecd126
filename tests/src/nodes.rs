//! Several nodes of the profile aws on the same services: each sees what the other acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fhirpool_server::config::Given;
use fhirpool_testkit::{Deployment, TestServer};

use crate::settings::setting;

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

/// How long the nodes are asked for as much as they take; longer where `FHIRPOOL_QUOTA_SECONDS` says so.
const BLAST_SECONDS: u64 = 10;
const POINTS_PER_S: f64 = 50.0;
const BURST_POINTS: f64 = 100.0;

/// Asks a node without a pause by several clients; gives how many requests were admitted, and how many not.
async fn blast(node: &TestServer, seconds: u64) -> (u64, u64) {
    let until = Instant::now() + Duration::from_secs(seconds);
    let clients = (0..2).map(|_| async {
        let (client, mut admitted, mut refused) = (node.client("fleet"), 0, 0);
        while Instant::now() < until {
            match client.get("Patient/none").await.status {
                404 => admitted += 1,
                429 => refused += 1,
                status => panic!("{status}"),
            }
        }
        (admitted, refused)
    });
    let counted = futures_util::future::join_all(clients).await;
    counted.into_iter().fold((0, 0), |(admitted, refused), (more, less)| (admitted + more, refused + less))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_keep_to_one_quota_together() {
    let deployment = Arc::new(Deployment::create().await);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[quota]\npoints_per_second = {POINTS_PER_S}\nburst_points = {BURST_POINTS}\n")).unwrap();
    let given = || Given { access_file: Some(file.path().to_owned()), ..given() };
    let one = TestServer::start_node(&deployment, &["fleet"], given()).await;
    let other = TestServer::start_node(&deployment, &[], given()).await;
    let long = setting::<u64>("FHIRPOOL_QUOTA_SECONDS");
    // Within a tenth where draws are answered at once, as the long form shows that runs alone; one that a busy machine answers after a
    // second is lost to both nodes.
    let (seconds, least) = (long.unwrap_or(BLAST_SECONDS), if long.is_some() { 0.9 } else { 0.75 });
    let started = Instant::now();
    let (here, there) = tokio::join!(blast(&one, seconds), blast(&other, seconds));
    let due = POINTS_PER_S * started.elapsed().as_secs_f64() + BURST_POINTS;
    let admitted = (here.0 + there.0) as f64;
    println!("quota: two nodes admitted {} and {} of {due:.0} points, {:.1} %", here.0, there.0, admitted / due * 100.0);
    assert!(here.0 > 0 && there.0 > 0 && here.1 > 0 && there.1 > 0, "both are asked too much: {here:?}, {there:?}");
    assert!((due * least..=due * 1.1).contains(&admitted), "{admitted} points of {due}: {here:?}, {there:?}");
    // What one does not use goes to the other; what was drawn for it before is in neither's hands.
    let started = Instant::now();
    let alone = blast(&one, seconds).await.0 as f64;
    let due = POINTS_PER_S * started.elapsed().as_secs_f64();
    println!("quota: one of them alone admitted {alone} of {due:.0} points, {:.1} %", alone / due * 100.0);
    assert!(alone >= due * least && alone <= due * 1.1 + BURST_POINTS, "{alone} of {due}");
    one.stop().await;
    other.stop().await;
}
