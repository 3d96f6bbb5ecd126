//! The program as a process: its command lines, its folder, its end.

use std::path::Path;
use std::process::{Command, Output};

use fhirpool_testkit::{Client, ServerProcess, program};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENT, link};
use crate::wire;

fn fhirpool(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_folder_is_one_processs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &["edge"]);
    let second = fhirpool(&["serve", "--data", text(folder.path()), "--listen", "127.0.0.1:0", "--tenant", "edge"]);
    assert!(!second.status.success());
    let sentence = err(&second);
    assert!(sentence.contains("in use") || sentence.contains("another process"), "{sentence}");
    assert!(sentence.contains(text(folder.path())), "the sentence names the folder: {sentence}");
    assert_eq!(sentence.trim().lines().count(), 1, "one sentence: {sentence}");
    assert_eq!(server.client(folder.path(), "edge").get("Patient").await.status, 200, "the first one is not disturbed");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_links_and_tokens_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), &["edge"]);
    let client = server.client(folder.path(), "edge");
    for number in 0..4 {
        let body = PATIENT.replace("\"id\":\"p\"", &format!("\"id\":\"p{number}\""));
        assert_eq!(client.put(&format!("Patient/p{number}"), body).await.status, 201);
    }
    client.put("Patient/p0", PATIENT.replace("\"id\":\"p\"", "\"id\":\"p0\"").replace("Kent", "Lane")).await;
    client.send("DELETE", "Patient/p3", &[], "").await;
    let asked = ["Patient/p0", "Patient/p0/_history/1", "Patient?name=lane", "Patient/p3", "Patient?_summary=count"];
    let blur = |body: &str, root: &str| body.replace(root, "ROOT");
    let mut before = Vec::new();
    for path in asked {
        let response = client.get(path).await;
        before.push((response.status, response.header("etag").to_owned(), blur(&response.text(), &server.root)));
    }
    let history = client.get("Patient/_history?_count=2").await.json();
    let next = link(&history, "next");
    let token = fhirpool_testkit::token(folder.path(), "edge");
    server.terminate();
    assert!(server.wait(), "it ends well when it is told to");

    let restarted = ServerProcess::start(folder.path(), &["edge"]);
    let client = Client::new(format!("{}/tenant/edge", restarted.root), Some(token));
    for (path, before) in asked.iter().zip(before) {
        let response = client.get(path).await;
        assert_eq!((response.status, response.header("etag").to_owned(), blur(&response.text(), &restarted.root)), before, "{path}");
    }
    let second_page = client.get(&next.replace(&server.root, &restarted.root)).await;
    assert_eq!((second_page.status, second_page.json()["entry"].as_array().unwrap().len()), (200, 2));
}

#[tokio::test]
async fn sigterm_drains() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), &["edge"]);
    let token = fhirpool_testkit::token(folder.path(), "edge");
    let mut stream = TcpStream::connect(server.root.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "PUT /tenant/edge/Patient/p HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        PATIENT.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    server.terminate();
    // It has begun to stop when it takes no more connections.
    while TcpStream::connect(server.root.trim_start_matches("http://")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(PATIENT.as_bytes()).await.unwrap();
    let answer = wire::until_closed(&mut stream).await;
    assert_eq!(wire::status(&answer), 201, "{answer}");
    assert!(server.wait(), "it ends well");
    let server = ServerProcess::start(folder.path(), &["edge"]);
    assert_eq!(server.client(folder.path(), "edge").get("Patient/p").await.status, 200);
}

#[test]
fn config_prints_the_effective_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "page_size_default = 7\npage_size_max = 70\nconnections_max = 700\n").unwrap();
    let output = Command::new(program())
        .args(["config", "--config", text(&file), "--page-size-default", "9", "--tenant", "a", "--tenant", "b"])
        .env("FHIRPOOL_PAGE_SIZE_MAX", "90")
        .env("FHIRPOOL_PAGE_SIZE_DEFAULT", "8")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let printed: toml::Table = out(&output).parse().unwrap();
    let number = |name: &str| printed[name].as_integer().unwrap();
    assert_eq!(number("page_size_default"), 9, "the command line comes first");
    assert_eq!(number("page_size_max"), 90, "then the environment");
    assert_eq!(number("connections_max"), 700, "then the file");
    assert_eq!(number("json_depth_max"), 100, "then the default");
    assert_eq!(printed["tenant"].as_array().unwrap().len(), 2);
    // What is printed can be read back.
    std::fs::write(&file, out(&output)).unwrap();
    let again = fhirpool(&["config", "--config", text(&file)]);
    assert_eq!(out(&again), out(&output), "{}", err(&again));
}

