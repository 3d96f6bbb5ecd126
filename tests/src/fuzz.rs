//! Requests that are almost right: whatever comes, no 5xx (501 aside, which says that something is not done) and no panic.

use std::time::Duration;

use fhirpool_testkit::TestServer;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::settings::setting;

/// Requests to begin from: method, path below the tenant, a header, body.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/Patient/a", "If-None-Match: W/\"1\"", ""),
    ("GET", "/Patient/a/_history/1", "Accept: application/fhir+json;q=0.5, */*;q=0.1", ""),
    ("GET", "/Patient/_history?_since=2020-01-01T00:00:00Z&_count=3", "Prefer: handling=lenient", ""),
    ("GET", "/Patient?name:contains=ab&birthdate=ge1970-01-01&_sort=-birthdate,name&_count=5&_total=accurate", "X: y", ""),
    ("GET", "/Observation?patient.name=x&code=http://loinc.org|8302-2,a\\,b&value-quantity=gt5.4||mg&date=ap2020", "X: y", ""),
    ("GET", "/Observation?code-value-quantity=8302-2$gt5&_include=Observation:subject&_revinclude:iterate=*", "X: y", ""),
    ("GET", "/Patient?_has:Observation:subject:code=1&_elements=name&_summary=true", "X: y", ""),
    ("GET", "/?_type=Patient,Observation&_lastUpdated=gt2020&_id=a,b", "X: y", ""),
    ("GET", "/Patient/a/Observation?code=x", "X: y", ""),
    ("GET", "/metadata?_format=json&_pretty=true", "X: y", ""),
    ("POST", "/Patient/_search", "Content-Type: application/x-www-form-urlencoded", "name=a&birthdate=lt2000&_sort=_id"),
    (
        "POST",
        "/Patient",
        "If-None-Exist: identifier=a|b",
        "{\"resourceType\":\"Patient\",\"identifier\":[{\"system\":\"a\",\"value\":\"b\"}],\"birthDate\":\"1970-01-01\"}",
    ),
    (
        "PUT",
        "/Patient/a",
        "If-Match: W/\"1\"",
        "{\"resourceType\":\"Patient\",\"id\":\"a\",\"name\":[{\"family\":\"\\u00e9\",\"given\":[\"x\"]}],\"extension\":[{\"url\":\"u\",\"valueDecimal\":1.00}]}",
    ),
    (
        "PUT",
        "/Patient?identifier=a|b",
        "Prefer: return=minimal",
        "{\"resourceType\":\"Patient\",\"identifier\":[{\"system\":\"a\",\"value\":\"b\"}]}",
    ),
    (
        "PUT",
        "/Observation/o",
        "X: y",
        "{\"resourceType\":\"Observation\",\"id\":\"o\",\"status\":\"final\",\"code\":{\"coding\":[{\"system\":\"http://loinc.org\",\"code\":\"8302-2\"}]},\"subject\":{\"reference\":\"Patient/a\"},\"effectivePeriod\":{\"start\":\"2020-01\",\"end\":\"2021\"},\"valueQuantity\":{\"value\":5.40,\"code\":\"mg\"}}",
    ),
    (
        "PATCH",
        "/Patient/a",
        "Content-Type: application/json-patch+json",
        "[{\"op\":\"add\",\"path\":\"/name/0/given/-\",\"value\":\"y\"},{\"op\":\"test\",\"path\":\"/id\",\"value\":\"a\"}]",
    ),
    ("DELETE", "/Patient?identifier=a|b", "X: y", ""),
    ("DELETE", "/Patient/a", "X: y", ""),
    (
        "POST",
        "",
        "Prefer: return=representation",
        "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{\"fullUrl\":\"urn:uuid:11111111-1111-4111-8111-111111111111\",\"resource\":{\"resourceType\":\"Patient\"},\"request\":{\"method\":\"POST\",\"url\":\"Patient\",\"ifNoneExist\":\"identifier=q|r\"}},{\"resource\":{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"text\":\"x\"},\"subject\":{\"reference\":\"urn:uuid:11111111-1111-4111-8111-111111111111\"}},\"request\":{\"method\":\"POST\",\"url\":\"Observation\"}},{\"request\":{\"method\":\"GET\",\"url\":\"Patient?_count=1\"}}]}",
    ),
    (
        "POST",
        "/",
        "X: y",
        "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{\"method\":\"DELETE\",\"url\":\"Patient/zz\"}},{\"request\":{\"method\":\"GET\",\"url\":\"Patient/a/_history\"}},{\"resource\":{\"resourceType\":\"Patient\",\"id\":\"p\"},\"request\":{\"method\":\"PUT\",\"url\":\"Patient/p\",\"ifMatch\":\"W/\\\"1\\\"\"}}]}",
    ),
];

