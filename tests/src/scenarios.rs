//! Every file of `tests/scenarios` against a tenant of its own.

use std::path::{Path, PathBuf};

use fhirpool_testkit::{Scenario, TestServer, run_scenario};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_scenario_is_answered_as_written() {
    let files = files();
    let names: Vec<String> = files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let server = TestServer::start(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
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
