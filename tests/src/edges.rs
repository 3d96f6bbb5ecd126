//! The edges of HTTP: versions, compression, limits, proxies, browsers, slow clients, stopping.

mod connections;
mod limits;
mod process;

use std::io::{Read, Write};

use fhirpool_server::config::Given;
use fhirpool_testkit::{Client, TestServer};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::wire;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","name":[{"family":"Kent","given":["Clark"]}]}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn link(bundle: &Value, relation: &str) -> String {
    let links = bundle["link"].as_array().unwrap();
    let found = links.iter().find(|link| link["relation"] == relation);
    found.unwrap_or_else(|| panic!("no link {relation} in {bundle}"))["url"].as_str().unwrap().to_owned()
}

/// An answer to a request made by hand, with the version of HTTP that it came by.
async fn over_http_2(url: &str, token: &str, count: usize) -> Vec<(hyper::Version, u16, Bytes)> {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let requests = (0..count).map(|_| {
        let request = hyper::Request::get(url).header("authorization", format!("Bearer {token}")).body(Full::default()).unwrap();
        let client = client.clone();
        async move {
            let response = client.request(request).await.unwrap();
            let (version, status) = (response.version(), response.status().as_u16());
            (version, status, response.into_body().collect().await.unwrap().to_bytes())
        }
    });
    futures_util::future::join_all(requests).await
}

