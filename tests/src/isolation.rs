//! The tenant boundary: what each route answers to whom, at whichever of a tenant's bases, and that a tenant's answers tell
//! nothing of another.

mod attacks;
mod hosts;
mod matrix;
mod routes;
mod sayings;
mod seed;

use fhirpool_api::routes::{ROUTES, Scope};
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Response, TestServer};

use self::routes::{Door, ask, path_of, routes};
use crate::profiles::on_each_profile;

on_each_profile!(
    every_route_tells_only_what_it_may_to_those_without_a_right_to_the_tenants_resources,
    a_tenant_of_others_and_one_that_is_not_there_are_told_apart_by_nothing,
);

/// What a route answers to those it should tell nothing: nobody, a token of another tenant, two of this tenant that are in no group,
/// or in unknown ones, one of the group `audit-admin` (the log of accesses is all that it opens, and that is at no address of a
/// Patient's), and one of an administrator, which is no tenant's.
fn expected(door: Door) -> [u16; 6] {
    match door {
        Door::Open => [200; 6],
        Door::Tenant => [401, 404, 403, 403, 403, 401],
        Door::Signature => [403; 6],
        Door::Administration(done) => [401, 401, 401, 401, 401, done],
    }
}

/// Where tenants are besides `/tenant/<id>`: at a host of one's own, by a label of the host, by a segment of the path.
const ADDRESSES: [&str; 3] =
    ["home=https://fhir.home.example/r4", "https://{tenant}.fhir.example/r4", "https://hospitals.example/at/{tenant}"];

fn with_addresses() -> Given {
    Given { tenant_address: ADDRESSES.map(str::to_owned).to_vec(), ..Given::default() }
}

/// The bases of a tenant, that below the server's root first.
fn bases(server: &TestServer, tenant: &str) -> Vec<String> {
    let named = ADDRESSES.iter().filter_map(|address| address.strip_prefix(&format!("{tenant}=")).map(str::to_owned));
    let patterns = ADDRESSES.iter().filter(|address| !address.contains('=')).map(|pattern| pattern.replace("{tenant}", tenant));
    std::iter::once(format!("{}/tenant/{tenant}", server.root())).chain(named).chain(patterns).collect()
}

/// A client of someone at each of some bases.
fn at_each(server: &TestServer, bases: &[String], token: Option<&str>) -> Vec<Client> {
    bases.iter().map(|base| Client::new(base, token.map(str::to_owned)).at(server.root())).collect()
}

/// Status and body, with the base left out.
fn answer(client: &Client, response: &Response) -> (u16, String) {
    (response.status, response.text().replace(&client.base, "BASE"))
}

