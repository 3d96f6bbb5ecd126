//! Searches by every way in.

use axum::body::Body;
use http::StatusCode;

use crate::support::{Api, PATIENT};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn api_with_a_patient() -> (Api, String) {
    let api = Api::new().await;
    let id = api.put_json("POST", "Patient", &[], PATIENT).await.json()["id"].as_str().unwrap().to_owned();
    let observation =
        format!(r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/{id}"}}}}"#);
    assert_eq!(api.put_json("POST", "Observation", &[], &observation).await.status, StatusCode::CREATED);
    (api, id)
}

#[tokio::test]
async fn every_way_to_search_finds_what_is_there() {
    let (api, id) = api_with_a_patient().await;
    let get = async |path: &str| {
        let answer = api.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        answer.json()["entry"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(get("Patient").await, 1);
    assert_eq!(get("Patient/?family=strasse").await, 1);
    assert_eq!(get("?_type=Patient,Observation").await, 2);
    assert_eq!(get("/tenant/acme/?_type=Patient").await, 1);
    assert_eq!(get(&format!("Patient/{id}/Observation?status=final")).await, 1);
    assert_eq!(get(&format!("Patient/{id}/*")).await, 2);
    let post = async |path: &str, form: &str| {
        let answer = api.send("POST", path, &[FORM], form.to_owned()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        answer.json()["entry"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(post("Patient/_search?_format=json", "family=Stra%C3%9Fe&_format=json").await, 1);
    assert_eq!(post("Patient/_search?family=strasse", "gender=male").await, 0);
    assert_eq!(post("_search", "_type=Patient").await, 1);
    assert_eq!(post(&format!("Patient/{id}/Observation/_search"), "status=final").await, 1);
    assert_eq!(post(&format!("Patient/{id}/_search"), "").await, 2);
}

#[tokio::test]
async fn unknown_parameters_are_errors_unless_the_client_says_lenient() {
    let (api, _) = api_with_a_patient().await;
    assert_eq!(api.get("Patient?colour=red").await.status, StatusCode::BAD_REQUEST);
    let lenient = api.send("GET", "Patient?colour=red", &[("prefer", "handling=lenient")], Body::empty()).await;
    assert_eq!(lenient.status, StatusCode::OK);
    assert!(!lenient.json()["link"].to_string().contains("colour"));
    for extra in ["_dc=1", "_=2", "_totalMethod=count", "_pretty=true"] {
        assert_eq!(api.get(&format!("Patient?{extra}")).await.status, StatusCode::OK, "{extra}");
    }
}

#[tokio::test]
async fn malformed_queries_are_bad_requests() {
    let (api, _) = api_with_a_patient().await;
    for query in ["family=%", "family=%zz", "family=%ff", "%ff=1", "birthdate=yesterday", "_count=-1", "_count=x", "_page=forged"] {
        let answer = api.get(&format!("Patient?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {:?}", answer.body);
        answer.issue();
    }
    let json = api.send("POST", "Patient/_search", &[("content-type", "application/json")], "{}").await;
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let binary = api.send("POST", "Patient/_search", &[FORM], vec![0xff, 0xfe]).await;
    assert_eq!(binary.status, StatusCode::BAD_REQUEST);
}
