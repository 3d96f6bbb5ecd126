//! Real data: Synthea's transactions load whole, and what they hold is found again.

use std::io::Read;
use std::path::{Path, PathBuf};

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, TestServer, data};
use serde_json::Value;

use crate::profiles::on_each_profile;

/// The text of a file.
pub(crate) fn bundle(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// The files, those that others refer to first.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(data::path("synthea")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "gz"));
    files.sort();
    files
}

async fn total(client: &Client, search: &str) -> u64 {
    let response = client.get(search).await;
    assert_eq!(response.status, 200, "{search}: {}", response.text());
    response.json()["total"].as_u64().unwrap_or_else(|| panic!("{search}: no total in {}", response.text()))
}

on_each_profile!(synthea_loads_and_is_found);

async fn synthea_loads_and_is_found(profile: Profile) {
    let server = TestServer::start_on(profile, &["synthea"], Given { search_wait_ms_max: Some(60_000), ..Given::default() }).await;
    let client = server.client("synthea");
    let mut expected = std::collections::BTreeMap::<String, u64>::new();
    let mut patient = Value::Null;
    for file in files().iter().take(5) {
        let text = bundle(file);
        let parsed: Value = serde_json::from_str(&text).unwrap();
        for entry in parsed["entry"].as_array().unwrap() {
            let resource = &entry["resource"];
            // Hospitals and practitioners are created only if there are none.
            if entry["request"]["ifNoneExist"].is_null() || file.to_string_lossy().contains("Information") {
                *expected.entry(resource["resourceType"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            if resource["resourceType"] == "Patient" {
                patient = resource.clone();
            }
        }
        let response = client.send("POST", "", &[("prefer", "return=minimal")], text).await;
        assert_eq!(response.status, 200, "{}: {}", file.display(), response.text().chars().take(500).collect::<String>());
    }
    for (name, count) in &expected {
        assert_eq!(total(&client, &format!("{name}?_summary=count")).await, *count, "{name}");
    }
    let family = patient["name"][0]["family"].as_str().unwrap();
    let birth = patient["birthDate"].as_str().unwrap();
    assert!(total(&client, &format!("Patient?family={family}&birthdate={birth}")).await >= 1);
    assert!(total(&client, &format!("Observation?patient.family={family}")).await >= 1);
    assert!(total(&client, "Patient?_has:Observation:patient:code=http://loinc.org|8302-2").await >= 1);
    server.stop().await;
}
