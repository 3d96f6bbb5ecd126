//! Limits, and what is answered when something fails.

use std::time::Duration;

use axum::body::Body;
use fhirpool_api::Settings;
use futures_util::stream;
use http::StatusCode;

use crate::support::{Api, PATIENT};

fn small() -> Settings {
    Settings { body_bytes_max: 1000, url_bytes_max: 300, header_bytes_max: 3000, ..Settings::default() }
}

#[tokio::test]
async fn what_is_too_large_is_told_which_limit_it_broke() {
    let api = Api::with(small()).await;
    assert_eq!(api.put_json("POST", "Patient", &[], PATIENT).await.status, StatusCode::CREATED);
    let body = api.put_json("POST", "Patient", &[], &PATIENT.replace("Straße", &"x".repeat(1000))).await;
    assert_eq!((body.status, body.issue().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too-long"));
    let chunked = Body::from_stream(stream::iter((0..20).map(|_| Ok::<_, std::io::Error>("y".repeat(100)))));
    assert_eq!(api.send("POST", "Patient", &[], chunked).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let announced = api.send("POST", "Patient", &[("content-length", "99999999999999999999")], "{}").await;
    assert!(announced.status.is_client_error(), "{}", announced.status);
    let url = api.get(&format!("Patient?family={}", "x".repeat(300))).await;
    assert_eq!((url.status, url.issue().as_str()), (StatusCode::URI_TOO_LONG, "too-long"));
    let headers = api.send("GET", "Patient", &[("x-long", &"x".repeat(3000))], Body::empty()).await;
    assert_eq!((headers.status, headers.issue().as_str()), (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too-long"));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let api = Api::with(Settings { request_time_max: Duration::from_millis(20), ..Settings::default() }).await;
    let never = Body::from_stream(stream::pending::<Result<String, std::io::Error>>());
    let answer = api.send("POST", "Patient", &[], never).await;
    assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::REQUEST_TIMEOUT, "timeout"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_bad_request() {
    let api = Api::new().await;
    let broken = Body::from_stream(stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("reset"))]));
    assert_eq!(api.send("POST", "Patient", &[], broken).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_panic_is_an_answer_of_500_and_the_next_request_is_served() {
    let api = Api::with_readiness(Settings::default(), || panic!("a fault")).await;
    let answer = api.get("/health/ready").await;
    assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "exception"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("a fault"));
    assert_eq!(api.get("/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_so() {
    let api = Api::with_readiness(Settings::default(), || false).await;
    assert_eq!(api.get("/health/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.get("/health/live").await.status, StatusCode::OK);
}
