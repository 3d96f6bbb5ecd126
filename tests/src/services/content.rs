//! The content of Binary while S3 fails, and uploads over the limit.

use std::sync::Arc;

use fhirpool_server::config::{ContentDelivery, Given};
use fhirpool_testkit::{Client, Deployment, Fault, ProxiedAnswer, Response};
use serde_json::Value;

use super::Services;
use crate::wire;

const ANNOUNCED: &str = r#"{"resourceType":"Binary","contentType":"text/plain"}"#;

fn large() -> Vec<u8> {
    (0..100_000_u32).map(|at| (at % 251) as u8).collect()
}

async fn put_large(client: &Client, id: &str) -> Response {
    client.send("PUT", &format!("Binary/{id}"), &[("content-type", "image/png")], large()).await
}

async fn upload(client: &Client, url: &str, bytes: &'static [u8]) -> u16 {
    client.send("PUT", url, &[("content-type", "text/plain"), ("authorization", "")], bytes).await.status
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// What needs S3 is refused for now, nothing is half done, and what does not need it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_s3_no_binary_is_half_there() {
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let node = services.node(&deployment, &["a"], Given::default()).await;
    let client = node.client("a");
    assert_eq!(put_large(&client, "before").await.status, 201);
    let announced = client.post("Binary", ANNOUNCED).await.json();
    let (id, url) = (text(&announced, "id").to_owned(), text(&announced, "presignedPutUrl").to_owned());
    assert_eq!(upload(&client, &url, b"text").await, 200);

    for fault in [Fault::Answer(ProxiedAnswer::json(503, &Value::Null)), Fault::Drop] {
        services.s3.set_rule(move |_| Some(fault.clone()));
        let refused = put_large(&client, "during").await;
        assert_eq!((refused.status, refused.header("retry-after").is_empty()), (503, false), "{}", refused.text());
        assert_eq!(client.get("Binary/during").await.status, 404, "nothing was committed");
        assert_eq!(put_large(&client, "before").await.status, 503);
        assert_eq!(client.get("Binary/before/_history").await.json()["entry"].as_array().unwrap().len(), 1);
        assert_eq!(client.get("Binary/before").await.status, 503, "what is there is not told to be absent");
        assert_eq!(client.get(&format!("Binary/{id}")).await.status, 503);
        let raw = client.send("GET", &format!("Binary/{id}"), &[("accept", "text/plain")], "").await;
        assert_eq!(raw.status, 503);
        let small = client.send("POST", "Binary", &[("content-type", "text/plain")], "small").await;
        assert_eq!(small.status, 201, "what is small stays in the resource");
        let announced = client.post("Binary", ANNOUNCED).await;
        assert_eq!(announced.status, 201, "a URL is signed without asking");
        assert!(text(&announced.json(), "presignedPutUrl").starts_with("http"));
        services.s3.clear_rule();
    }

    assert_eq!(put_large(&client, "during").await.status, 201);
    let read = client.send("GET", "Binary/during", &[("accept", "image/png")], "").await;
    assert_eq!(read.body, large());
    assert!(text(&client.get(&format!("Binary/{id}")).await.json(), "presignedGetUrl").starts_with("http"));
    node.stop().await;
}

/// An answer of S3 that is lost is asked for again: the object is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_s3_is_not_the_clients_matter() {
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let node = services.node(&deployment, &["a"], Given::default()).await;
    let client = node.client("a");
    let first = std::sync::atomic::AtomicBool::new(true);
    services.s3.set_rule(move |request| {
        let is_put = request.method == "PUT" && request.path.contains("/body/");
        (is_put && first.swap(false, std::sync::atomic::Ordering::SeqCst)).then_some(Fault::Cut)
    });
    assert_eq!(put_large(&client, "1").await.status, 201);
    assert_eq!(client.send("GET", "Binary/1", &[("accept", "image/png")], "").await.body, large());
    node.stop().await;
}

