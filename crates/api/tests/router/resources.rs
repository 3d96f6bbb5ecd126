//! Create, read, update, patch, delete and history of one resource.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use crate::support::{Api, PATIENT};

#[tokio::test]
async fn a_resource_lives_from_create_to_delete_and_back() {
    let api = Api::new().await;
    let created = api.put_json("POST", "Patient", &[], PATIENT).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let location = created.header("location");
    assert!(location.starts_with("http://fhir.example/tenant/acme/Patient/") && location.ends_with("/_history/1"), "{location}");
    assert_eq!(created.header("etag"), "W/\"1\"");
    assert_eq!(created.header("content-type"), "application/fhir+json");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("Patient/{id}");

    let read = api.get(&path).await;
    assert_eq!((read.status, read.header("etag")), (StatusCode::OK, "W/\"1\""));
    assert_eq!(read.body, created.body);
    assert!(read.header("last-modified").ends_with(" GMT"));
    assert_eq!(api.get(&format!("{path}/_history/1")).await.body, created.body);

    let head = api.send("HEAD", &path, &[], Body::empty()).await;
    assert_eq!((head.status, head.header("etag"), head.body.len()), (StatusCode::OK, "W/\"1\"", 0));
    assert_eq!(head.header("content-length"), read.body.len().to_string());

    for (name, value) in [("if-none-match", "W/\"1\""), ("if-none-match", "1"), ("if-modified-since", read.header("last-modified"))] {
        let cached = api.send("GET", &path, &[(name, value)], Body::empty()).await;
        assert_eq!((cached.status, cached.body.len()), (StatusCode::NOT_MODIFIED, 0), "{name}: {value}");
        assert_eq!(cached.header("etag"), "W/\"1\"");
    }
    assert_eq!(api.send("GET", &path, &[("if-modified-since", "yesterday")], Body::empty()).await.status, StatusCode::OK);

    let changed = PATIENT.replacen('{', &format!("{{\"id\":\"{id}\","), 1);
    let updated = api.put_json("PUT", &path, &[("if-match", "W/\"1\"")], &changed).await;
    assert_eq!((updated.status, updated.header("etag")), (StatusCode::OK, "W/\"2\""));
    assert!(updated.header("content-location").ends_with("/_history/2"));
    let stale = api.put_json("PUT", &path, &[("if-match", "W/\"1\"")], &changed).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);

    let deleted = api.send("DELETE", &path, &[], Body::empty()).await;
    assert_eq!((deleted.status, deleted.issue().as_str()), (StatusCode::OK, "informational"));
    let gone = api.get(&path).await;
    assert_eq!((gone.status, gone.issue().as_str()), (StatusCode::GONE, "deleted"));
    assert_eq!(api.send("DELETE", &path, &[("prefer", "return=minimal")], Body::empty()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.put_json("PUT", &path, &[], &changed).await.status, StatusCode::CREATED);

    let history = api.get(&format!("{path}/_history")).await.json();
    assert_eq!(history["type"], "history");
    assert_eq!(history["entry"].as_array().unwrap().len(), 4);
    assert!(history["entry"][1].get("resource").is_none());
    assert_eq!(api.get("Patient/_history").await.json()["entry"].as_array().unwrap().len(), 4);
    assert_eq!(api.get("_history").await.json()["entry"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn what_was_read_can_be_written_back() {
    let api = Api::new().await;
    let created = api.put_json("POST", "Patient", &[], PATIENT).await;
    let path = format!("Patient/{}", created.json()["id"].as_str().unwrap());
    let updated = api.put_json("PUT", &path, &[], std::str::from_utf8(&created.body).unwrap()).await;
    assert_eq!((updated.status, updated.header("etag")), (StatusCode::OK, "W/\"2\""), "{:?}", updated.body);
}

#[tokio::test]
async fn prefer_decides_what_comes_back() {
    let api = Api::new().await;
    let create = async |prefer: &str| api.put_json("POST", "Patient", &[("prefer", prefer)], PATIENT).await;
    assert_eq!(create("return=minimal").await.body.len(), 0);
    assert_eq!(create("return=representation").await.json()["resourceType"], "Patient");
    assert_eq!(create("return=OperationOutcome").await.json()["resourceType"], "OperationOutcome");
    assert!(create("return=minimal").await.header("location").ends_with("/_history/1"));
}

#[tokio::test]
async fn json_patches_come_under_the_types_clients_use() {
    let api = Api::new().await;
    let id = api.put_json("POST", "Patient", &[], PATIENT).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("Patient/{id}?_format=json");
    let json_patch = r#"[{"op":"add","path":"/gender","value":"female"}]"#;
    for content_type in ["application/json-patch+json", "application/json-patch+json; charset=UTF-8", "application/json"] {
        let headers = [("content-type", content_type), ("prefer", "return=presentation")];
        let patched = api.send("PATCH", &path, &headers, json_patch).await;
        assert_eq!((patched.status, &patched.json()["gender"]), (StatusCode::OK, &json!("female")), "{content_type}: {:?}", patched.body);
    }
    let fhirpath_patch = r#"{"resourceType":"Parameters","parameter":[]}"#;
    let refused = api.send("PATCH", &path, &[("content-type", "application/fhir+json")], fhirpath_patch).await;
    assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let xml = api.send("PATCH", &path, &[("content-type", "application/xml-patch+xml")], "<diff/>").await;
    assert_eq!(xml.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn conditional_writes_take_their_criteria_as_clients_write_them() {
    let api = Api::new().await;
    let patient = r#"{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"1"}]}"#;
    let first = api.put_json("POST", "Patient", &[("if-none-exist", "identifier=urn:x|1")], patient).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let absolute = "http://fhir.example/tenant/acme/Patient?identifier=urn%3Ax%7C1&_format=json";
    for criteria in ["identifier=urn:x|1", "Patient?identifier=urn:x|1", absolute] {
        let matched = api.put_json("POST", "Patient?_format=json", &[("if-none-exist", criteria)], patient).await;
        assert_eq!(matched.status, StatusCode::OK, "{criteria}");
        assert_eq!(matched.header("location"), first.header("location"));
        assert_eq!(matched.body, first.body);
    }
    let updated = api.put_json("PUT", "Patient?identifier=urn:x|1&_format=json", &[], patient).await;
    assert_eq!((updated.status, updated.header("etag")), (StatusCode::OK, "W/\"2\""));
    let patch = r#"[{"op":"add","path":"/active","value":true}]"#;
    let patched = api.send("PATCH", "Patient?identifier=urn:x|1", &[("content-type", "application/json-patch+json")], patch).await;
    assert_eq!((patched.status, patched.header("etag")), (StatusCode::OK, "W/\"3\""));
    // fhirpy has the criteria of a create in the address.
    let matched = api.put_json("POST", "Patient?identifier=urn:x|1&_format=json", &[], patient).await;
    assert_eq!((matched.status, matched.header("etag")), (StatusCode::OK, "W/\"3\""));
    let both = api.put_json("POST", "Patient?identifier=urn:x|1", &[("if-none-exist", "identifier=urn:x|1")], patient).await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
    for path in ["Patient", "Patient?", "Patient?_format=json"] {
        assert_eq!(api.send("DELETE", path, &[], Body::empty()).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(api.send("DELETE", "Patient?identifier=urn:x|1", &[], Body::empty()).await.status, StatusCode::OK);
    assert_eq!(api.get("Patient?identifier=urn:x|1").await.json()["total"], 0);
}

#[tokio::test]
async fn parameters_that_an_interaction_does_not_have_are_refused() {
    let api = Api::new().await;
    for (method, path) in
        [("PATCH", "Patient/1?colour=red"), ("PUT", "Patient/1?identifier=x"), ("DELETE", "Patient/1?x=y"), ("POST", "?x=%")]
    {
        let answer = api.put_json(method, path, &[], "{\"resourceType\":\"Patient\",\"id\":\"1\"}").await;
        assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::BAD_REQUEST, "invalid"), "{method} {path}");
    }
    let put = PATIENT.replacen('{', "{\"id\":\"1\",", 1);
    let lenient = api.put_json("PUT", "Patient/1?colour=red", &[("prefer", "handling=lenient")], &put).await;
    assert_eq!(lenient.status, StatusCode::CREATED, "{:?}", lenient.body);
    for extra in ["_format=json", "_pretty=true", "_dc=123"] {
        assert_eq!(api.put_json("POST", &format!("Patient?{extra}"), &[], PATIENT).await.status, StatusCode::CREATED, "{extra}");
    }
}

#[tokio::test]
async fn refused_resources_are_told_why() {
    let api = Api::new().await;
    let cases = [
        ("POST", "Patient", ""),
        ("POST", "Patient", "{"),
        ("POST", "Patient", "[]"),
        ("POST", "Patient", "{\"resourceType\":\"Observation\"}"),
        ("POST", "Patient", "{\"resourceType\":\"Patient\",\"resourceType\":\"Patient\"}"),
        ("POST", "Patient", "{\"resourceType\":\"Patient\",\"birthDate\":\"yesterday\"}"),
        ("PUT", "Patient/1", "{\"resourceType\":\"Patient\"}"),
        ("PUT", "Patient/1", "{\"resourceType\":\"Patient\",\"id\":\"2\"}"),
    ];
    for (method, path, json) in cases {
        let answer = api.put_json(method, path, &[], json).await;
        assert!(answer.status == StatusCode::BAD_REQUEST || answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{json}: {}", answer.status);
        answer.issue();
    }
}

#[tokio::test]
async fn bundles_go_to_the_base_with_and_without_its_slash() {
    let api = Api::new().await;
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[{{"resource":{PATIENT},"request":{{"method":"POST","url":"Patient"}}}}]}}"#
    );
    for path in ["/tenant/acme", "/tenant/acme/"] {
        let answer = api.put_json("POST", path, &[], &bundle).await;
        assert_eq!((answer.status, &answer.json()["type"]), (StatusCode::OK, &json!("transaction-response")), "{path}");
        assert!(answer.json()["entry"][0].get("resource").is_none());
    }
    let shown = api.put_json("POST", "", &[("prefer", "return=representation")], &bundle).await;
    assert_eq!(shown.json()["entry"][0]["resource"]["resourceType"], "Patient");
}
