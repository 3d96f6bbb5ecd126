//! Mutated requests: whatever comes in, the answer is no 5xx, and an OperationOutcome where it is a refusal.

use axum::body::Body;
use http::{HeaderValue, Request};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{Api, PATIENT, token};

const REQUESTS: usize = 3000;

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"];
const PATHS: &[&str] = &[
    "",
    "/",
    "/metadata",
    "/Patient",
    "/Patient/1",
    "/Patient/_search",
    "/Patient/_history",
    "/Patient/1/_history",
    "/Patient/1/_history/1",
    "/Patient/1/Observation",
    "/Patient/1/*",
    "/_search",
    "/_history",
    "/$export",
    "/Patient/$validate",
    "/Binary",
    "/Binary/1",
    "/Foo/1",
    "/%50atient/1",
    "/Patient/%00",
    "/Patient/..",
    "//",
    "/Patient/1/_history/99999999999999999999",
    "/.well-known/smart-configuration",
];
const QUERIES: &[&str] = &[
    "",
    "?",
    "?family=a",
    "?_count=0",
    "?_count=99999999999999999999",
    "?_format=xml",
    "?_format=%ff",
    "?_pretty=true",
    "?_sort=-_id,,",
    "?_include=*",
    "?_has:Observation:patient:code=1",
    "?birthdate=ge2020-13-45",
    "?_page=AAAA",
    "?a=b&&&=&%",
    "?family:exact:missing=true",
    "?_summary=count&_total=accurate",
    "?identifier=|",
    "?organization.partof.partof.name=x",
    "?_since=2020-01-01T00:00:00 00:00",
    "?_elements=,,",
];
const HEADERS: &[(&str, &str)] = &[
    ("accept", "application/fhir+json"),
    ("accept", ",;q=x,/"),
    ("accept", "text/plain"),
    ("content-type", "application/fhir+json"),
    ("content-type", "application/json-patch+json"),
    ("content-type", ";;;"),
    ("content-type", "text/plain"),
    ("content-encoding", "gzip"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("prefer", "return=minimal"),
    ("prefer", "=,;="),
    ("if-match", "W/\"1\""),
    ("if-match", "\""),
    ("if-none-match", "*"),
    ("if-none-exist", "identifier=x"),
    ("if-none-exist", "%"),
    ("if-modified-since", "x"),
    ("accept-encoding", "gzip"),
    ("host", "a b"),
    ("x-security-context", "\"\\"),
];
const BODIES: &[&str] = &[
    "",
    "{}",
    "[]",
    "null",
    PATIENT,
    "{\"resourceType\":\"Patient\",\"id\":\"1\"}",
    "{\"resourceType\":7}",
    "[{\"op\":\"remove\",\"path\":\"/x\"}]",
    "{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{\"request\":{\"method\":\"GET\",\"url\":\"Patient?\"}}]}",
    "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{},null,{\"request\":{\"method\":\"PUT\",\"url\":\"%\"}}]}",
    "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"operation\",\"part\":[]}]}",
    "family=a&_count=1",
    "{\"resourceType\":\"Patient\",\"name\":",
];

fn mutate(random: &mut StdRng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(0..3) {
        let place = random.random_range(0..=bytes.len());
        match random.random_range(0..3) {
            0 => bytes.insert(place, random.random()),
            1 if place < bytes.len() => bytes[place] = random.random(),
            _ => bytes.truncate(place),
        }
    }
    bytes
}

/// A request; `None` where HTTP's own parser would not let it through.
fn request(random: &mut StdRng, token: &str) -> Option<Request<Body>> {
    let path = format!("/tenant/acme{}{}", PATHS.choose(random)?, QUERIES.choose(random)?);
    let target = String::from_utf8(mutate(random, &path)).ok()?;
    let mut request = Request::builder().method(*METHODS.choose(random)?).uri(target);
    request = request.header("authorization", format!("Bearer {token}"));
    for _ in 0..random.random_range(0..4) {
        let (name, value) = HEADERS.choose(random)?;
        request = request.header(*name, HeaderValue::from_bytes(&mutate(random, value)).ok()?);
    }
    let body = BODIES.choose(random)?;
    request.body(Body::from(mutate(random, body))).ok()
}

#[tokio::test]
async fn no_request_makes_the_server_fail() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (api, token) = (Api::new().await, token("acme", "practitioner", 0));
    let mut sent = 0;
    while sent < REQUESTS {
        let Some(request) = request(&mut random, &token) else { continue };
        let described = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let is_head = request.method() == "HEAD";
        let answer = api.send_raw(request).await;
        assert!(answer.status.as_u16() < 500 || answer.status == 501, "{} for {described}", answer.status);
        if answer.status.is_client_error() && !is_head {
            answer.issue();
        }
        sent += 1;
    }
}
