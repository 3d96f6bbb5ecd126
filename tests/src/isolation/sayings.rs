//! What a server says of its work, to its log and in its metrics, holds nothing of what it stores or is asked.

use std::io::Read;
use std::process::{Command, Stdio};

use fhirpool_server::config::Profile;
use fhirpool_testkit::{Client, Deployment, ServerProcess};

use super::attacks::{READS, WRITES};
use super::seed::{CANARY, fill_attacker, fill_other};
use crate::profiles::on_each_profile;

on_each_profile!(what_a_server_says_holds_nothing_of_what_it_stores_or_is_asked);

/// Requests that are refused, with what nobody may see where it was not expected.
const REFUSED: &[(&str, &str, &str)] = &[
    ("POST", "Patient", r#"{"resourceType":"Patient","birthDate":"CANARY"}"#),
    ("POST", "Patient", r#"{"resourceType":"Patient","CANARY":1}"#),
    ("POST", "Patient", r#"{"resourceType":"Patient","name":[{"family":"CANARY"}"#),
    ("PUT", "Patient/CANARY", r#"{"resourceType":"Patient","id":"other"}"#),
    ("GET", "Patient/CANARY", ""),
    ("GET", "CANARY", ""),
    ("GET", "Patient?CANARY=1", ""),
    ("GET", "Patient?birthdate=CANARY", ""),
    ("GET", "Patient?name=CANARY&_sort=CANARY", ""),
    ("GET", "Observation?subject.name=CANARY", ""),
    ("GET", "_history?_since=CANARY", ""),
    ("GET", "Patient?_page=CANARY", ""),
    ("PATCH", "Patient/b-pat", r#"[{"op":"test","path":"/name/0/family","value":"CANARY"}]"#),
    ("DELETE", "Patient?name=CANARY", ""),
    ("POST", "", r#"{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"GET","url":"Patient?CANARY=CANARY"}}]}"#),
];

async fn what_a_server_says_holds_nothing_of_what_it_stores_or_is_asked(profile: Profile) {
    let (folder, mut command) = (tempfile::tempdir().unwrap(), Command::new(fhirpool_testkit::program()));
    let deployment = match profile {
        Profile::Embedded => None,
        Profile::Aws => Some(Deployment::create().await),
    };
    let data = deployment.as_ref().map_or(folder.path(), Deployment::data);
    match &deployment {
        None => command.arg("serve").arg("--data").arg(data),
        Some(deployment) => command.arg("serve").arg("--config").arg(deployment.file()),
    };
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    command.args(["--log-format", "json", "--metrics-listen", &metrics]);
    // All that is said of requests.
    command.env("FHIRPOOL_LOG_FILTER", "info,fhirpool=trace").stderr(Stdio::piped());
    let (mut server, mut log) = ServerProcess::logged(command, &["t1", "t10"]);
    let reading = std::thread::spawn(move || {
        let mut said = String::new();
        log.read_to_string(&mut said).unwrap();
        said
    });

    let (attacker, other) = (server.client(data, "t1"), server.client(data, "t10"));
    fill_attacker(&attacker, &other).await;
    fill_other(&other, &attacker).await;
    let mut canaries = 0;
    for client in [&other, &attacker] {
        for path in READS {
            let response = client.get(&filled(path, &other)).await;
            canaries += usize::from(response.text().contains(CANARY));
        }
        for (method, path, header, body) in WRITES {
            let headers: Vec<(&str, &str)> = header.split_once(": ").into_iter().collect();
            let response = client.send(method, &filled(path, &other), &headers, filled(body, &other)).await;
            assert!(response.status < 500, "{method} {path}: {}", response.text());
        }
        for (method, path, body) in REFUSED {
            let content_type = if *method == "PATCH" { "application/json-patch+json" } else { "application/fhir+json" };
            let headers = [("content-type", content_type), ("x-note", CANARY)];
            let response = client.send(method, &filled(path, &other), &headers, filled(body, &other)).await;
            assert!(response.status < 500, "{method} {path}: {}", response.text());
        }
    }
    assert!(canaries > 20, "the other's own reads found {canaries}");
    let counted = Client::new(format!("http://{metrics}"), None).get("/metrics").await.text();
    assert!(counted.contains("fhirpool_http_requests_total"), "{counted}");
    assert!(!counted.contains(CANARY), "{counted}");
    server.terminate();
    server.wait();
    let said = reading.join().unwrap();
    assert!(said.lines().filter(|line| line.contains("fhirpool::access")).count() > 100, "requests are logged: {said}");
    let betraying: Vec<&str> = said.lines().filter(|line| line.contains(CANARY) || line.contains("Bearer")).collect();
    assert!(betraying.is_empty(), "{betraying:#?}");
}

fn filled(text: &str, other: &Client) -> String {
    text.replace("CANARY", CANARY).replace("OTHERID", "t10").replace("OTHER", &other.base).replace("BASE", &other.base)
}
