//! The tenant boundary: what each route answers to whom, at whichever of a tenant's bases, and that a tenant's answers tell
//! nothing of another.

mod attacks;
mod hosts;
mod matrix;
mod sayings;
mod seed;

use fhirpool_api::routes::{ROUTES, Route, Scope};
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Response, TestServer};

use crate::profiles::on_each_profile;

on_each_profile!(
    every_route_tells_only_what_it_may_to_those_without_a_right_to_the_tenants_resources,
    a_tenant_of_others_and_one_that_is_not_there_are_told_apart_by_nothing,
);

/// What a route answers to those it should tell nothing.
struct Row {
    /// Method and pattern below `/tenant/{tenant}` or the root.
    route: (&'static str, &'static str),
    /// Without a token.
    nobody: u16,
    /// With another tenant's token.
    stranger: u16,
    /// With a token of this tenant that is in no group.
    ungrouped: u16,
    /// With a token of this tenant that is in the group `audit-admin`: the log of accesses is all that it opens, and that is at no
    /// address of a Patient's.
    audit_admin: u16,
    /// With an administrator's token, which is no tenant's.
    administrator: u16,
}

/// An address that everyone may see.
const fn open(method: &'static str, pattern: &'static str) -> Row {
    Row { route: (method, pattern), nobody: 200, stranger: 200, ungrouped: 200, audit_admin: 200, administrator: 200 }
}

/// An address of a tenant: another tenant's token is told that there is no such tenant.
const fn closed(method: &'static str, pattern: &'static str) -> Row {
    Row { route: (method, pattern), nobody: 401, stranger: 404, ungrouped: 403, audit_admin: 403, administrator: 401 }
}

/// An address that its signature opens, whoever asks: without one it is closed to all.
const fn signed(method: &'static str, pattern: &'static str) -> Row {
    Row { route: (method, pattern), nobody: 403, stranger: 403, ungrouped: 403, audit_admin: 403, administrator: 403 }
}

/// A route that no token of a tenant opens, and what it answers to an administrator.
const fn administration(method: &'static str, pattern: &'static str, administrator: u16) -> Row {
    Row { route: (method, pattern), nobody: 401, stranger: 401, ungrouped: 401, audit_admin: 401, administrator }
}

/// A row for every route of [`ROUTES`].
const ROWS: &[Row] = &[
    open("GET", "/health/live"),
    open("GET", "/health/ready"),
    administration("GET", "/admin/tenants", 200),
    administration("POST", "/admin/tenants", 201),
    administration("GET", "/admin/tenants/{tenant}", 200),
    administration("DELETE", "/admin/tenants/{tenant}", 202),
    administration("POST", "/admin/tenants/{tenant}/$suspend", 200),
    administration("POST", "/admin/tenants/{tenant}/$resume", 200),
    open("GET", "/metadata"),
    open("GET", "/.well-known/smart-configuration"),
    signed("PUT", "/$content/{type}/{id}/{vid}"),
    signed("GET", "/$content/{type}/{id}/{vid}"),
    closed("GET", ""),
    closed("POST", ""),
    closed("POST", "/_search"),
    closed("GET", "/_history"),
    closed("GET", "/{operation}"),
    closed("POST", "/{operation}"),
    closed("GET", "/{type}"),
    closed("POST", "/{type}"),
    closed("PUT", "/{type}"),
    closed("PATCH", "/{type}"),
    closed("DELETE", "/{type}"),
    closed("POST", "/{type}/_search"),
    closed("GET", "/{type}/_history"),
    closed("GET", "/{type}/{operation}"),
    closed("POST", "/{type}/{operation}"),
    closed("GET", "/{type}/{id}"),
    closed("PUT", "/{type}/{id}"),
    closed("PATCH", "/{type}/{id}"),
    closed("DELETE", "/{type}/{id}"),
    closed("GET", "/{type}/{id}/_history"),
    closed("GET", "/{type}/{id}/_history/{vid}"),
    closed("POST", "/{type}/{id}/_search"),
    closed("GET", "/{type}/{id}/{operation}"),
    closed("POST", "/{type}/{id}/{operation}"),
    closed("GET", "/{type}/{id}/{member}"),
    closed("POST", "/{type}/{id}/{member}/_search"),
];