async fn every_route_tells_only_what_it_may_to_those_without_a_right_to_the_tenants_resources(profile: Profile) {
    // One for each route, so that none meets what another has left.
    let spares: Vec<String> = (0..ROUTES.len()).map(|number| format!("spare-{number}")).collect();
    let tenants: Vec<&str> = ["home", "away"].into_iter().chain(spares.iter().map(String::as_str)).collect();
    let server = TestServer::start_on(profile, &tenants, with_addresses()).await;
    let home = server.client("home");
    assert_eq!(home.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    let before = home.get("_history").await.json()["total"].clone();
    let tokens = [
        ("nobody", None),
        ("a stranger", Some(server.token("away"))),
        ("someone in no group", Some(server.token_of("home", &[]))),
        ("someone in unknown groups", Some(server.token_of("home", &["admin", "Practitioner"]))),
        ("an admin of the audit", Some(server.token_of("home", &["audit-admin"]))),
        ("an administrator of tenants", Some(server.administration_token())),
    ];
    let bases = bases(&server, "home");
    let callers: Vec<_> = tokens.iter().map(|(name, token)| (*name, at_each(&server, &bases, token.as_deref()))).collect();
    let mut failures = Vec::new();
    for ((route, row), spare) in routes().zip(&spares) {
        let methods: &[&str] = if route.method == "GET" { &["GET", "HEAD"] } else { &[route.method.as_str()] };
        for method in methods {
            for ((name, clients), expected) in callers.iter().zip(expected(row.door)) {
                // What administrators may do, they do to a tenant that nobody else is asked about.
                let tenant = if route.action.is_administration() && expected < 300 { spare } else { "home" };
                let mut first = None;
                for (number, client) in clients.iter().enumerate() {
                    // At hosts of tenants' own, nobody administers them.
                    let is_absent = number > 0 && route.action.is_administration();
                    let expected = if is_absent { 404 } else { expected };
                    let response = ask(client, method, route, tenant).await;
                    let request = format!("{method} {} below {} to {name}", path_of(route, tenant), client.base);
                    if response.status != expected {
                        failures.push(format!("{request}: {} instead of {expected}", response.status));
                    }
                    if expected == 401 && response.header("www-authenticate").is_empty() {
                        failures.push(format!("{request}: no WWW-Authenticate"));
                    }
                    if expected >= 400 && *method != "HEAD" && response.json()["resourceType"] != "OperationOutcome" {
                        failures.push(format!("{request}: no OperationOutcome"));
                    }
                    let answer = answer(client, &response);
                    if !is_absent && *first.get_or_insert(answer.clone()) != answer {
                        failures.push(format!("{request}: another answer than at the first base: {answer:?}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(home.get("_history").await.json()["total"], before, "nobody of them has written");
    let seen = server.administrator().get("/admin/tenants").await.json();
    let states = seen.as_array().unwrap().iter().map(|tenant| (tenant["id"].as_str().unwrap(), tenant["state"].as_str().unwrap()));
    let closed: Vec<_> = states.filter(|(_, state)| *state != "active").collect();
    assert!(closed.len() == 2 && closed.iter().all(|(id, _)| id.starts_with("spare-")), "only administrators close tenants: {closed:?}");
    // What the group is for, and that it is for this tenant's own.
    let day = "date=ge2026-01-01&date=lt2026-01-02";
    for (name, token) in tokens {
        let client = Client::new(server.root(), token);
        let of = async |tenant: &str| client.get(&format!("/tenant/{tenant}/AuditEvent?{day}")).await.status;
        let (log, others) = (of("home").await, of("away").await);
        let expected = match name {
            "nobody" | "an administrator of tenants" => (401, 401),
            "a stranger" => (404, 200),
            "an admin of the audit" => (200, 404),
            _ => (403, 404),
        };
        assert_eq!((log, others), expected, "{name}");
    }
    server.stop().await;
}

async fn a_tenant_of_others_and_one_that_is_not_there_are_told_apart_by_nothing(profile: Profile) {
    let server = TestServer::start_on(profile, &["home", "away"], with_addresses()).await;
    let token = server.token("away");
    // The base that is one tenant's alone is no other's.
    let there: Vec<String> = bases(&server, "home").into_iter().filter(|base| !ADDRESSES[0].contains(base.as_str())).collect();
    let absent = bases(&server, "nowhere");
    for (there, absent) in at_each(&server, &there, Some(&token)).iter().zip(&at_each(&server, &absent, Some(&token))) {
        for route in ROUTES.iter().filter(|route| !route.is_open() && route.scope == Scope::Tenant) {
            let (method, home) = (route.method.as_str(), "home");
            let request = format!("{method} {} below {}", path_of(route, home), there.base);
            let (one, other) = (ask(there, method, route, home).await, ask(absent, method, route, home).await);
            assert_eq!((one.status, &one.body), (other.status, &other.body), "{request}");
            let names = |response: &Response| response.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&one), names(&other), "{request}");
        }
    }
    let administered = Client::new(server.root(), Some(token));
    for route in ROUTES.iter().filter(|route| !route.is_open() && route.scope == Scope::Server) {
        let of = async |tenant| ask(&administered, route.method.as_str(), route, tenant).await;
        let (there, absent) = (of("home").await, of("nowhere").await);
        assert_eq!((there.status, &there.body), (absent.status, &absent.body), "{} {}", route.method, route.pattern);
    }
    for (there, absent) in at_each(&server, &there, None).iter().zip(&at_each(&server, &absent, None)) {
        for open in ["metadata", ".well-known/smart-configuration"] {
            let (one, other) = (there.get(open).await, absent.get(open).await);
            assert_eq!(answer(there, &one), answer(absent, &other), "{open} below {}", there.base);
        }
    }
    server.stop().await;
}
