//! Content of any type as a Binary.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use crate::support::Api;

#[tokio::test]
async fn content_goes_in_and_comes_out_as_it_is() {
    let api = Api::new().await;
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("x-security-context", "Patient/1"),
        ("accept", "application/fhir+json, */*; q=0.1"),
    ];
    let created = api.send("POST", "Binary", &headers, "héllo").await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let resource = created.json();
    assert_eq!((&resource["contentType"], &resource["data"]), (&json!("text/plain; charset=utf-8"), &json!("aMOpbGxv")));
    assert_eq!(resource["securityContext"]["reference"], "Patient/1");
    let path = format!("Binary/{}", resource["id"].as_str().unwrap());

    let raw = api.send("GET", &path, &[("accept", "text/plain")], Body::empty()).await;
    assert_eq!((raw.status, raw.header("content-type"), &raw.body[..]), (StatusCode::OK, "text/plain; charset=utf-8", "héllo".as_bytes()));
    assert_eq!((raw.header("x-content-type-options"), raw.header("etag")), ("nosniff", "W/\"1\""));
    for accept in ["", "*/*", "application/fhir+json", "application/json", "application/fhir+json, */*; q=0.1"] {
        let answer = api.send("GET", &path, &[("accept", accept)], Body::empty()).await;
        assert_eq!(answer.json()["resourceType"], "Binary", "{accept}");
    }
    assert_eq!(api.send("GET", &path, &[("accept", "image/png")], Body::empty()).await.status, StatusCode::NOT_ACCEPTABLE);

    let replaced = api.send("PUT", &path, &[("content-type", "image/png")], vec![0_u8, 1, 2]).await;
    assert_eq!((replaced.status, &replaced.json()["data"]), (StatusCode::OK, &json!("AAEC")));
    let raw = api.send("GET", &path, &[("accept", "image/*")], Body::empty()).await;
    assert_eq!((raw.header("content-type"), &raw.body[..]), ("image/png", &[0_u8, 1, 2][..]));
}

#[tokio::test]
async fn a_binary_resource_is_taken_as_such() {
    let api = Api::new().await;
    let binary = r#"{"resourceType":"Binary","contentType":"application/pdf","data":"JVBERg=="}"#;
    let created = api.put_json("POST", "Binary", &[], binary).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let path = format!("Binary/{}", created.json()["id"].as_str().unwrap());
    let raw = api.send("GET", &path, &[("accept", "application/pdf")], Body::empty()).await;
    assert_eq!(&raw.body[..], b"%PDF");
}
