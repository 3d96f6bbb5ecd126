//! Every file of `tests/scenarios` against a tenant of its own.

use std::path::{Path, PathBuf};

use fhirpool_server::config::{ContentDelivery, Given, Profile};
use fhirpool_testkit::{Scenario, TestServer, run_scenario};

use crate::profiles::on_each_profile;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

on_each_profile!(every_scenario_is_answered_as_written);

async fn every_scenario_is_answered_as_written(profile: Profile) {
    let files = files();
    let names: Vec<String> = files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let server = TestServer::start_on(profile, &names.iter().map(String::as_str).collect::<Vec<_>>(), Given::default()).await;
    let mut failures = Vec::new();
    let mut steps = 0;
    for (file, name) in files.iter().zip(&names) {
        let scenario = Scenario::read(file);
        steps += scenario.step.len();
        let found = run_scenario(&scenario, &server.client(name)).await;
        failures.extend(found.iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(failures.is_empty(), "{}\n{} lines about {steps} steps", failures.join("\n"), failures.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_through_the_server_is_answered_as_written() {
    let given = Given { content_delivery: Some(ContentDelivery::Server), ..Given::default() };
    let server = TestServer::start_on(Profile::Aws, &["binary"], given).await;
    let scenario = Scenario::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/binary.toml"));
    let failures = run_scenario(&scenario, &server.client("binary")).await;
    assert!(failures.is_empty(), "{failures:#?}");
    server.stop().await;
}
