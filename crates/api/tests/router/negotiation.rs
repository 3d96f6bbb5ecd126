//! Types of answers and bodies, compression, indentation.

use std::io::{Read, Write};

use axum::body::Body;
use flate2::Compression;
use http::StatusCode;

use crate::support::{Api, PATIENT};

#[tokio::test]
async fn the_answer_has_the_type_asked_for() {
    let api = Api::new().await;
    let hapi = "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, application/xml+fhir;q=0.9, application/json+fhir;q=0.9";
    let cases = [
        ("", "application/fhir+json"),
        (hapi, "application/fhir+json"),
        ("application/json", "application/json"),
        ("text/json", "text/json; charset=utf-8"),
        ("application/fhir+json, */*; q=0.1", "application/fhir+json"),
    ];
    for (accept, expected) in cases {
        let answer = api.send("GET", "Patient", &[("accept", accept)], Body::empty()).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, expected), "{accept}");
        let refused = api.send("GET", "Patient/1", &[("accept", accept)], Body::empty()).await;
        assert_eq!((refused.status, refused.header("content-type")), (StatusCode::NOT_FOUND, expected), "{accept}");
    }
    for format in ["json", "application/fhir%2Bjson", "application/fhir+json"] {
        let answer = api.send("GET", &format!("Patient?_format={format}"), &[("accept", "application/xml")], Body::empty()).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/fhir+json"), "{format}");
    }
}

#[tokio::test]
async fn nothing_is_done_where_the_answer_could_not_be_read() {
    let api = Api::new().await;
    for (accept, query) in [("application/fhir+xml", ""), ("text/html;q=1", ""), ("", "?_format=xml"), ("application/json", "?_format=ttl")]
    {
        let answer = api.put_json("POST", &format!("Patient{query}"), &[("accept", accept)], PATIENT).await;
        assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::NOT_ACCEPTABLE, "not-supported"), "{accept}");
    }
    assert_eq!(api.get("Patient").await.json()["total"], 0);
}

#[tokio::test]
async fn bodies_are_json_in_utf8() {
    let api = Api::new().await;
    let status = async |content_type: &str| api.send("POST", "Patient", &[("content-type", content_type)], PATIENT).await.status;
    for good in [
        "",
        "application/fhir+json",
        "application/json",
        "application/json;charset=UTF-8",
        "text/json",
        "application/fhir+json; fhirVersion=4.0",
    ] {
        assert_eq!(status(good).await, StatusCode::CREATED, "{good}");
    }
    for bad in ["application/fhir+xml", "text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded", "junk"] {
        assert_eq!(status(bad).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{bad}");
    }
}

#[tokio::test]
async fn both_ways_may_be_compressed() {
    let api = Api::new().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(PATIENT.replace("Straße", &"x".repeat(3000)).as_bytes()).unwrap();
    let headers = [("content-type", "application/fhir+json"), ("content-encoding", "gzip"), ("accept-encoding", "gzip, br")];
    let answer = api.send("POST", "Patient", &headers, encoder.finish().unwrap()).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (StatusCode::CREATED, "gzip"));
    let mut json = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut json).unwrap();
    assert!(json.contains(&"x".repeat(3000)));
    let plain = api.send("POST", "Patient", &[("content-encoding", "gzip")], PATIENT).await;
    assert_eq!(plain.status, StatusCode::BAD_REQUEST);
    let brotli = api.send("POST", "Patient", &[("content-encoding", "br")], PATIENT).await;
    assert_eq!(brotli.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn pretty_is_for_people() {
    let api = Api::new().await;
    let answer = api.get("metadata?_pretty=true").await;
    assert!(answer.body.starts_with(b"{\n  \"resourceType\": \"CapabilityStatement\""));
    assert!(api.get("metadata").await.body.starts_with(b"{\"resourceType\":\"CapabilityStatement\""));
}
