#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::path::Path;

use super::*;

fn unpacked(path: &str) -> Vec<u8> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    let file = std::fs::File::open(&path).expect("the test data of the repository's neighbour shared/data is absent");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut text).unwrap();
    text
}

async fn load(server: &Server, path: &str) -> Value {
    let request = BundleRequest {
        base: &BASE,
        body: unpacked(path),
        returning: Returning::Minimal,
        handling: Handling::Strict,
        freshness: Freshness::default(),
    };
    let progress = BundleProgress::default();
    let response = server.interactions.bundle(&server.access, request, &progress).await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
    let response = json_of(&response.json);
    for (index, entry) in response["entry"].as_array().unwrap().iter().enumerate() {
        assert_eq!(entry["response"]["status"], "201", "{path} entry {index}: {entry}");
    }
    response
}

#[tokio::test]
async fn a_patient_of_synthea_loads_behind_the_hospitals() {
    let server = Server::start().await;
    load(&server, "synthea/0-hospitalInformation1625911868739.json.gz").await;
    load(&server, "synthea/0-practitionerInformation1625911868739.json.gz").await;
    let response = load(&server, "synthea/085e81c0-7a95-ef02-16ef-aa1b4344deed.json.gz").await;
    assert_eq!(response["type"], "transaction-response");
    let encounter = server.search("Encounter?_count=1").await.unwrap()["entry"][0]["resource"].take();
    let practitioner = encounter["participant"][0]["individual"]["reference"].as_str().unwrap();
    assert_eq!(server.read(practitioner).await.unwrap()["resourceType"], "Practitioner");
    let patient = encounter["subject"]["reference"].as_str().unwrap().to_owned();
    assert_eq!(server.count(&format!("Encounter?patient={patient}")).await, server.count("Encounter").await);
}
