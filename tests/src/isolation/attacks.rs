//! One tenant tries everything to learn of another. The same attacks run on two servers, on one of which the other tenants hold
//! nothing: whatever the attacker receives must be the same on both, and never hold what only the other tenants know.

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Response, TestServer};
use regex::Regex;

use super::seed::{CANARY, fill_attacker, fill_other};
use crate::profiles::on_each_profile;
use crate::wire;

on_each_profile!(
    what_a_tenant_receives_does_not_depend_on_what_others_hold,
    the_attacks_find_what_there_is_to_find_for_whom_it_belongs_to,
    page_links_are_worth_nothing_to_others,
    the_default_tenant_is_closed_to_others_too,
);

/// The attacker, and tenants whose names begin like it or differ by case.
const ATTACKER: &str = "t1";
const OTHERS: [&str; 3] = ["t10", "T1", "t"];

/// Reads below the attacker's base. `OTHER` is the other tenant's base URL.
pub(super) const READS: &[&str] = &[
    "Patient/b-pat",
    "Patient/b-pat/_history",
    "Patient/b-pat/_history/1",
    "Patient/b-gone",
    "Patient/b-gone/_history/2",
    "Patient/shared",
    "Patient/shared/_history",
    "Patient/shared/_history/2",
    "Patient/shared/_history/3",
    "Binary/b-bin",
    // By id and content.
    "Patient?_id=b-pat",
    "Patient?_id=b-pat,shared,a-pat",
    "?_id=b-pat,shared,b-obs&_type=Patient,Observation",
    "Patient?identifier=urn:known|pat-1",
    "Patient?identifier=pat-1",
    "Patient?identifier:not=urn:known|pat-2",
    "Patient?name=known",
    "Patient?name:contains=nown",
    "Patient?family:exact=known",
    "Patient?phone=known-1",
    "Patient?address-city=knowntown",
    "Patient?birthdate=1970-01-01",
    "Patient?birthdate:missing=false",
    "Patient?birthdate=ge1900&_sort=birthdate,-family",
    "Patient?gender=female,male",
    "Patient?_lastUpdated=gt2000",
    "Patient?_tag=urn:known|tag",
    "Patient?_security=urn:known|secret",
    "Patient?_profile=http://known.example/profile",
    "Patient?_source=urn:known-source",
    "Observation?code=http://loinc.org|8302-2",
    "Observation?code:text=known",
    "Observation?value-quantity=180.50|http://unitsofmeasure.org|cm",
    "Observation?value-quantity=gt1",
    "Observation?code-value-quantity=http://loinc.org|8302-2$gt1",
    "Observation?date=2020",
    "RiskAssessment?probability=0.25",
    "ValueSet?url=http://known.example/vs",
    "ValueSet?url:below=http://known.example",
    // References, in every form.
    "Observation?subject=Patient/b-pat",
    "Observation?subject=b-pat",
    "Observation?subject:Patient=b-pat",
    "Observation?patient=shared",
    "Observation?subject=OTHER/Patient/b-pat",
    "Observation?subject=OTHER/Patient/shared",
    "Observation?subject=BASE/Patient/b-pat",
    "Observation?subject=../t10/Patient/b-pat",
    "Observation?performer=OTHER/Practitioner/b-doc",
    "Observation?performer=OTHER/Practitioner/b-doc/_history/1",
    "Observation?focus:identifier=urn:known|pat-1",
    "Patient?organization=OTHER/Organization/b-org",
    // Chains and their reverse.
    "Observation?subject.name=known",
    "Observation?subject:Patient.identifier=urn:known|pat-1",
    "Observation?subject:Patient.birthdate=1970-01-01",
    "Observation?subject:Patient._id=b-pat",
    "Observation?patient.organization.name=known",
    "Observation?performer:Practitioner.identifier=urn:known|doc-1",
    "Patient?general-practitioner:Practitioner.name=known",
    "Patient?organization.identifier=urn:known|org-1",
    "Patient?link:Patient.name=known",
    "Patient?_has:Observation:patient:code=http://loinc.org|8302-2",
    "Patient?_has:Observation:patient:_id=b-obs,b-obs2,b-spy",
    "Patient?_has:Group:member:_id=b-group",
    "Patient?_has:Observation:patient:performer:Practitioner.name=known",
    "Practitioner?_has:Observation:performer:_id=b-spy",
    "Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:_id=b-obs",
    // Includes.
    "Observation?_id=a-obs&_include=Observation:subject&_include=Observation:performer&_include=Observation:derived-from",
    "Observation?_id=a-obs,a-obs2&_include=*",
    "Observation?_id=a-obs2&_include=Observation:focus&_include:iterate=Patient:general-practitioner",
    "Patient?_id=a-pat&_include=Patient:link&_include=Patient:organization",
    "Patient?_id=a-pat&_include:iterate=*",
    "Patient?_id=shared,a-pat&_revinclude=Observation:subject&_revinclude=Group:member",
    "Patient?_id=shared&_revinclude=*",
    "Practitioner?_id=a-doc&_revinclude:iterate=*",
    // Compartments.
    "Patient/b-pat/Observation",
    "Patient/b-pat/*",
    "Patient/shared/Observation",
    "Patient/shared/*",
    "Patient/b-pat/$everything",
    "Patient/shared/$everything",
    "Patient/a-pat/$everything",
    "Practitioner/b-doc/Observation",
    // Counts.
    "?_summary=count",
    "?_summary=count&_type=Patient,Observation,ValueSet",
    "Patient?_summary=count",
    "Patient?_count=0",
    "Patient?_total=accurate&_count=1",
    "Patient?name=known&_summary=count",
    "Observation?subject.name=known&_summary=count",
    "Observation?_summary=count",
    "ValueSet?_total=accurate",
    // Histories.
    "_history",
    "_history?_since=2000-01-01T00:00:00Z&_count=2",
    "_history?_at=2000",
    "Patient/_history",
    "ValueSet/_history",
];