fn is_for(row: &Row, route: &Route) -> bool {
    row.route == (route.method.as_str(), route.pattern)
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

/// The route's address below a tenant's base, or from the root where it is the server's, about things that are there.
fn path(route: &Route) -> String {
    path_in(route, "home")
}

fn path_in(route: &Route, tenant: &str) -> String {
    let names =
        [("tenant", tenant), ("type", "Patient"), ("id", "p"), ("vid", "1"), ("member", "Observation"), ("operation", "$everything")];
    let pattern = match route.scope {
        Scope::Server => route.pattern,
        Scope::Tenant => route.pattern.trim_start_matches('/'),
    };
    let path = names.iter().fold(pattern.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
    match (route.method.as_str(), route.pattern) {
        ("PUT" | "PATCH" | "DELETE", "/{type}") => format!("{path}?identifier=x"),
        (_, pattern) if pattern.starts_with("/$content/") => path.replace("Patient", "Binary"),
        _ => path,
    }
}

/// A request that would succeed for whom it is allowed.
async fn ask(client: &Client, method: &str, route: &Route) -> Response {
    ask_in(client, method, route, "home").await
}

async fn ask_in(client: &Client, method: &str, route: &Route, tenant: &str) -> Response {
    let (headers, body): (&[(&str, &str)], &str) = match (method, route.pattern) {
        ("POST", pattern) if pattern.ends_with("_search") => (&[("content-type", "application/x-www-form-urlencoded")], "name=a"),
        ("POST", "/admin/tenants") => (&[], r#"{"id":"new"}"#),
        ("POST", "") => (&[], r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/p"}}]}"#),
        ("POST", pattern) if pattern.ends_with("{operation}") => (&[], r#"{"resourceType":"Parameters"}"#),
        ("POST", _) => (&[], r#"{"resourceType":"Patient"}"#),
        ("PUT", _) => (&[], r#"{"resourceType":"Patient","id":"p","active":true}"#),
        ("PATCH", _) => (&[("content-type", "application/json-patch+json")], r#"[{"op":"add","path":"/active","value":true}]"#),
        _ => (&[], ""),
    };
    client.send(method, &path_in(route, tenant), headers, body).await
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
    for (route, spare) in ROUTES.iter().zip(&spares) {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| is_for(row, route)).collect();
        let [row] = rows[..] else {
            failures.push(format!("{} {}: {} rows instead of one", route.method, route.full_pattern(), rows.len()));
            continue;
        };
        let methods: &[&str] = if row.route.0 == "GET" { &["GET", "HEAD"] } else { &[row.route.0] };
        for method in methods {
            let columns = [row.nobody, row.stranger, row.ungrouped, row.ungrouped, row.audit_admin, row.administrator];
            for ((name, clients), expected) in callers.iter().zip(columns) {
                // What administrators may do, they do to a tenant that nobody else is asked about.
                let tenant = if route.action.is_administration() && expected < 300 { spare } else { "home" };
                let mut first = None;
                for (number, client) in clients.iter().enumerate() {
                    // At hosts of tenants' own, nobody administers them.
                    let is_absent = number > 0 && route.action.is_administration();
                    let expected = if is_absent { 404 } else { expected };
                    let response = ask_in(client, method, route, tenant).await;
                    let request = format!("{method} {} below {} to {name}", path(route), client.base);
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
    let unknown = ROWS.iter().filter(|row| !ROUTES.iter().any(|route| is_for(row, route)));
    failures.extend(unknown.map(|row| format!("{:?}: a row without a route", row.route)));
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
            let request = format!("{} {} below {}", route.method, path(route), there.base);
            let (one, other) = (ask(there, route.method.as_str(), route).await, ask(absent, route.method.as_str(), route).await);
            assert_eq!((one.status, &one.body), (other.status, &other.body), "{request}");
            let names = |response: &Response| response.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(names(&one), names(&other), "{request}");
        }
    }
    let administered = Client::new(server.root(), Some(token));
    for route in ROUTES.iter().filter(|route| !route.is_open() && route.scope == Scope::Server) {
        let there = ask(&administered, route.method.as_str(), route).await;
        let absent = ask_in(&administered, route.method.as_str(), route, "nowhere").await;
        assert_eq!((there.status, &there.body), (absent.status, &absent.body), "{} {}", route.method, path(route));
    }
    for (there, absent) in at_each(&server, &there, None).iter().zip(&at_each(&server, &absent, None)) {
        for open in ["metadata", ".well-known/smart-configuration"] {
            let (one, other) = (there.get(open).await, absent.get(open).await);
            assert_eq!(answer(there, &one), answer(absent, &other), "{open} below {}", there.base);
        }
    }
    server.stop().await;
}
