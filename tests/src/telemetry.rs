//! What a server tells of itself: metrics at an address of their own, traces to a collector.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fhirpool_server::config::Given;
use fhirpool_testkit::{Client, ServerProcess, TestServer};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// The value of a line of `/metrics` that begins so; 0 where there is none.
fn value(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|candidate| candidate.strip_prefix(line));
    found.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn metrics_are_told_at_an_address_of_their_own_and_name_only_so_many_tenants() {
    let given = Given { metrics_listen: Some("127.0.0.1:0".into()), metrics_tenants_max: Some(2), ..Given::default() };
    let tenants = ["counted-1", "counted-2", "counted-3", "counted-4"];
    let server = TestServer::start_with(&tenants, given).await;
    let metrics = Client::new(format!("http://{}", server.metrics_address().unwrap()), None);
    let before = metrics.get("/metrics").await.text();
    for tenant in tenants {
        let client = server.client(tenant);
        assert_eq!(client.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
        assert_eq!(client.get("Patient/p").await.status, 200);
        assert_eq!(client.get("Patient/absent").await.status, 404);
        assert_eq!(client.get("Patient?_id=p").await.status, 200);
        assert_eq!(client.send("PUT", "Patient/p", &[("if-match", "W/\"7\"")], r#"{"resourceType":"Patient","id":"p"}"#).await.status, 412);
    }
    let after = metrics.get("/metrics").await;
    assert_eq!((after.status, after.header("content-type")), (200, "text/plain; version=0.0.4"));
    let after = after.text();
    let grown = |line: &str| value(&after, line) - value(&before, line);
    // Other servers of this process may count at the same time.
    assert!(grown(r#"fhirpool_http_requests_total{action="read",status="200"}"#) >= 4.0, "{after}");
    assert!(grown(r#"fhirpool_http_requests_total{action="read",status="404"}"#) >= 4.0, "{after}");
    assert!(grown(r#"fhirpool_http_request_seconds_count{action="search-type"}"#) >= 4.0, "{after}");
    assert!(grown(r#"fhirpool_part_seconds_count{operation="store.commit"}"#) >= 8.0, "{after}");
    assert!(grown(r#"fhirpool_commits_total{outcome="committed"}"#) >= 4.0, "{after}");
    assert!(grown(r#"fhirpool_commits_total{outcome="precondition-failed"}"#) >= 4.0, "{after}");
    for tenant in ["counted-1", "counted-2"] {
        assert_eq!(value(&after, &format!(r#"fhirpool_tenant_requests_total{{tenant="{tenant}",class="4xx"}}"#)), 2.0, "{after}");
    }
    assert!(!after.contains("counted-3") && !after.contains("counted-4"), "more tenants than allowed are named");
    assert!(value(&after, r#"fhirpool_tenant_requests_total{tenant="other",class="2xx"}"#) >= 6.0, "{after}");
    // Where requests are served, nothing is told of others.
    assert_eq!(server.client("counted-1").get("/metrics").await.status, 404);
    assert_eq!(metrics.get("/tenant/counted-1/Patient/p").await.status, 404);
    server.stop().await;
}

/// Keeps the bodies that are sent to it.
async fn collector() -> (std::net::SocketAddr, Arc<Mutex<Vec<(String, Bytes)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = kept.clone();
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let kept = kept.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().push((path, body));
                    Ok::<_, Infallible>(hyper::Response::new(Full::<Bytes>::default()))
                }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await.map_err(|cause| cause.to_string()) });
        }
    });
    (address, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_a_request_and_its_parts_reach_the_collector() {
    let (address, received) = collector().await;
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("http://{address}");
    let mut server = ServerProcess::start_with(folder.path(), &["traced"], &["--otlp-endpoint", &endpoint]);
    let client = server.client(folder.path(), "traced");
    let headers = [("x-request-id", "the-request-42")];
    let response = client
        .send("PUT", "Patient/secret-id", &headers, r#"{"resourceType":"Patient","id":"secret-id","name":[{"family":"Secretname"}]}"#)
        .await;
    assert_eq!(response.status, 201);
    // What is left is sent when the server ends.
    server.terminate();
    assert!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap());
    tokio::time::timeout(Duration::from_secs(10), async {
        while received.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing was sent");
    let received = received.lock().unwrap();
    assert!(received.iter().all(|(path, _)| path == "/v1/traces"));
    let sent: Vec<u8> = received.iter().flat_map(|(_, body)| body.to_vec()).collect();
    let holds = |text: &str| sent.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["fhirpool", "update", "store.commit", "the-request-42", "traced"] {
        assert!(holds(text), "no span holds {text}: {}", String::from_utf8_lossy(&sent));
    }
    for text in ["secret-id", "Secretname"] {
        assert!(!holds(text), "a span holds {text}");
    }
}