/// Bodies that the attacker writes or asks with: headers, method and path, body.
pub(super) const WRITES: &[(&str, &str, &str, &str)] = &[
    ("PUT", "Patient/shared", "if-match: W/\"3\"", r#"{"resourceType":"Patient","id":"shared"}"#),
    ("PUT", "Patient/b-pat", "if-match: W/\"1\"", r#"{"resourceType":"Patient","id":"b-pat"}"#),
    ("PATCH", "Patient/b-pat", "content-type: application/json-patch+json", r#"[{"op":"add","path":"/active","value":false}]"#),
    (
        "PATCH",
        "Patient?identifier=urn:known|pat-1",
        "content-type: application/json-patch+json",
        r#"[{"op":"add","path":"/active","value":false}]"#,
    ),
    ("DELETE", "Patient/b-pat", "", ""),
    ("DELETE", "Patient?identifier=urn:known|pat-1", "", ""),
    ("DELETE", "Patient?name=known", "", ""),
    ("POST", "Patient", "if-none-exist: identifier=urn:known|pat-1", r#"{"resourceType":"Patient","active":true}"#),
    ("POST", "Patient", "if-none-exist: OTHER/Patient?identifier=urn:known|pat-1", r#"{"resourceType":"Patient","active":true}"#),
    (
        "POST",
        "Observation",
        "if-none-exist: subject=OTHER/Patient/b-pat&code=http://loinc.org|8302-2",
        r#"{"resourceType":"Observation","status":"final","code":{"text":"x"}}"#,
    ),
    ("POST", "Patient", "if-none-exist: _has:Observation:patient:_id=b-obs", r#"{"resourceType":"Patient","active":true}"#),
    (
        "PUT",
        "Patient?identifier=urn:known|pat-1",
        "",
        r#"{"resourceType":"Patient","id":"new-pat","identifier":[{"system":"urn:new","value":"1"}]}"#,
    ),
    ("POST", "Patient/_search", "content-type: application/x-www-form-urlencoded", "name=known&_total=accurate"),
    ("POST", "_search", "content-type: application/x-www-form-urlencoded", "_id=b-pat,b-obs&_type=Patient,Observation"),
    ("POST", "Patient/b-pat/Observation/_search", "content-type: application/x-www-form-urlencoded", "_count=5"),
    (
        "POST",
        "",
        "",
        r#"{"resourceType":"Bundle","type":"batch","entry":[
        {"request":{"method":"GET","url":"Patient/b-pat"}},
        {"request":{"method":"GET","url":"OTHER/Patient/b-pat"}},
        {"request":{"method":"GET","url":"/tenant/OTHERID/Patient/b-pat"}},
        {"request":{"method":"GET","url":"../OTHERID/Patient/b-pat"}},
        {"request":{"method":"GET","url":"/../OTHERID/Patient/b-pat"}},
        {"request":{"method":"GET","url":"tenant/OTHERID/Patient/b-pat"}},
        {"request":{"method":"GET","url":"Patient/..%2F..%2FOTHERID%2FPatient%2Fb-pat"}},
        {"request":{"method":"GET","url":"Patient/b-pat/_history/1"}},
        {"request":{"method":"GET","url":"OTHER/Patient?name=known"}},
        {"request":{"method":"GET","url":"Patient?name=known&_summary=count"}},
        {"request":{"method":"GET","url":"Observation?subject.name=known"}},
        {"request":{"method":"GET","url":"_history"}},
        {"request":{"method":"DELETE","url":"OTHER/Patient/b-pat"}},
        {"request":{"method":"DELETE","url":"../OTHERID/Patient/b-pat"}},
        {"resource":{"resourceType":"Patient","id":"b-pat"},"request":{"method":"PUT","url":"OTHER/Patient/b-pat"}},
        {"resource":{"resourceType":"Patient","id":"b-pat"},"request":{"method":"PUT","url":"/tenant/OTHERID/Patient/b-pat"}},
        {"fullUrl":"OTHER/Patient/b-pat","resource":{"resourceType":"Patient","active":true},"request":{"method":"POST","url":"Patient","ifNoneExist":"identifier=urn:known|pat-1"}}]}"#,
    ),
    (
        "POST",
        "",
        "",
        r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient?identifier=urn:known|pat-1"}},"request":{"method":"POST","url":"Observation"}}]}"#,
    ),
    (
        "POST",
        "",
        "",
        r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"OTHER/Patient?identifier=urn:known|pat-1"}},"request":{"method":"POST","url":"Observation"}}]}"#,
    ),
    (
        "POST",
        "",
        "prefer: return=representation",
        r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"fullUrl":"OTHER/Patient/b-pat","resource":{"resourceType":"Patient","active":true},"request":{"method":"POST","url":"Patient"}},
        {"fullUrl":"urn:uuid:6a4f3f0e-14a5-4b19-9a3e-5f7f2ad6a101","resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"OTHER/Patient/b-pat"},"performer":[{"reference":"Practitioner/b-doc"}]},"request":{"method":"POST","url":"Observation","ifNoneExist":"identifier=urn:known|obs-1"}},
        {"request":{"method":"GET","url":"Patient?name=known&_total=accurate"}},
        {"request":{"method":"GET","url":"Observation?_id=a-obs&_include=*"}},
        {"request":{"method":"DELETE","url":"Patient?identifier=urn:known|shared-other"}}]}"#,
    ),
    ("PUT", "Patient/b-pat", "", r#"{"resourceType":"Patient","id":"b-pat","active":true}"#),
    ("PUT", "Patient/b-gone", "", r#"{"resourceType":"Patient","id":"b-gone","active":true}"#),
    ("DELETE", "Patient/shared", "", ""),
];

/// Request targets, as they stand on the wire, with the attacker's token. None leads to another tenant.
const TARGETS: &[&str] = &[
    "/tenant/OTHERID/Patient/b-pat",
    "/tenant/OTHERID/Patient?name=known",
    "/tenant/OTHERID/_history",
    "/tenant/OTHERID",
    "/tenant/OTHERID/",
    "/tenant//OTHERID/Patient/b-pat",
    "//tenant/OTHERID/Patient/b-pat",
    "/tenant/t1/../OTHERID/Patient/b-pat",
    "/tenant/t1/..%2fOTHERID/Patient/b-pat",
    "/tenant/t1/%2e%2e/OTHERID/Patient/b-pat",
    "/tenant/t1%2f..%2fOTHERID/Patient/b-pat",
    "/tenant/t1/../../tenant/OTHERID/Patient/b-pat",
    "/tenant/t1/Patient/../../OTHERID/Patient/b-pat",
    "/tenant/t1/Patient/..%2F..%2FOTHERID%2FPatient%2Fb-pat",
    "/tenant/t1/Patient/b-pat%2f..%2f..%2f..%2fOTHERID",
    "/tenant/t1//Patient/b-pat",
    "/tenant/t1/Patient//b-pat",
    "/tenant/t1/tenant/OTHERID/Patient/b-pat",
    "/tenant/t1\\..\\OTHERID/Patient/b-pat",
    "/tenant/t1%00/Patient/b-pat",
    "/tenant/t10%00/Patient/b-pat",
    "/tenant/t1%20/Patient/b-pat",
    "/tenant/t1%09/Patient/b-pat",
    "/tenant/%74%31%30/Patient/b-pat",
    "/tenant/%54%31/Patient/b-pat",
    "/tenant/t%31%30/Patient/b-pat",
    "/tenant/t1%30/Patient/b-pat",
    "/tenant/t1%2530/Patient/b-pat",
    "/tenant/t1;a=b/Patient/b-pat",
    "/tenant/t1,OTHERID/Patient/b-pat",
    "/tenant/*/Patient/b-pat",
    "/TENANT/OTHERID/Patient/b-pat",
    "/Tenant/OTHERID/Patient/b-pat",
    "/OTHERID/Patient/b-pat",
    "/Patient/b-pat",
    "/./tenant/./OTHERID/Patient/b-pat",
    "http://localhost/tenant/OTHERID/Patient/b-pat",
    "http://OTHERID/tenant/t1/Patient/b-pat",
    "/tenant/t1/Patient/b-pat?tenant=OTHERID",
    "/tenant/t1/Patient?_id=b-pat&_tenant=OTHERID",
];

/// Headers that proxies and other servers understand as a place or a tenant.
const HEADERS: &[&str] = &[
    "X-Tenant-Id: OTHERID",
    "X-Tenant: OTHERID",
    "X-Forwarded-Prefix: /tenant/OTHERID",
    "X-Forwarded-Host: evil.example",
    "X-Original-URL: /tenant/OTHERID/Patient/b-pat",
    "X-Rewrite-URL: /tenant/OTHERID/Patient/b-pat",
    "X-HTTP-Method-Override: DELETE",
    "Host: OTHERID",
    "Forwarded: host=evil.example;proto=https",
];

/// What differs between two runs whatever the tenants hold: addresses, made ids, times, page tokens.
struct Blur(Vec<(Regex, &'static str)>);

impl Blur {
    fn new() -> Self {
        let patterns = [
            (r"127\.0\.0\.1:[0-9]+", "HOST"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
            (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)", "TIME"),
            (r"_page=[A-Za-z0-9_-]+", "_page=TOKEN"),
        ];
        Self(patterns.map(|(pattern, name)| (Regex::new(pattern).unwrap(), name)).to_vec())
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
    }

    fn response(&self, response: &Response) -> String {
        let headers = response.headers.iter();
        let headers = headers.filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length" | "last-modified"));
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default())).collect();
        self.text(&format!("{}\n{}\n{}", response.status, headers.join("\n"), response.text()))
    }
}

/// What the attacker received: the request and the blurred answer, in order.
type Received = Vec<(String, String)>;

struct Campaign<'a> {
    server: &'a TestServer,
    attacker: Client,
    other: Client,
    other_id: &'static str,
    blur: Blur,
    received: Received,
}

impl Campaign<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("OTHERID", self.other_id).replace("OTHER", &self.other.base).replace("BASE", &self.attacker.base)
    }

    fn keep(&mut self, request: String, response: &Response) {
        assert!(response.status < 500, "{request}: {} {}", response.status, response.text());
        let answer = self.blur.response(response);
        self.received.push((request, answer));
    }

    async fn read(&mut self) {
        for path in READS {
            let path = self.fill(path);
            let response = self.attacker.get(&path).await;
            self.keep(format!("GET {path}"), &response);
            let head = self.attacker.send("HEAD", &path, &[("if-none-match", "W/\"3\"")], "").await;
            self.keep(format!("HEAD {path}"), &head);
        }
    }

    async fn write(&mut self) {
        for (method, path, header, body) in WRITES {
            let (path, header, body) = (self.fill(path), self.fill(header), self.fill(body));
            let headers: Vec<(&str, &str)> = header.split_once(": ").into_iter().collect();
            let response = self.attacker.send(method, &path, &headers, body).await;
            self.keep(format!("{method} {path} {header}"), &response);
        }
    }

    /// Paths and headers, byte for byte.
    async fn probe(&mut self) {
        let token = self.server.token(ATTACKER);
        let targets = TARGETS.iter().map(|target| (self.fill(target), String::from("X: y")));
        let headers = HEADERS.iter().map(|header| (format!("/tenant/{ATTACKER}/Patient/b-pat"), self.fill(header)));
        let probes: Vec<(String, String)> = targets.chain(headers).collect();
        for (target, header) in probes {
            for method in ["GET", "DELETE"] {
                let host = if header.starts_with("Host") { "" } else { "Host: localhost\r\n" };
                let request =
                    format!("{method} {target} HTTP/1.1\r\n{host}{header}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
                let answer = wire::exchange(self.server.address(), request.as_bytes()).await;
                let status = wire::status(&answer);
                // What leads to the attacker's own tenant may find what it has written there itself.
                let is_own = target.contains(&format!("/tenant/{ATTACKER}/Patient"));
                let is_right = matches!(status, 400 | 404 | 405) || is_own && matches!(status, 200 | 204 | 410);
                assert!(is_right, "{method} {target}, {header}: {answer}");
                self.received.push((format!("{method} {target}, {header}"), self.blur.text(wire::body(&answer))));
            }
        }
    }
}

