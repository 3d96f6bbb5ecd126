//! Tenants at bases of their own: what leads there, what answers say of where things are, and what counts as a tenant's own.

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, TestServer};
use serde_json::Value;

use crate::profiles::on_each_profile;

on_each_profile!(
    every_link_carries_the_base_that_was_asked,
    references_below_any_of_its_bases_are_a_tenants_own,
    a_page_goes_on_at_whichever_base,
    proxies_name_the_host_where_they_are_trusted,
);

const ADDRESSES: [&str; 3] = ["acme=https://fhir.acme.example", "https://{tenant}.fhir.example/r4", "https://fhir.example/at/{tenant}"];

/// The bases of `acme`, that of the server last.
const BASES: [&str; 4] =
    ["https://fhir.acme.example", "https://acme.fhir.example/r4", "https://fhir.example/at/acme", "https://fhir.example/tenant/acme"];

async fn serve(profile: Profile, given: Given) -> TestServer {
    let own =
        Given { base_url: Some("https://fhir.example".into()), tenant_address: ADDRESSES.map(str::to_owned).to_vec(), ..Given::default() };
    TestServer::start_on(profile, &["acme", "beta"], given.or(own)).await
}

fn patient(id: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"{id}","active":true}}"#)
}

fn observation(id: &str, subject: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"{id}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"{subject}"}}}}"#)
}

fn link(bundle: &Value, relation: &str) -> String {
    let found = bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == relation);
    found.unwrap_or_else(|| panic!("no link {relation} in {bundle}"))["url"].as_str().unwrap().to_owned()
}

/// All texts of a JSON value that begin as URLs do.
fn urls(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("http") => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| urls(value, found)),
        Value::Object(members) => members.values().for_each(|value| urls(value, found)),
        _ => {}
    }
}

async fn every_link_carries_the_base_that_was_asked(profile: Profile) {
    let server = serve(profile, Given::default()).await;
    for base in BASES {
        let client = server.client_at("acme", base);
        let below = |text: &str| text.strip_prefix(base).is_some_and(|rest| rest.starts_with(['/', '?']));
        for id in ["1", "2", "3"] {
            let put = client.put(&format!("Patient/{id}"), patient(id)).await;
            assert!(put.status < 300 && put.header("content-location").is_empty() || below(put.header("content-location")), "{base}");
        }
        let created = client.post("Patient", r#"{"resourceType":"Patient"}"#).await;
        assert!(below(created.header("location")), "{base}: {}", created.header("location"));
        assert_eq!(client.get(created.header("location")).await.status, 200, "{base}");
        let transaction = r#"{"resourceType":"Bundle","type":"transaction","entry":[
            {"request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient","id":"1"}},
            {"request":{"method":"GET","url":"Patient?_count=1&_id=1,2"}}]}"#;
        let done = client.send("POST", "", &[("prefer", "return=representation")], transaction).await;
        let searched = client.get("Patient?_count=2").await.json();
        let history = client.get("Patient/_history?_count=1").await.json();
        let next = client.get(&link(&searched, "next")).await.json();
        assert_eq!(next["resourceType"], "Bundle", "{base}: {next}");
        for answer in [done.json(), searched, next, history] {
            let mut found = Vec::new();
            urls(&answer, &mut found);
            assert!(found.len() > 2 && found.iter().all(|url| below(url)), "{base}: {found:?}");
        }
        assert_eq!(client.get("metadata").await.json()["implementation"]["url"], base);
    }
    server.stop().await;
}

