//! Addresses that answers carry, the default tenant, CORS.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use fhirpool_api::Settings;
use fhirpool_authz::TenantId;
use http::{Request, StatusCode};

use crate::support::{Api, PATIENT, token};

#[tokio::test]
async fn the_base_comes_from_the_setting_where_there_is_one() {
    let api = Api::with(Settings { base_url: Some("https://public.example/fhir".into()), ..Settings::default() }).await;
    let created = api.put_json("POST", "Patient", &[], PATIENT).await;
    assert!(created.header("location").starts_with("https://public.example/fhir/tenant/acme/Patient/"));
    let link = api.get("Patient").await.json()["link"][0]["url"].as_str().unwrap().to_owned();
    assert!(link.starts_with("https://public.example/fhir/tenant/acme/Patient"), "{link}");
}

#[tokio::test]
async fn proxies_are_believed_where_they_are_trusted() {
    let api = Api::with(Settings { trusted_proxies: vec!["10.0.0.1".parse().unwrap()], ..Settings::default() }).await;
    for (peer, expected) in [("10.0.0.1:1", "https://public.example/tenant/acme/"), ("10.0.0.2:1", "http://inner/tenant/acme/")] {
        let mut request = Request::builder().method("POST").uri("/tenant/acme/Patient").header("host", "inner");
        request = request.header("authorization", format!("Bearer {}", token("acme", "practitioner", 0)));
        request = request.header("x-forwarded-host", "public.example").header("x-forwarded-proto", "https");
        let mut request = request.body(Body::from(PATIENT)).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        let answer = api.send_raw(request).await;
        assert!(answer.header("location").starts_with(expected), "{peer}: {}", answer.header("location"));
    }
}

#[tokio::test]
async fn the_default_tenant_is_served_with_and_without_its_prefix() {
    let api = Api::with(Settings { default_tenant: TenantId::parse("acme"), ..Settings::default() }).await;
    let created = api.put_json("POST", "/Patient", &[], PATIENT).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let location = created.header("location");
    assert!(location.starts_with("http://fhir.example/Patient/"), "{location}");
    let path = location.strip_prefix("http://fhir.example").unwrap();
    assert_eq!(api.get(path).await.status, StatusCode::OK);
    assert_eq!(api.get(&format!("/tenant/acme{path}")).await.status, StatusCode::OK);
    assert_eq!(api.get("/metadata").await.status, StatusCode::OK);
    let other = format!("Bearer {}", token("other", "practitioner", 0));
    assert_eq!(api.send("GET", path, &[("authorization", &other)], Body::empty()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        api.send("GET", &format!("/tenant/other{path}"), &[("authorization", &other)], Body::empty()).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn browsers_may_call_from_the_origins_that_are_set() {
    let closed = Api::new().await;
    let from = |origin| [("origin", origin)];
    assert_eq!(closed.send("GET", "metadata", &from("https://app.example"), Body::empty()).await.header("access-control-allow-origin"), "");

    let api = Api::with(Settings { cors_origins: vec!["https://app.example".into()], ..Settings::default() }).await;
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,if-match"),
        ("authorization", ""),
    ];
    let answer = api.send("OPTIONS", "Patient/1", &preflight, Body::empty()).await;
    assert!(answer.status.is_success());
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
    assert!(answer.header("access-control-allow-methods").contains("PUT"));
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,if-match");
    let answer = api.send("GET", "Patient/1", &from("https://app.example"), Body::empty()).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::NOT_FOUND, "https://app.example"));
    assert!(answer.header("access-control-expose-headers").contains("etag"));
    assert_eq!(api.send("GET", "metadata", &from("https://evil.example"), Body::empty()).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn requests_are_named() {
    let api = Api::new().await;
    assert_eq!(api.send("GET", "metadata", &[("x-request-id", "abc-1")], Body::empty()).await.header("x-request-id"), "abc-1");
    let first = api.send("GET", "metadata", &[("x-request-id", "a b")], Body::empty()).await;
    let second = api.get("metadata").await;
    assert!(!first.header("x-request-id").is_empty() && first.header("x-request-id") != "a b");
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}