/// Runs all attacks on one other tenant; gives what the attacker received.
async fn attack(server: &TestServer, other_id: &'static str, is_filled: bool) -> Received {
    let (attacker, other) = (server.client(ATTACKER), server.client(other_id));
    fill_attacker(&attacker, &other).await;
    if is_filled {
        fill_other(&other, &attacker).await;
    }
    let before = other.get("_history?_count=1000").await;
    let mut campaign = Campaign { server, attacker, other: other.clone(), other_id, blur: Blur::new(), received: Vec::new() };
    campaign.read().await;
    campaign.probe().await;
    campaign.write().await;
    campaign.read().await;
    campaign.probe().await;
    let after = other.get("_history?_count=1000").await;
    assert_eq!(before.body, after.body, "{other_id}: the attacker changed something");
    campaign.received
}

async fn what_a_tenant_receives_does_not_depend_on_what_others_hold(profile: Profile) {
    for other in OTHERS {
        let tenants = [ATTACKER, other];
        let (empty, full) = (
            TestServer::start_on(profile, &tenants, Given::default()).await,
            TestServer::start_on(profile, &tenants, Given::default()).await,
        );
        let (alone, beside) = tokio::join!(attack(&empty, other, false), attack(&full, other, true));
        assert_eq!(alone.len(), beside.len());
        for ((request, alone), (_, beside)) in alone.iter().zip(&beside) {
            assert!(!beside.contains(CANARY), "{request}: the answer holds what only {other} knows: {beside}");
            assert_eq!(alone, beside, "{request}: the answer depends on what {other} holds");
        }
        empty.stop().await;
        full.stop().await;
    }
}