async fn references_below_any_of_its_bases_are_a_tenants_own(profile: Profile) {
    let server = serve(profile, Given::default()).await;
    let strangers = ["https://beta.fhir.example/r4", "https://fhir.example/tenant/beta", "https://fhir.example"];
    for (number, base) in BASES.into_iter().enumerate() {
        let client = server.client_at("acme", base);
        client.put("Patient/p", patient("p")).await;
        for (other, own) in BASES.into_iter().chain(strangers).enumerate() {
            let put = client
                .put(&format!("Observation/o{number}{other}"), observation(&format!("o{number}{other}"), &format!("{own}/Patient/p")))
                .await;
            assert_eq!(put.status, 201);
            assert!(put.text().contains(&format!("\"{own}/Patient/p\"")), "what was written stays as it is: {}", put.text());
        }
    }
    let own = BASES.len() * BASES.len();
    for base in BASES {
        let client = server.client_at("acme", base);
        let total = async |query: String| client.get(&query).await.json()["total"].clone();
        for query in ["subject=Patient/p", "subject=p", "patient=p", "subject:Patient.active=true"] {
            assert_eq!(total(format!("Observation?_total=accurate&{query}")).await, own, "{query} below {base}");
        }
        assert_eq!(total("Patient/p/Observation?_total=accurate".into()).await, own, "{base}");
        assert_eq!(total("Patient?_total=accurate&_has:Observation:patient:status=final".into()).await, 1, "{base}");
        for other in BASES {
            assert_eq!(total(format!("Observation?_total=accurate&subject={other}/Patient/p")).await, own, "{other} below {base}");
        }
        for other in strangers {
            assert_eq!(total(format!("Observation?_total=accurate&subject={other}/Patient/p")).await, BASES.len(), "{other} below {base}");
        }
        let included = client.get("Observation?_id=o00,o01,o02,o03&_include=Observation:subject").await.json();
        assert_eq!(included["entry"].as_array().unwrap().len(), 5, "{included}");
        // The address of an entry may be below any of them.
        let entries: Vec<String> = BASES.iter().map(|own| format!(r#"{{"request":{{"method":"GET","url":"{own}/Patient/p"}}}}"#)).collect();
        let batch = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, entries.join(","));
        let answered = client.post("", batch).await.json();
        for entry in answered["entry"].as_array().unwrap() {
            assert!(entry["response"]["status"].as_str().unwrap().starts_with("200"), "{answered}");
        }
    }
    server.stop().await;
}

async fn a_page_goes_on_at_whichever_base(profile: Profile) {
    let server = serve(profile, Given::default()).await;
    let own = server.client_at("acme", BASES[0]);
    for id in ["1", "2", "3"] {
        own.put(&format!("Patient/{id}"), patient(id)).await;
    }
    for from in BASES {
        let next = link(&server.client_at("acme", from).get("Patient?_count=1&_sort=_id").await.json(), "next");
        for to in BASES {
            let page = server.client_at("acme", to).get(&next.replace(from, to)).await;
            let json = page.json();
            assert_eq!((page.status, &json["entry"][0]["resource"]["id"]), (200, &Value::from("2")), "{from} to {to}: {json}");
            assert!(link(&json, "next").starts_with(to));
        }
    }
    server.stop().await;
}

async fn proxies_name_the_host_where_they_are_trusted(profile: Profile) {
    let direct = |server: &TestServer| Client::new(server.root(), Some(server.token("acme")));
    let forwarded = |host| [("x-forwarded-host", host), ("x-forwarded-prefix", "/r4")];
    let server = serve(profile, Given { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Given::default() }).await;
    let made = direct(&server).send("POST", "/Patient", &forwarded("acme.fhir.example"), r#"{"resourceType":"Patient"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.header("location").starts_with("https://acme.fhir.example/r4/Patient/"), "{}", made.header("location"));
    for host in ["beta.fhir.example", "x.fhir.example", "a b", "fhir.acme.example"] {
        assert!(matches!(direct(&server).send("GET", "/Patient", &forwarded(host), "").await.status, 400 | 404), "{host}");
    }
    server.stop().await;
    let server = serve(profile, Given::default()).await;
    for path in ["/Patient", "/r4/Patient"] {
        let headers = [("x-forwarded-host", "acme.fhir.example"), ("x-forwarded-prefix", "/r4")];
        assert_eq!(direct(&server).send("GET", path, &headers, "").await.status, 404, "{path}");
    }
    server.stop().await;
}

/// Content goes up and down below the base that was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_urls_of_the_server_are_below_the_base_that_was_asked() {
    let server = serve(Profile::Embedded, Given::default()).await;
    for base in BASES {
        let client = server.client_at("acme", base);
        let made = client.post("Binary", r#"{"resourceType":"Binary","contentType":"text/plain"}"#).await.json();
        let up = made["presignedPutUrl"].as_str().unwrap();
        assert!(up.starts_with(&format!("{base}/$content/Binary/")), "{up}");
        let headers = [("content-type", "text/plain"), ("authorization", "")];
        let stranger = up.replace("acme", "beta");
        assert!(matches!(client.send("PUT", &stranger, &headers, "text").await.status, 403 | 404), "{stranger}");
        assert_eq!(client.send("PUT", up, &headers, "text").await.status, 200, "{up}");
        let read = client.get(&format!("Binary/{}", made["id"].as_str().unwrap())).await.json();
        let down = read["presignedGetUrl"].as_str().unwrap();
        assert!(down.starts_with(&format!("{base}/$content/Binary/")), "{down}");
        for other in BASES {
            let down = down.replace(base, other);
            assert_eq!(client.send("GET", &down, &[("authorization", "")], "").await.text(), "text", "{down}");
        }
    }
    server.stop().await;
}
