//! SMART scopes and what the server says of them.

use axum::body::Body;
use fhirpool_authz::Launch;
use fhirpool_fhir::ResourceId;
use http::StatusCode;

use crate::support::{Answer, Api, token_of};

/// A request of someone with these scopes, launched for a patient of `acme`.
async fn send(api: &Api, scopes: &[&str], patient: &str, method: &str, path: &str, body: &str) -> Answer {
    let launch = Launch { patient: ResourceId::parse(patient), ..Launch::default() };
    let authorization = format!("Bearer {}", token_of("acme", &[], scopes, &launch, 0));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/fhir+json")];
    api.send(method, path, &headers, Body::from(body.to_owned())).await
}

async fn filled() -> Api {
    let api = Api::new().await;
    for (id, family) in [("p", "Mine"), ("q", "Canary")] {
        let patient = format!(r#"{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{family}"}}]}}"#);
        assert!(api.put_json("PUT", &format!("Patient/{id}"), &[], &patient).await.status.is_success());
        let observation = format!(
            r#"{{"resourceType":"Observation","id":"o-{id}","status":"final","code":{{"text":"{family}"}},"subject":{{"reference":"Patient/{id}"}}}}"#
        );
        assert!(api.put_json("PUT", &format!("Observation/o-{id}"), &[], &observation).await.status.is_success());
    }
    api
}

#[tokio::test]
async fn what_is_another_patients_is_answered_byte_for_byte_as_what_is_not_there() {
    let api = filled().await;
    let mine = async |method: &str, path: &str, body: &str| send(&api, &["patient/*.cruds"], "p", method, path, body).await;
    let put = |id: &str| {
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/p"}}}}"#
        )
    };
    for (method, path) in [
        ("GET", "Observation/{id}"),
        ("HEAD", "Observation/{id}"),
        ("GET", "Observation/{id}/_history"),
        ("GET", "Observation/{id}/_history/1"),
        ("PUT", "Observation/{id}"),
        ("DELETE", "Observation/{id}"),
        ("GET", "Observation?_id={id}&_summary=count"),
        ("GET", "Observation?_has:Provenance:target:_id={id}"),
    ] {
        let answers = ["o-q", "o-x"].map(|id| (path.replace("{id}", id), if method == "PUT" { put(id) } else { String::new() }, id));
        let mut seen = Vec::new();
        for (path, body, id) in answers {
            let answer = mine(method, &path, &body).await;
            let body = String::from_utf8(answer.body.to_vec()).unwrap().replace(id, "{id}");
            let mut headers: Vec<String> = answer.headers.keys().map(|name| name.to_string()).collect();
            headers.sort();
            seen.push((answer.status, headers, body));
        }
        assert_eq!(seen[0], seen[1], "{method} {path}");
    }
    assert_eq!(api.get("Observation/o-q").await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_to_a_patients_app_holds_a_byte_of_another_patient() {
    let api = filled().await;
    for path in [
        "",
        "?_type=Patient,Observation",
        "Patient",
        "Patient?_sort=family",
        "Patient?_revinclude=*&_include=*",
        "Observation?_include=*",
        "Observation?subject:Patient.family=Canary",
        "Patient/q",
        "Patient/q/*",
        "Patient/q/Observation",
        "Patient/q/_history",
        "Patient/q/_history/1",
        "Observation/o-q",
        "Observation/o-q/_history",
        "_history",
        "Patient/_history",
        "Observation/_history",
        "Patient?family=canary&_total=accurate",
        "Patient?family:contains=an&_summary=count",
        "Patient?_elements=name",
    ] {
        let answer = send(&api, &["patient/*.cruds"], "p", "GET", path, "").await;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        // What the client itself has sent comes back in the self link.
        let links = body.find("\"entry\"").map_or("", |at| &body[at..]);
        assert!(!links.contains("Canary") && !links.contains("o-q") && !links.contains("Patient/q"), "{path}: {body}");
        let entries = answer.json()["entry"].as_array().cloned().unwrap_or_default();
        let count = entries.iter().filter(|entry| entry["search"]["mode"] == "match").count();
        let total = answer.json()["total"].as_u64();
        assert!(total.is_none_or(|total| total as usize == count || path.contains("=count")), "{path}: {body}");
    }
    let all = send(&api, &["patient/*.rs"], "p", "GET", "?_summary=count", "").await;
    assert_eq!(all.json()["total"], 2);
}

#[tokio::test]
async fn a_page_link_of_another_app_of_the_same_user_is_worth_nothing() {
    let api = filled().await;
    let wide = send(&api, &["system/*.rs"], "p", "GET", "Observation?_count=1", "").await.json();
    let next = wide["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap()["url"].as_str().unwrap();
    let path = next.strip_prefix("http://fhir.example").unwrap();
    assert_eq!(send(&api, &["system/*.rs"], "p", "GET", path, "").await.status, StatusCode::OK);
    assert_eq!(send(&api, &["patient/*.rs"], "p", "GET", path, "").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_server_says_what_it_does_of_smart() {
    let api = Api::new().await;
    let configuration = api.send("GET", ".well-known/smart-configuration", &[("authorization", "")], Body::empty()).await;
    assert_eq!(configuration.header("content-type"), "application/json");
    let configuration = configuration.json();
    let capabilities: Vec<&str> = configuration["capabilities"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(capabilities, ["permission-patient", "permission-user", "permission-v1", "permission-v2"]);
    assert!(configuration["scopes_supported"].to_string().contains("patient/*.cruds"));
    let security = &api.get("metadata").await.json()["rest"][0]["security"];
    assert_eq!(security["cors"], false);
    assert_eq!(security["service"][0]["coding"][0]["code"], "OAuth");
}