#[test]
fn wrong_command_lines_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = text(folder.path());
    let cases: &[(&[&str], &[&str])] = &[
        (&["config", "--page-size-max", "0"], &["page_size_max", "0"]),
        (&["config", "--base-url", "nonsense"], &["base_url", "nonsense"]),
        (&["config", "--config", "/nowhere/settings.toml"], &["config", "/nowhere/settings.toml"]),
        (&["serve", "--data", data, "--listen", "127.0.0.1:0", "--tenant", "a/b"], &["tenant", "a/b"]),
        (&["serve", "--data", data, "--listen", "192.0.2.1:1", "--tenant", "a"], &["listen", "192.0.2.1:1"]),
        (
            &[
                "serve",
                "--data",
                data,
                "--listen",
                "127.0.0.1:0",
                "--tenant",
                "a",
                "--tls-certificate",
                "/nowhere.pem",
                "--tls-key",
                "/nowhere.pem",
            ],
            &["tls_certificate", "/nowhere.pem"],
        ),
        (&["token", "--data", "/nowhere", "--tenant", "a"], &["data", "/nowhere"]),
        (&["token", "--data", data, "--tenant", "a b"], &["tenant", "a b"]),
        (&["token", "--data", data, "--tenant", "a", "--ttl", "1y"], &["1y", "allowed"]),
        (&["nonsense"], &["nonsense"]),
    ];
    for (arguments, parts) in cases {
        let output = fhirpool(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let sentence = err(&output);
        assert!(!sentence.contains("panicked"), "{sentence}");
        for part in *parts {
            assert!(sentence.contains(part), "{arguments:?}: {sentence:?} does not name {part:?}");
        }
    }
}

#[tokio::test]
async fn tokens_of_the_command_line_are_shaped_like_cognitos_and_open_what_they_say() {
    use base64::Engine;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &["edge"]);
    let token = |more: &[&str]| {
        let output = fhirpool(&[&["token", "--data", text(folder.path()), "--tenant", "edge"], more].concat());
        assert!(output.status.success(), "{}", err(&output));
        out(&output).trim().to_owned()
    };
    let part = |token: &str, at: usize| -> Value {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let practitioner = token(&["--group", "practitioner", "--group", "auditor", "--ttl", "5m", "--subject", "someone"]);
    assert_eq!(part(&practitioner, 0)["alg"], "RS256");
    let claims = part(&practitioner, 1);
    assert_eq!(claims["custom:tenantId"], "edge");
    assert_eq!(claims["cognito:groups"], serde_json::json!(["practitioner", "auditor"]));
    assert_eq!(
        (claims["aud"].as_str(), claims["token_use"].as_str(), claims["sub"].as_str()),
        (Some("fhirpool"), Some("id"), Some("someone"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    let client = |token| Client::new(format!("{}/tenant/edge", server.root), Some(token));
    assert_eq!(client(practitioner).get("Observation").await.status, 200);
    let auditor = client(token(&["--group", "auditor"]));
    assert_eq!(auditor.get("Patient").await.status, 200);
    assert_eq!(auditor.get("Observation").await.status, 403);
    assert_eq!(auditor.post("Patient", PATIENT).await.status, 403);
    let elsewhere = client(token(&["--audience", "another"]));
    assert_eq!(elsewhere.get("Patient").await.status, 401);
}
