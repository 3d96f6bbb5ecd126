//! Every limit has its own clear answer.

use fhirpool_server::config::{Config, Given};
use fhirpool_testkit::{Response, TestServer};

use super::{PATIENT, gzip};
use crate::wire;

fn assert_refused(response: &Response, status: u16, text: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let outcome = response.json();
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    let diagnostics = outcome["issue"][0]["diagnostics"].as_str().unwrap();
    assert!(diagnostics.contains(text), "{diagnostics}");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_however_they_come() {
    let server = TestServer::start_with(&["edge"], Given { body_bytes_max: Some(1 << 20), ..Given::default() }).await;
    let client = server.client("edge");
    let fitting = format!(r#"{{"resourceType":"Patient","id":"p","name":[{{"text":"{}"}}]}}"#, "x".repeat((1 << 20) - 100));
    assert_eq!(client.put("Patient/p", fitting).await.status, 201);
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20, "the bomb is small on the wire");
    let response = client.send("PUT", "Patient/p", &[("content-encoding", "gzip")], bomb.clone()).await;
    assert_refused(&response, 413, "larger than 1048576 bytes");
    let twice = gzip(&bomb);
    assert!(twice.len() < 10_000, "packed twice it is a bomb in a bomb");
    let response = client.send("PUT", "Patient/p", &[("content-encoding", "gzip, gzip")], twice).await;
    assert_eq!(response.status, 415);

    let head = format!(
        "Host: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\nConnection: close\r\n",
        server.token("edge")
    );
    // Announced: refused before anything of it has come.
    let request = format!("PUT /tenant/edge/Patient/p HTTP/1.1\r\n{head}Content-Length: 1048577\r\n\r\n");
    let answer = wire::exchange(server.address(), request.as_bytes()).await;
    assert_eq!(wire::status(&answer), 413, "{answer}");
    assert!(wire::body(&answer).contains("OperationOutcome"));
    // Not announced: refused when it has come too far.
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let request = format!("PUT /tenant/edge/Patient/p HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(17));
    let answer = wire::exchange(server.address(), request.as_bytes()).await;
    assert_eq!(wire::status(&answer), 413, "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn long_addresses_and_headers_are_refused() {
    let given = Given { url_bytes_max: Some(1_000), header_bytes_max: Some(8 << 10), ..Given::default() };
    let server = TestServer::start_with(&["edge"], given).await;
    let client = server.client("edge");
    let fitting = format!("Patient?{}", format!("name={}&", "a".repeat(100)).repeat(8));
    assert_eq!(client.get(&fitting).await.status, 200);
    let response = client.get(&format!("Patient?name={}", "a".repeat(1_000))).await;
    assert_refused(&response, 414, "longer than 1000 bytes");
    let response = client.get(&"a/".repeat(2_000)).await;
    assert_refused(&response, 414, "longer than 1000 bytes");

    let fitting = "a".repeat(5_000);
    assert_eq!(client.send("GET", "Patient", &[("x-long", &fitting)], "").await.status, 200);
    let response = client.send("GET", "Patient", &[("x-long", &"a".repeat(8 << 10))], "").await;
    assert_refused(&response, 431, "longer than 8192 bytes");
    // Far over it, the connection's buffer is the limit.
    let request = format!("GET /tenant/edge/Patient HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(4 << 20));
    let answer = wire::exchange(server.address(), request.as_bytes()).await;
    assert!(matches!(wire::status(&answer), 0 | 431), "{answer}");
    let many: String = (0..5_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let request = format!("GET /tenant/edge/Patient HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    let answer = wire::exchange(server.address(), request.as_bytes()).await;
    assert!(matches!(wire::status(&answer), 0 | 431), "{answer}");
    assert_eq!(client.get("Patient").await.status, 200, "the server still answers");
    server.stop().await;
}

#[tokio::test]
async fn depth_entries_and_pages_have_limits_of_their_own() {
    let given = Given {
        json_depth_max: Some(10),
        bundle_entries_max: Some(2),
        page_size_max: Some(2),
        page_size_default: Some(1),
        ..Given::default()
    };
    let server = TestServer::start_with(&["edge"], given).await;
    let client = server.client("edge");
    let deep = format!(
        r#"{{"resourceType":"Patient","extension":{}{}}}"#,
        r#"[{"url":"u","extension":"#.repeat(5),
        "[]".to_owned() + &"}]".repeat(5)
    );
    let response = client.post("Patient", deep).await;
    assert_eq!((response.status, response.json()["resourceType"].as_str()), (400, Some("OperationOutcome")), "{}", response.text());
    let entry = r#"{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}}"#;
    for kind in ["batch", "transaction"] {
        let bundle = |count| format!(r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#, vec![entry; count].join(","));
        assert_eq!(client.post("", bundle(2)).await.status, 200);
        let response = client.post("", bundle(3)).await;
        assert!(matches!(response.status, 400 | 413), "{kind}: {} {}", response.status, response.text());
    }
    assert_eq!(client.get("Patient?_count=1000").await.json()["entry"].as_array().unwrap().len(), 2);
    assert_eq!(client.get("Patient").await.json()["entry"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_the_clients_fault_where_it_is() {
    let server = TestServer::start_with(&["edge"], Given { request_seconds_max: Some(1), ..Given::default() }).await;
    let half = &PATIENT[..PATIENT.len() / 2];
    let request = format!(
        "PUT /tenant/edge/Patient/p HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n{half}",
        server.token("edge"),
        PATIENT.len()
    );
    let answer = wire::exchange(server.address(), request.as_bytes()).await;
    assert_eq!(wire::status(&answer), 408, "{answer}");
    assert!(wire::body(&answer).contains("OperationOutcome"));
    assert_eq!(server.client("edge").get("Patient/p").await.status, 404, "half a body writes nothing");
    server.stop().await;
}

#[test]
fn settings_that_cannot_be_used_are_refused_in_a_sentence() {
    let tenant = || vec!["edge".to_owned()];
    let addresses = |base_url: &str, texts: &[&str]| Given {
        base_url: Some(base_url.to_owned()),
        tenant_address: texts.iter().map(|&text| text.to_owned()).collect(),
        ..Given::default()
    };
    let cases: Vec<(Given, &[&str])> = vec![
        (Given { tenant: vec!["a b".into()], ..Given::default() }, &["tenant", "a b", "letters"]),
        (Given { tenant: vec!["a".repeat(65)], ..Given::default() }, &["tenant", "64"]),
        (Given { tenant: tenant(), default_tenant: Some("other".into()), ..Given::default() }, &["default_tenant", "other"]),
        (Given { base_url: Some("fhir.example".into()), ..Given::default() }, &["base_url", "fhir.example", "http"]),
        (Given { base_url: Some("https://fhir.example/".into()), ..Given::default() }, &["base_url", "slash"]),
        (addresses("", &["acme=fhir.example"]), &["tenant_address", "acme=fhir.example", "<id>=<URL>", "{tenant}"]),
        (addresses("", &["a=https://x.example/r4/"]), &["tenant_address", "slash"]),
        (addresses("", &["a=https://x.example/r4", "b=https://X.example/r4"]), &["tenant_address", "b=https://X.example/r4", "once"]),
        (addresses("", &["a=https://x.example/r4", "a=https://y.example"]), &["tenant_address", "a=https://y.example", "one address"]),
        (addresses("", &["a=https://x.example/r4", "b=https://x.example/r4/b"]), &["tenant_address", "none is below another"]),
        (addresses("", &["https://{tenant}.x.example", "b=https://b.x.example/r4"]), &["tenant_address", "b.x.example", "{tenant}"]),
        (addresses("", &["a=https://x.example/tenant/a"]), &["tenant_address", "/tenant", "/admin", "/health"]),
        (addresses("https://x.example", &["a=https://x.example"]), &["tenant_address", "base_url"]),
        (addresses("https://fhir.x.example", &["https://{tenant}.x.example"]), &["tenant_address", "base_url", "{tenant}"]),
        (addresses("https://x.example/a|b", &["a=https://y.example"]), &["base_url", "a|b", "path"]),
        (
            Given { tenant: tenant(), default_tenant: Some("edge".into()), ..addresses("https://x.example", &["a=https://x.example/a"]) },
            &["tenant_address", "https://x.example/a", "default_tenant"],
        ),
        (Given { tls_certificate: Some("cert.pem".into()), ..Given::default() }, &["tls_certificate", "tls_key", "both"]),
        (Given { tls_key: Some("key.pem".into()), ..Given::default() }, &["tls_certificate", "tls_key", "both"]),
        (Given { token_audience: Some(String::new()), ..Given::default() }, &["token_audience"]),
        (Given { body_bytes_max: Some(1), ..Given::default() }, &["body_bytes_max", "1", "1024"]),
        (Given { json_depth_max: Some(1_000_000), ..Given::default() }, &["json_depth_max", "1000000"]),
        (Given { page_size_default: Some(50), page_size_max: Some(20), ..Given::default() }, &["page_size_default", "50", "20"]),
        (Given { request_seconds_max: Some(0), ..Given::default() }, &["request_seconds_max", "0"]),
        (Given { connections_max: Some(0), ..Given::default() }, &["connections_max"]),
    ];
    for (given, parts) in cases {
        let shown = format!("{given:?}");
        let refusal = Config::resolve(given, None).expect_err(&shown).to_string();
        for part in parts {
            assert!(refusal.contains(part), "{refusal:?} does not name {part:?}");
        }
    }
    assert!(Config::resolve(Given::default(), None).is_ok());
    let good = addresses("https://x.example", &["a=https://x.example/a", "https://{tenant}.x.example/r4"]);
    assert!(Config::resolve(good, None).is_ok());
}

#[test]
fn files_of_settings_are_read_strictly_and_come_after_what_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fhirpool.toml");
    let resolve = |text: &str, given: Given| {
        std::fs::write(&file, text).unwrap();
        Config::resolve(given, Some(&file)).map_err(|refusal| refusal.to_string())
    };
    let config = resolve("page_size_default = 7\ntenant = [\"a\"]\n", Given { page_size_max: Some(70), ..Given::default() }).unwrap();
    assert_eq!((config.page_size_default, config.page_size_max, config.tenant), (7, 70, vec!["a".to_owned()]));
    let config = resolve("page_size_default = 7\n", Given { page_size_default: Some(8), ..Given::default() }).unwrap();
    assert_eq!(config.page_size_default, 8);
    assert!(resolve("page_size = 7\n", Given::default()).unwrap_err().contains("page_size"));
    assert!(resolve("page_size_default = \"x\"\n", Given::default()).unwrap_err().contains("page_size_default"));
    assert!(resolve("page_size_default", Given::default()).unwrap_err().contains("fhirpool.toml"));
    std::fs::remove_file(&file).unwrap();
    assert!(Config::resolve(Given::default(), Some(&file)).unwrap_err().to_string().contains("cannot read"));
}