/// Clients never hear of S3, and what they may do is held against how the tenant stands when they do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_passes_through_the_server_where_that_is_set() {
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let given = Given { content_delivery: Some(ContentDelivery::Server), body_bytes_max: Some(8 << 20), ..Given::default() };
    let node = services.node(&deployment, &["a", "b"], given).await;
    let client = node.client("a");
    let s3 = [std::env::var("FHIRPOOL_S3_ENDPOINT").unwrap(), services.s3.url()];
    let shown = |response: &Response| {
        let all = format!("{:?}{}", response.headers, response.text());
        assert!(!all.contains("X-Amz") && !s3.iter().any(|address| all.contains(address.as_str())), "{all}");
        response.json()
    };
    let bytes: Vec<u8> = (0..5 << 20).map(|at: u32| (at % 249) as u8).collect();
    let announced = shown(&client.post("Binary", ANNOUNCED).await);
    let (id, up) = (text(&announced, "id").to_owned(), text(&announced, "presignedPutUrl").to_owned());
    assert!(up.starts_with(&format!("{}/$content/Binary/{id}/1?", client.base)), "{up}");
    let headers = [("content-type", "text/plain"), ("authorization", "")];
    let put = async |url: &str, body: Vec<u8>| client.send("PUT", url, &headers, body).await;
    // Refused for what it says of itself: none of it is read.
    let path = up.strip_prefix(&node.root()).unwrap();
    for (length, expected) in [("Content-Length: 8388609", 413), ("Transfer-Encoding: chunked", 411)] {
        let request = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: close\r\n{length}\r\n\r\n");
        let answer = wire::exchange(node.address(), request.as_bytes()).await;
        assert_eq!(wire::status(&answer), expected, "{length}: {answer}");
    }
    assert_eq!(put(&up.replace("/tenant/a/", "/tenant/b/"), b"x".to_vec()).await.status, 403, "another tenant");
    assert_eq!(put(&up.replace("signature=", "signature=A"), b"x".to_vec()).await.status, 403);
    assert_eq!(client.send("PUT", &up, &[("content-type", "text/html"), ("authorization", "")], "x").await.status, 403);
    assert_eq!(shown(&client.get(&format!("Binary/{id}")).await)["resourceType"], "OperationOutcome", "it is not there yet");

    // S3 does not take it now: the client is told, and sends it again.
    services.s3.set_rule(move |_| Some(Fault::Answer(ProxiedAnswer::json(503, &Value::Null))));
    let refused = put(&up, b"text".to_vec()).await;
    assert_eq!((refused.status, refused.header("retry-after").is_empty()), (503, false), "{}", refused.text());
    services.s3.clear_rule();
    assert_eq!(put(&up, bytes.clone()).await.status, 200);
    assert_eq!(put(&up, b"other".to_vec()).await.status, 412, "the first upload counts");

    let read = shown(&client.get(&format!("Binary/{id}")).await);
    let down = text(&read, "presignedGetUrl").to_owned();
    assert!(down.starts_with(&format!("{}/$content/Binary/{id}/1?", client.base)), "{down}");
    let got = client.send("GET", &down, &[("authorization", "")], "").await;
    assert_eq!((got.status, got.header("content-type"), got.header("content-length")), (200, "text/plain", "5242880"));
    assert!(got.body == bytes);
    let raw = client.send("GET", &format!("Binary/{id}"), &[("accept", "text/plain")], "").await;
    assert!(raw.status == 200 && raw.body == bytes);
    for path in ["Binary", "_history", &format!("Binary/{id}/_history/1")] {
        shown(&client.get(path).await);
    }
    let batch = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{{"request":{{"method":"GET","url":"Binary/{id}"}}}}]}}"#);
    shown(&client.post("", batch).await);

    // As in the profile embedded: refused as a signature that does not fit.
    let waiting = text(&client.post("Binary", ANNOUNCED).await.json(), "presignedPutUrl").to_owned();
    let administrator = node.administrator();
    let asked =
        async || [put(&waiting, b"late".to_vec()).await.status, client.send("GET", &down, &[("authorization", "")], "").await.status];
    let until = async |statuses: [u16; 2]| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while asked().await != statuses {
            assert!(std::time::Instant::now() < deadline, "not {statuses:?}");
        }
    };
    assert_eq!(administrator.post("/admin/tenants/a/$suspend", "").await.status, 200);
    until([403, 403]).await;
    assert_eq!(administrator.post("/admin/tenants/a/$resume", "").await.status, 200);
    // Once it is taken, a second is refused.
    until([412, 200]).await;
    assert_eq!(administrator.send("DELETE", "/admin/tenants/a", &[], "").await.status, 202);
    until([403, 403]).await;
    node.stop().await;
}

/// S3 takes uploads of any length where none was told: one over the limit is removed when it is met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_over_the_limit_is_removed_when_it_is_read() {
    let deployment = Arc::new(Deployment::create().await);
    let node =
        fhirpool_testkit::TestServer::start_node(&deployment, &["a"], Given { body_bytes_max: Some(1024), ..Given::default() }).await;
    let client = node.client("a");
    let announced = client.post("Binary", ANNOUNCED).await.json();
    let (id, url) = (text(&announced, "id"), text(&announced, "presignedPutUrl"));
    assert_eq!(upload(&client, url, &[b'x'; 2000]).await, 200);
    let refused = client.get(&format!("Binary/{id}")).await;
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("2000 bytes where 1024 are allowed"), "{}", refused.text());
    let refused = client.get(&format!("Binary/{id}")).await;
    assert!(refused.text().contains("has not been uploaded yet"), "{}", refused.text());
    assert_eq!(upload(&client, url, b"short").await, 200);
    assert_eq!(client.send("GET", &format!("Binary/{id}"), &[("accept", "text/plain")], "").await.body, "short");
    node.stop().await;
}