#[tokio::test]
async fn http_2_by_prior_knowledge_answers_as_http_1_does() {
    let server = TestServer::start(&["edge"]).await;
    let client = server.client("edge");
    assert_eq!(client.put("Patient/p", PATIENT).await.status, 201);
    let plain = client.get("Patient/p").await;
    // More than the streams that one connection may have at once.
    let answers = over_http_2(&format!("{}/Patient/p", client.base), &server.token("edge"), 300).await;
    for (version, status, body) in answers {
        assert_eq!((version, status, body), (hyper::Version::HTTP_2, 200, plain.body.clone()));
    }
    // The links of HTTP/2's answers name the host that it has in `:authority`.
    let answers = over_http_2(&format!("{}/Patient?_count=1", client.base), &server.token("edge"), 1).await;
    let bundle: Value = serde_json::from_slice(&answers[0].2).unwrap();
    assert_eq!(link(&bundle, "self"), format!("{}/Patient?_count=1", client.base));
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    let server = TestServer::start(&["edge"]).await;
    let client = server.client("edge");
    let long = "long ".repeat(2_000);
    let text = format!(r#"{{"resourceType":"Patient","id":"p","name":[{{"text":"{}"}}]}}"#, long.trim_end());
    let response = client.send("PUT", "Patient/p", &[("content-encoding", "gzip")], gzip(text.as_bytes())).await;
    assert_eq!(response.status, 201, "{}", response.text());
    let plain = client.get("Patient/p").await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.json()["name"][0]["text"], long.trim_end());
    let packed = client.send("GET", "Patient/p", &[("accept-encoding", "br, gzip")], "").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.header("vary").to_lowercase().contains("accept-encoding"));
    assert!(packed.body.len() < plain.body.len() / 4);
    assert_eq!(gunzip(&packed.body), plain.text());
    assert_eq!(packed.header("etag"), plain.header("etag"));
    let refused = client.send("PUT", "Patient/p", &[("content-encoding", "br")], "x").await;
    assert_eq!((refused.status, refused.json()["resourceType"].as_str()), (415, Some("OperationOutcome")));
    let damaged = client.send("PUT", "Patient/p", &[("content-encoding", "gzip")], PATIENT).await;
    assert_eq!(damaged.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn pretty_and_head() {
    let server = TestServer::start(&["edge"]).await;
    let client = server.client("edge");
    client.put("Patient/p", PATIENT).await;
    let plain = client.get("Patient/p").await;
    let pretty = client.get("Patient/p?_pretty=true").await;
    assert!(!plain.text().contains('\n') && pretty.text().contains("\n  \"name\""));
    assert_eq!(plain.json(), pretty.json());
    for path in ["Patient/p", "Patient/p/_history/1", "Patient?_count=1", "Patient/p/_history", "metadata", "Patient/none"] {
        let (get, head) = (client.get(path).await, client.send("HEAD", path, &[], "").await);
        assert_eq!(get.status, head.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["etag", "last-modified", "content-type", "content-length"] {
            assert_eq!(get.header(name), head.header(name), "{path}: {name}");
        }
        assert!(!get.header("content-length").is_empty(), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn forwarded_headers_are_believed_from_configured_proxies_alone() {
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "fhir.example"), ("x-forwarded-prefix", "/api")];
    for (proxies, outside) in [
        (Vec::new(), None),
        (vec!["127.0.0.2".parse().unwrap()], None),
        (vec!["127.0.0.1".parse().unwrap()], Some("https://fhir.example/api/tenant/edge")),
    ] {
        let server = TestServer::start_with(&["edge"], Given { trusted_proxy: proxies, ..Given::default() }).await;
        let client = server.client("edge");
        let base = outside.unwrap_or(&client.base);
        for _ in 0..2 {
            let created = client.send("POST", "Patient", &forwarded, r#"{"resourceType":"Patient"}"#).await;
            assert!(created.header("location").starts_with(&format!("{base}/Patient/")), "{}", created.header("location"));
        }
        let bundle = client.send("GET", "Patient?_count=1", &forwarded, "").await.json();
        assert_eq!(link(&bundle, "self"), format!("{base}/Patient?_count=1"));
        assert!(link(&bundle, "next").starts_with(&format!("{base}/Patient?")));
        assert!(bundle["entry"][0]["fullUrl"].as_str().unwrap().starts_with(&format!("{base}/Patient/")));
        let history = client.send("GET", "_history?_count=1", &forwarded, "").await.json();
        assert!(link(&history, "next").starts_with(&format!("{base}/_history?")));
        server.stop().await;
    }
}

#[tokio::test]
async fn the_base_url_of_the_settings_stands_in_every_address() {
    let server = TestServer::start_with(&["edge"], Given { base_url: Some("https://fhir.example".into()), ..Given::default() }).await;
    let client = server.client("edge");
    let created = client.post("Patient", r#"{"resourceType":"Patient"}"#).await;
    assert!(created.header("location").starts_with("https://fhir.example/tenant/edge/Patient/"));
    let bundle = client.get("Patient").await.json();
    assert_eq!(link(&bundle, "self"), "https://fhir.example/tenant/edge/Patient");
    server.stop().await;
}

#[tokio::test]
async fn browsers_may_call_from_the_origins_of_the_settings() {
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type,if-match"),
    ];
    let closed = TestServer::start(&["edge"]).await;
    let response = closed.client("edge").send("GET", "metadata", &preflight[..1], "").await;
    assert_eq!(response.header("access-control-allow-origin"), "");
    closed.stop().await;

    let server = TestServer::start_with(&["edge"], Given { cors_origin: vec!["https://app.example".into()], ..Given::default() }).await;
    let nobody = Client::new(format!("{}/tenant/edge", server.root()), None);
    let response = nobody.send("OPTIONS", "Patient/p", &preflight, "").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), "https://app.example");
    assert!(response.header("access-control-allow-methods").contains("PUT"));
    for name in ["authorization", "content-type", "if-match"] {
        assert!(response.header("access-control-allow-headers").contains(name), "{name}");
    }
    // Refusals too: a browser shows the app nothing of an answer without the header.
    let refused = nobody.send("GET", "Patient/p", &preflight[..1], "").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "https://app.example"));
    let read = server.client("edge").send("GET", "Patient", &preflight[..1], "").await;
    assert!(read.header("access-control-expose-headers").contains("etag"));
    let stranger = server.client("edge").send("GET", "Patient", &[("origin", "https://evil.example")], "").await;
    assert_eq!(stranger.header("access-control-allow-origin"), "");
    server.stop().await;

    let open = TestServer::start_with(&["edge"], Given { cors_origin: vec!["*".into()], ..Given::default() }).await;
    let response = open.client("edge").send("GET", "Patient", &preflight[..1], "").await;
    assert_eq!(response.header("access-control-allow-origin"), "*");
    open.stop().await;
}

#[tokio::test]
async fn chunked_bodies_come_whole_and_broken_ones_are_refused() {
    let server = TestServer::start(&["edge"]).await;
    let head = format!(
        "Host: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\nConnection: close\r\n",
        server.token("edge")
    );
    let chunks: String =
        PATIENT.as_bytes().chunks(7).map(|chunk| format!("{:x};ext=1\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk))).collect();
    let exchange = async |headers: &str, body: &str| {
        let request = format!("PUT /tenant/edge/Patient/p HTTP/1.1\r\n{head}{headers}\r\n{body}");
        wire::exchange(server.address(), request.as_bytes()).await
    };
    let whole = exchange("Transfer-Encoding: chunked\r\n", &format!("{chunks}0\r\nX-Trailer: 1\r\n\r\n")).await;
    assert_eq!(wire::status(&whole), 201, "{whole}");
    for body in ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n{}"] {
        let answer = exchange("Transfer-Encoding: chunked\r\n", body).await;
        assert!(matches!(wire::status(&answer), 0 | 400), "{body:?}: {answer}");
    }
    server.stop().await;
}