async fn the_attacks_find_what_there_is_to_find_for_whom_it_belongs_to(profile: Profile) {
    let server = TestServer::start_on(profile, &["t1", "t10"], Given::default()).await;
    let (attacker, other) = (server.client("t1"), server.client("t10"));
    fill_other(&other, &attacker).await;
    let mut blind = Vec::new();
    for path in READS {
        let path = path.replace("OTHERID", "t10").replace("OTHER", &other.base).replace("BASE", &other.base);
        let response = other.get(&path).await;
        let json = if response.status == 200 { response.json() } else { serde_json::Value::Null };
        if !response.text().contains(CANARY) && json["total"].as_u64().unwrap_or(0) == 0 {
            blind.push(path);
        }
    }
    // What is about the attacker's own things, was deleted, is sealed in base64 or leads nowhere for anyone.
    let exempt = ["a-obs", "a-pat", "a-doc", "b-gone", "b-bin", "b-spy", "=../", "_at=2000"];
    let useless: Vec<String> = blind.into_iter().filter(|path| !exempt.iter().any(|part| path.contains(part))).collect();
    assert!(useless.is_empty(), "attacks that would find nothing anyway: {useless:#?}");
    server.stop().await;
}

async fn page_links_are_worth_nothing_to_others(profile: Profile) {
    let server = TestServer::start_on(profile, &["t1", "t10"], Given::default()).await;
    let (attacker, other) = (server.client("t1"), server.client("t10"));
    for client in [&attacker, &other] {
        for number in 0..4 {
            let text = format!(r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"family":"{CANARY}"}}]}}"#);
            client.put(&format!("Patient/p{number}"), text).await;
        }
    }
    for first in ["Patient?_count=1", "?_count=1&_type=Patient", "Patient/_history?_count=1", "_history?_count=1"] {
        let next = |bundle: serde_json::Value| {
            let links = bundle["link"].as_array().unwrap().clone();
            links.iter().find(|link| link["relation"] == "next").unwrap()["url"].as_str().unwrap().to_owned()
        };
        let others = next(other.get(first).await.json());
        let own = next(attacker.get(first).await.json());
        assert_eq!(attacker.get(&own).await.status, 200, "{first}: the link's owner may follow it");
        assert_eq!(attacker.get(&others).await.status, 404, "{first}: another tenant's link as it is");
        let moved = others.replace("/tenant/t10", "/tenant/t1");
        assert_eq!(attacker.get(&moved).await.status, 400, "{first}: another tenant's token in an own link");
        let colleague = Client::new(attacker.base.clone(), Some(server.token_for("t1", "colleague", &["practitioner"])));
        assert_eq!(colleague.get(&own).await.status, 400, "{first}: the link of someone else of the tenant");
        assert_eq!(attacker.get(&own.replace("_page=", "_page=A")).await.status, 400, "{first}: a changed token");
        let (address, token) = own.split_once("_page=").unwrap();
        assert_eq!(attacker.get(&format!("{address}_page={}", &token[..token.len() - 2])).await.status, 400, "{first}: a cut token");
        let elsewhere = format!("Observation?_page={token}");
        assert_eq!(attacker.get(&elsewhere).await.status, 400, "{first}: a token at another address");
        let wider = format!("{own}&_count=1000");
        assert_eq!(attacker.get(&wider).await.status, 400, "{first}: a token with further parameters");
    }
    server.stop().await;
}

async fn the_default_tenant_is_closed_to_others_too(profile: Profile) {
    let given = fhirpool_server::config::Given { default_tenant: Some("t10".into()), ..Default::default() };
    let server = TestServer::start_on(profile, &["t1", "t10"], given).await;
    fill_other(&server.client("t10"), &server.client("t1")).await;
    let at_root = |tenant: &str| Client::new(server.root(), Some(server.token(tenant)));
    assert_eq!(at_root("t10").get("/Patient/b-pat").await.status, 200);
    for path in ["/Patient/b-pat", "/Patient?name=known", "/?_summary=count", "/_history", "/Patient/b-pat/_history/1"] {
        let response = at_root("t1").get(path).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.text().contains(CANARY), "{path}");
    }
    server.stop().await;
}
