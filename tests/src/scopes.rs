//! SMART scopes over HTTP, on each profile: an app of one patient sees and changes nothing of another.

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Response, TestServer};

use crate::profiles::on_each_profile;

const ACCESS_FILE: &str = r#"
scopes_alone = true

[authorization_server]
issuer = "https://auth.example"
authorization_endpoint = "https://auth.example/authorize"
token_endpoint = "https://auth.example/token"
capabilities = ["launch-standalone"]
"#;

fn observation(id: &str, patient: &str, performer: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"coding":[{{"code":"c"}}]}},"subject":{{"reference":"Patient/{patient}"}},"performer":[{{"reference":"Practitioner/{performer}"}}],"note":[{{"text":"CANARY-{patient}"}}]}}"#
    )
}

/// Two patients with three observations each, and their practitioner.
async fn fill(all: &Client) {
    let practitioner = r#"{"resourceType":"Practitioner","id":"d","name":[{"family":"Doctor"}]}"#;
    assert!(all.put("Practitioner/d", practitioner).await.status < 300);
    for patient in ["p", "q"] {
        let resource = format!(r#"{{"resourceType":"Patient","id":"{patient}","name":[{{"family":"Family-{patient}"}}]}}"#);
        assert!(all.put(&format!("Patient/{patient}"), resource).await.status < 300);
        for number in 0..3 {
            let id = format!("{patient}{number}");
            assert!(all.put(&format!("Observation/{id}"), observation(&id, patient, "d")).await.status < 300);
        }
    }
}

fn ids(bundle: &Response) -> Vec<String> {
    let json = bundle.json();
    let entries = json["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut ids: Vec<String> = entries.iter().filter_map(|entry| Some(entry["resource"]["id"].as_str()?.to_owned())).collect();
    ids.sort();
    ids
}

on_each_profile!(a_patients_app_sees_and_changes_its_patient_alone);

async fn a_patients_app_sees_and_changes_its_patient_alone(profile: Profile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ACCESS_FILE).unwrap();
    let given = Given { access_file: Some(file.path().to_owned()), ..Given::default() };
    let server = TestServer::start_on(profile, &["smart"], given).await;
    let all = server.client("smart");
    fill(&all).await;
    let app = |scopes: &[&str], patient: &str| {
        Client::new(format!("{}/tenant/smart", server.root()), Some(server.token_with_scopes("smart", scopes, patient)))
    };
    let mine = app(&["patient/*.cruds"], "p");

    let searches: &[(&str, &[&str])] = &[
        ("Observation", &["p0", "p1", "p2"]),
        ("Observation?_id=p0,q0", &["p0"]),
        ("Observation?subject=Patient/q", &[]),
        ("Observation?subject:Patient.family=Family-p", &["p0", "p1", "p2"]),
        ("Observation?subject:Patient.family=Family-q", &[]),
        ("Observation?performer:Practitioner.family=Doctor", &[]),
        ("Patient", &["p"]),
        ("Patient?_has:Observation:subject:code=c", &["p"]),
        ("?_type=Patient,Observation", &["p", "p0", "p1", "p2"]),
        ("Patient/q/Observation", &[]),
    ];
    for (query, expected) in searches {
        let found = mine.get(query).await;
        assert_eq!(
            (found.status, ids(&found).as_slice()),
            (200, expected.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().as_slice()),
            "{query}"
        );
        let separator = if query.contains('?') { '&' } else { '?' };
        let count = mine.get(&format!("{query}{separator}_summary=count")).await.json();
        assert_eq!(count["total"], expected.len(), "{query}");
    }
    let included = mine.get("Observation?_id=p0&_include=*&_revinclude=*").await;
    assert_eq!(ids(&included), ["p", "p0"]);

    // An operation shows what searches may.
    assert_eq!(ids(&mine.get("Patient/p/$everything").await), ["p", "p0", "p1", "p2"]);
    assert_eq!(ids(&all.get("Patient/p/$everything").await), ["d", "p", "p0", "p1", "p2"]);
    assert_eq!(ids(&app(&["patient/Patient.rs"], "p").get("Patient/p/$everything").await), ["p"]);
    assert_eq!(app(&["patient/Observation.rs"], "p").get("Patient/p/$everything").await.status, 403);
    assert_eq!(app(&["patient/Patient.r"], "p").get("Patient/p/$everything").await.status, 403);

    for (hidden, absent) in [
        ("Observation/q0", "Observation/xx"),
        ("Patient/q", "Patient/x"),
        ("Observation/q0/_history/1", "Observation/xx/_history/1"),
        ("Patient/q/$everything", "Patient/x/$everything"),
    ] {
        let (hidden, absent) = (mine.get(hidden).await, mine.get(absent).await);
        assert_eq!((hidden.status, hidden.text()), (404, absent.text()));
    }
    for history in ["_history", "Observation/_history"] {
        let told = mine.get(history).await;
        assert!(told.status == 200 && !told.text().contains("CANARY-q") && told.text().contains("CANARY-p"), "{history}: {}", told.text());
    }
    assert_eq!(mine.put("Observation/q0", observation("q0", "p", "d")).await.status, 404);
    assert_eq!(mine.put("Observation/p0", observation("p0", "q", "d")).await.status, 403);
    assert_eq!(mine.post("Observation", observation("x", "q", "d")).await.status, 403);
    assert_eq!(mine.send("DELETE", "Observation/q0", &[], "").await.status, 200);
    assert_eq!(all.get("Observation/q0").await.status, 200);
    let entries = r#"{"request":{"method":"GET","url":"Observation/q0"}},{"request":{"method":"GET","url":"Observation?subject=Patient/q"}},{"request":{"method":"GET","url":"Observation/p0"}}"#;
    let batch = mine.post("", format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entries}]}}"#)).await;
    let statuses: Vec<String> =
        batch.json()["entry"].as_array().unwrap().iter().map(|entry| entry["response"]["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["404", "200", "200"]);
    assert!(!batch.text().contains("CANARY-q"));
    // What moves to another patient is gone for this one, and its earlier versions are not.
    assert_eq!(all.put("Observation/p2", observation("p2", "q", "d")).await.status, 200);
    assert_eq!(mine.get("Observation/p2").await.status, 404);
    assert_eq!(mine.get("Observation/p2/_history/1").await.status, 200);
    assert_eq!(ids(&mine.get("Observation").await), ["p0", "p1"]);
    // Scopes of criteria, and of too little.
    assert_eq!(ids(&app(&["system/Observation.rs?subject=Patient/q"], "p").get("Observation").await), ["p2", "q0", "q1", "q2"]);
    assert_eq!(app(&["patient/Patient.rs"], "p").get("Observation").await.status, 403);
    assert_eq!(app(&["openid"], "p").get("Observation").await.status, 403);

    let configuration = Client::new(format!("{}/tenant/smart", server.root()), None).get(".well-known/smart-configuration").await.json();
    assert_eq!(configuration["token_endpoint"], "https://auth.example/token");
    assert!(configuration["capabilities"].as_array().unwrap().iter().any(|code| code == "launch-standalone"));
    let security = all.get("metadata").await.json()["rest"][0]["security"].clone();
    assert_eq!(security["service"][1]["coding"][0]["code"], "SMART-on-FHIR");
    assert_eq!(security["extension"][0]["extension"][1]["valueUri"], "https://auth.example/token");
    server.stop().await;
}