/// Pieces that parsers stumble over.
const PIECES: &[&str] = &[
    "",
    "\0",
    "%",
    "%00",
    "%zz",
    "%FF",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[[[",
    ",",
    ":",
    "|",
    "$",
    "/",
    "//",
    "..",
    "?",
    "&",
    "=",
    "&&",
    "_",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "99999999999999999999",
    "1.0E-400",
    "9999-99-99",
    "2020-02-30",
    "0000",
    "Patient",
    "Observation",
    "Nonsense",
    "resourceType",
    "urn:uuid:",
    "#",
    ":missing=",
    ":not",
    ":exact",
    ":above",
    ":identifier",
    "_has:",
    "_include=",
    "_sort=",
    "_count=",
    "_summary=",
    "_total=",
    "_type=",
    "\u{202e}",
    "é",
    "\u{10ffff}",
    "*",
    "+",
    " ",
    "\t",
    "\r\n",
    "W/\"",
    "gzip",
];

fn mutate(random: &mut StdRng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => {
                let piece = PIECES.choose(random).unwrap();
                bytes.splice(at..at, piece.bytes());
            }
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 if at < bytes.len() => {
                let until = (at + random.random_range(1..12)).min(bytes.len());
                bytes.drain(at..until);
            }
            3 if at < bytes.len() => {
                let until = (at + random.random_range(1..40)).min(bytes.len());
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part);
            }
            4 => bytes.truncate(at.max(1)),
            _ => {
                let piece = PIECES.choose(random).unwrap();
                let until = (at + piece.len()).min(bytes.len());
                bytes.splice(at..until, piece.bytes());
            }
        }
    }
    bytes
}

/// One request with one of its parts changed; now and then the whole of its bytes (`true`), so that its end may be missing.
fn request(random: &mut StdRng, token: &str) -> (Vec<u8>, bool) {
    let (method, path, header, body) = REQUESTS.choose(random).unwrap();
    let part = random.random_range(0..10);
    let keep = |text: &str| text.as_bytes().to_vec();
    let path = if (0..4).contains(&part) { mutate(random, path) } else { keep(path) };
    // A target with a space or a line's end would only test the HTTP library.
    let path: Vec<u8> = path.into_iter().filter(|byte| part == 9 || !matches!(byte, 0..=32 | 127)).collect();
    let header = if part == 4 { mutate(random, header) } else { keep(header) };
    let body = if (5..9).contains(&part) { mutate(random, body) } else { keep(body) };
    let mut bytes = format!("{method} /tenant/fuzz").into_bytes();
    bytes.extend_from_slice(&path);
    bytes.extend_from_slice(
        format!(" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len()).as_bytes(),
    );
    if !header.to_ascii_lowercase().starts_with(b"content-type") {
        bytes.extend_from_slice(b"Content-Type: application/fhir+json\r\n");
    }
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(&body);
    if part == 9 {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return (mutate(random, &text), true);
    }
    (bytes, false)
}

/// The status of the answer; `None` where the server closed without one. A server may give up on who has closed its sending side:
/// that is done only to a request whose end may be missing, which would be waited for.
async fn send(address: &str, bytes: &[u8], may_be_cut: bool) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    if may_be_cut {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), async {
        let mut chunk = [0; 4096];
        while !answer.windows(2).any(|pair| pair == b"\r\n") {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
            }
        }
    });
    assert!(read.await.is_ok(), "no answer within a minute to {:?}", String::from_utf8_lossy(bytes));
    let line = String::from_utf8_lossy(&answer).into_owned();
    line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_are_never_the_servers_fault() {
    let count: u64 = setting("FHIRPOOL_FUZZ_REQUESTS").unwrap_or(3_000);
    let seed: u64 = setting("FHIRPOOL_SEED").unwrap_or_else(rand::random);
    println!("fuzz: {count} requests, FHIRPOOL_SEED={seed}");
    let server = TestServer::start(&["fuzz"]).await;
    let token = server.token("fuzz");
    let address = server.root().trim_start_matches("http://").to_owned();
    let workers = (0..4).map(|worker| {
        let (address, token) = (address.clone(), token.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(worker));
            let mut answered = std::collections::BTreeMap::new();
            for _ in 0..count / 4 {
                let (bytes, may_be_cut) = request(&mut random, &token);
                let status = send(&address, &bytes, may_be_cut).await;
                *answered.entry(status).or_insert(0_u64) += 1;
                let fault = status.is_some_and(|status| status >= 500 && status != 501);
                assert!(
                    may_be_cut || status.is_some(),
                    "no answer (FHIRPOOL_SEED={seed}) to {:?}",
                    String::from_utf8_lossy(&bytes).replace(&token, "TOKEN")
                );
                assert!(!fault, "{status:?} (FHIRPOOL_SEED={seed}) to {:?}", String::from_utf8_lossy(&bytes).replace(&token, "TOKEN"));
            }
            answered
        })
    });
    for answered in futures_util::future::join_all(workers).await {
        println!("fuzz: answers by status {:?}", answered.unwrap());
    }
    assert_eq!(server.client("fuzz").get("metadata").await.status, 200, "the server still answers");
    server.stop().await;
}
