//! Who gets which answer where: every route of the table, tried by every kind of token, on each profile.
//!
//! A row says what a route needs and answers; a column says what a kind of token may do. What a cell must answer follows from
//! both, not from the code that decides.

use fhirpool_api::routes::{ROUTES, Route};
use fhirpool_authz::{Interaction, Launch};
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, TestServer};
use futures_util::future::join_all;

use crate::profiles::on_each_profile;

on_each_profile!(every_route_answers_every_kind_of_token_as_its_row_says);

/// What of a type someone may do something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum May {
    Nothing,
    /// What is in the compartment of a patient that the requests are not about.
    Elsewhere,
    /// What is in that of `Patient/p`, or everything.
    Here,
    Everything,
}

use May::{Elsewhere, Everything, Here, Nothing};

/// What a route needs: an interaction on a type, or on any type at all.
type Need = (Interaction, Option<&'static str>);

struct Row {
    route: (&'static str, &'static str),
    needs: &'static [Need],
    /// For whom may do it here.
    done: u16,
    /// For whom may do it elsewhere alone.
    elsewhere: u16,
    /// For whom may do it with a part of the type alone, and with this resource in it.
    narrowly: u16,
    /// Without the last need.
    without_last: u16,
}

const PATIENT: Option<&str> = Some("Patient");
const OBSERVATION: Option<&str> = Some("Observation");

/// A route that needs nothing.
const fn open(method: &'static str, pattern: &'static str) -> Row {
    Row { route: (method, pattern), needs: &[], done: 200, elsewhere: 200, narrowly: 200, without_last: 200 }
}

/// A route that no token of a tenant opens, whatever it says; what those for it do, `tenancy` tells.
const fn administration(method: &'static str, pattern: &'static str) -> Row {
    Row { route: (method, pattern), needs: &[], done: 401, elsewhere: 401, narrowly: 401, without_last: 401 }
}

const fn row(method: &'static str, pattern: &'static str, needs: &'static [Need], done: u16, elsewhere: u16) -> Row {
    Row { route: (method, pattern), needs, done, elsewhere, narrowly: done, without_last: 403 }
}

use Interaction::{Bundle, Create, Delete, HistoryInstance, HistoryType, Patch, Read, Search, Update, Vread};

/// A row for every route of [`ROUTES`]: a route without one fails the test.
const ROWS: &[Row] = &[
    open("GET", "/health/live"),
    open("GET", "/health/ready"),
    administration("GET", "/admin/tenants"),
    administration("POST", "/admin/tenants"),
    administration("GET", "/admin/tenants/{tenant}"),
    administration("DELETE", "/admin/tenants/{tenant}"),
    administration("POST", "/admin/tenants/{tenant}/$suspend"),
    administration("POST", "/admin/tenants/{tenant}/$resume"),
    open("GET", "/metadata"),
    open("GET", "/.well-known/smart-configuration"),
    // Nothing is at an address that the server has not signed, whoever asks.
    Row { done: 404, ..open("PUT", "/$content/{type}/{id}/{vid}") },
    Row { done: 404, ..open("GET", "/$content/{type}/{id}/{vid}") },
    row("GET", "", &[(Search, None)], 200, 200),
    row("POST", "", &[(Bundle, None)], 200, 200),
    row("POST", "/_search", &[(Search, None)], 200, 200),
    row("GET", "/_history", &[(HistoryType, None)], 200, 200),
    row("GET", "/{operation}", &[(Read, None)], 501, 501),
    row("POST", "/{operation}", &[(Read, None)], 501, 501),
    row("GET", "/{type}", &[(Search, PATIENT)], 200, 200),
    Row { narrowly: 403, ..row("POST", "/{type}", &[(Create, PATIENT)], 201, 403) },
    row("PUT", "/{type}", &[(Update, PATIENT), (Search, PATIENT)], 200, 403),
    Row { without_last: 404, ..row("PATCH", "/{type}", &[(Patch, PATIENT), (Search, PATIENT), (Read, PATIENT)], 200, 404) },
    row("DELETE", "/{type}", &[(Delete, PATIENT), (Search, PATIENT)], 200, 200),
    row("POST", "/{type}/_search", &[(Search, PATIENT)], 200, 200),
    row("GET", "/{type}/_history", &[(HistoryType, PATIENT)], 200, 200),
    row("GET", "/{type}/{operation}", &[(Read, None)], 501, 501),
    row("POST", "/{type}/{operation}", &[(Read, None)], 501, 501),
    row("GET", "/{type}/{id}", &[(Read, PATIENT)], 200, 404),
    row("PUT", "/{type}/{id}", &[(Update, PATIENT)], 200, 404),
    Row { without_last: 404, ..row("PATCH", "/{type}/{id}", &[(Patch, PATIENT), (Read, PATIENT)], 200, 404) },
    row("DELETE", "/{type}/{id}", &[(Delete, PATIENT)], 200, 200),
    row("GET", "/{type}/{id}/_history", &[(HistoryInstance, PATIENT)], 200, 404),
    row("GET", "/{type}/{id}/_history/{vid}", &[(Vread, PATIENT)], 200, 404),
    row("POST", "/{type}/{id}/_search", &[(Search, None)], 200, 200),
    row("GET", "/{type}/{id}/{operation}", &[(Interaction::Everything, PATIENT)], 200, 404),
    row("POST", "/{type}/{id}/{operation}", &[(Interaction::Everything, PATIENT)], 200, 404),
    row("GET", "/{type}/{id}/{member}", &[(Search, OBSERVATION)], 200, 200),
    row("POST", "/{type}/{id}/{member}/_search", &[(Search, OBSERVATION)], 200, 200),
];

/// A kind of token of this tenant.
struct Column {
    groups: &'static [&'static str],
    scopes: &'static [&'static str],
    patient: Option<&'static str>,
    user: Option<&'static str>,
    may: fn(Interaction, Option<&'static str>) -> May,
}

impl Column {
    fn token(&self, server: &TestServer) -> String {
        let key = |text: &str| {
            let (name, id) = text.split_once('/').unwrap();
            ResourceKey::new(ResourceType::parse(name).unwrap(), ResourceId::parse(id).unwrap())
        };
        let launch = Launch { patient: self.patient.and_then(ResourceId::parse), encounter: None, user: self.user.map(key) };
        server.launched_token("acme", self.groups, self.scopes, &launch)
    }
}

/// Of scopes: the letters of version 2 that the interaction is among, on any type.
fn letters(letters: &str, interaction: Interaction, may: May) -> May {
    let letter = match interaction {
        Create => 'c',
        Read | Vread | HistoryInstance => 'r',
        Update | Patch => 'u',
        Delete => 'd',
        Search | HistoryType | Interaction::Everything => 's',
        // A Bundle is what its entries are.
        Bundle => return if letters.is_empty() { Nothing } else { Everything },
        // Of the log of accesses, which no request here asks for.
        Interaction::Audit => return Nothing,
    };
    if letters.contains(letter) { may } else { Nothing }
}

/// Of scopes on Patients alone.
fn on_patients(of: &str, interaction: Interaction, name: Option<&str>, may: May) -> May {
    if interaction == Bundle || name.is_none_or(|name| name == "Patient") { letters(of, interaction, may) } else { Nothing }
}

const fn group(groups: &'static [&'static str], may: fn(Interaction, Option<&'static str>) -> May) -> Column {
    Column { groups, scopes: &[], patient: None, user: None, may }
}

const fn scope(scopes: &'static [&'static str], may: fn(Interaction, Option<&'static str>) -> May) -> Column {
    Column { groups: &[], scopes, patient: None, user: None, may }
}

const COLUMNS: &[Column] = &[
    group(&[], |_, _| Nothing),
    group(&["visitor"], |_, _| Nothing),
    group(&["practitioner"], |_, _| Everything),
    group(&["non-practitioner"], |interaction, name| match interaction {
        // Of the financial types, which no request here names.
        Read | Vread | Search if name.is_none() => Everything,
        _ => Nothing,
    }),
    group(&["auditor"], |interaction, name| match interaction {
        Read | Vread | Search if name.is_none_or(|name| name == "Patient") => Everything,
        _ => Nothing,
    }),
    scope(&["openid", "profile"], |_, _| Nothing),
    scope(&["launch/patient"], |_, _| Nothing),
    scope(&["patient/*.sr", "user/Patient", "system/Foo.read", "system/*.cruds?"], |_, _| Nothing),
    scope(&["patient/*.cruds"], |_, _| Nothing),
    scope(&["user/*.cruds"], |_, _| Nothing),
    Column { patient: Some("p"), ..scope(&["patient/*.read"], |interaction, _| letters("rs", interaction, Here)) },
    Column { patient: Some("p"), ..scope(&["patient/*.write"], |interaction, _| letters("cud", interaction, Here)) },
    Column { patient: Some("p"), ..scope(&["patient/*.*"], |interaction, _| letters("cruds", interaction, Here)) },
    Column { patient: Some("p"), ..scope(&["patient/Patient.rs"], |interaction, name| on_patients("rs", interaction, name, Here)) },
    Column { patient: Some("q"), ..scope(&["patient/*.cruds"], |interaction, _| letters("cruds", interaction, Elsewhere)) },
    Column {
        patient: Some("q"),
        ..scope(&["patient/Patient.cruds"], |interaction, name| on_patients("cruds", interaction, name, Elsewhere))
    },
    Column { user: Some("Patient/p"), ..scope(&["user/*.cruds"], |interaction, _| letters("cruds", interaction, Here)) },
    Column { user: Some("Patient/q"), ..scope(&["user/*.rs"], |interaction, _| letters("rs", interaction, Elsewhere)) },
    Column {
        user: Some("RelatedPerson/x"),
        ..scope(&["user/Patient.rs"], |interaction, name| on_patients("rs", interaction, name, Elsewhere))
    },
    Column { user: Some("Practitioner/d"), ..scope(&["user/*.cruds"], |interaction, _| letters("cruds", interaction, Everything)) },
    Column { user: Some("Person/x"), ..scope(&["user/*.cruds"], |_, _| Nothing) },
    scope(&["system/*.cruds"], |interaction, _| letters("cruds", interaction, Everything)),
    scope(&["system/*.r"], |interaction, _| letters("r", interaction, Everything)),
    scope(&["system/*.s"], |interaction, _| letters("s", interaction, Everything)),
    scope(&["system/Patient.c"], |interaction, name| on_patients("c", interaction, name, Everything)),
    scope(&["system/Patient.u"], |interaction, name| on_patients("u", interaction, name, Everything)),
    scope(&["system/Patient.d"], |interaction, name| on_patients("d", interaction, name, Everything)),
    scope(&["system/Patient.us"], |interaction, name| on_patients("us", interaction, name, Everything)),
    scope(&["system/Patient.cruds?family=Mine"], |interaction, name| on_patients("cruds", interaction, name, Here)),
    scope(&["system/Patient.cruds?family=Other"], |interaction, name| on_patients("cruds", interaction, name, Elsewhere)),
    // Both must allow.
    Column {
        groups: &["practitioner"],
        patient: Some("q"),
        ..scope(&["patient/*.rs"], |interaction, _| letters("rs", interaction, Elsewhere))
    },
    Column {
        groups: &["auditor"],
        ..scope(&["system/*.cruds"], |interaction, name| match interaction {
            Read | Vread | Search if name.is_none_or(|name| name == "Patient") => Everything,
            _ => Nothing,
        })
    },
    Column { groups: &["visitor"], ..scope(&["system/*.cruds"], |_, _| Nothing) },
    Column { groups: &["practitioner"], ..scope(&["launch"], |_, _| Nothing) },
];

fn expected(row: &Row, column: &Column) -> u16 {
    let given: Vec<May> = row.needs.iter().map(|(interaction, name)| (column.may)(*interaction, *name)).collect();
    match given.iter().position(|may| *may == Nothing) {
        Some(place) if place + 1 == given.len() => row.without_last,
        Some(_) => 403,
        None => match given.into_iter().min() {
            None | Some(Everything) => row.done,
            Some(Here) => row.narrowly,
            _ => row.elsewhere,
        },
    }
}

fn path_of(route: &Route, tenant: &str) -> String {
    let names =
        [("tenant", tenant), ("type", "Patient"), ("id", "p"), ("vid", "1"), ("member", "Observation"), ("operation", "$everything")];
    let path = names.iter().fold(route.full_pattern(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
    match (route.method.as_str(), route.pattern) {
        ("PUT" | "PATCH" | "DELETE", "/{type}") => format!("{path}?identifier=x"),
        _ => path,
    }
}

fn patient(id: &str, family: &str, identifier: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("\"id\":\"{id}\",") };
    format!("{{\"resourceType\":\"Patient\",{id}\"identifier\":[{{\"value\":\"{identifier}\"}}],\"name\":[{{\"family\":\"{family}\"}}]}}")
}

/// A request that succeeds for whom it is allowed.
fn request(route: &Route) -> (&'static str, String) {
    let fhir = "application/fhir+json";
    match (route.method.as_str(), route.pattern) {
        ("POST", "") => {
            let entry = "{\"request\":{\"method\":\"GET\",\"url\":\"Patient/p\"}}";
            (fhir, format!("{{\"resourceType\":\"Bundle\",\"type\":\"batch\",\"entry\":[{entry}]}}"))
        }
        ("POST", pattern) if pattern.ends_with("_search") => ("application/x-www-form-urlencoded", String::new()),
        ("POST", "/{type}") => (fhir, patient("", "New", "new")),
        ("PUT", "/{type}") => (fhir, patient("", "Mine", "x")),
        ("PUT", _) => (fhir, patient("p", "Mine", "x")),
        ("PATCH", _) => ("application/json-patch+json", "[{\"op\":\"test\",\"path\":\"/id\",\"value\":\"p\"}]".to_owned()),
        _ => (fhir, String::new()),
    }
}

async fn call(server: &TestServer, route: &Route, tenant: &str, token: &str) -> (u16, String) {
    let (content_type, body) = request(route);
    let client = Client::new(server.root(), Some(token.to_owned()));
    let path = path_of(route, tenant);
    let answer = client.send(route.method.as_str(), &path, &[("content-type", content_type)], body).await;
    if let (Some(below), "GET") = (path.strip_prefix(&format!("/tenant/{tenant}")), route.method.as_str()) {
        // At a base of the tenant's own it is the same.
        let at_own = client.at(server.root()).get(&format!("{}{below}", OWN_BASE.replace("{tenant}", tenant))).await;
        assert_eq!(at_own.status, answer.status, "{path} at a base of the tenant's own: {}", at_own.text());
    }
    (answer.status, answer.text())
}

/// Where tenants are besides `/tenant/<id>`.
const OWN_BASE: &str = "https://{tenant}.fhir.example/r4";

/// Puts back what requests have changed.
async fn restore(all: &Client) {
    for (id, family, identifier) in [("p", "Mine", "x"), ("q", "Other", "y")] {
        assert!(all.put(&format!("Patient/{id}"), patient(id, family, identifier)).await.status < 300);
    }
}

async fn every_route_answers_every_kind_of_token_as_its_row_says(profile: Profile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "scopes_alone = true\n").unwrap();
    let given = Given { access_file: Some(file.path().to_owned()), tenant_address: vec![OWN_BASE.to_owned()], ..Given::default() };
    let server = TestServer::start_on(profile, &["acme", "closed"], given).await;
    let all = server.client("acme");
    restore(&all).await;
    let observation = r#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"}}"#;
    assert!(all.put("Observation/o", observation).await.status < 300);
    restore(&server.client("closed")).await;
    assert_eq!(server.administrator().post("/admin/tenants/closed/$suspend", "").await.status, 200);
    assert_eq!(server.client("closed").get("Patient/p").await.status, 403, "this node has done it itself");
    let tokens: Vec<String> = COLUMNS.iter().map(|column| column.token(&server)).collect();
    let mut failures = Vec::new();
    for route in ROUTES {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.route == (route.method.as_str(), route.pattern)).collect();
        let [row] = rows.as_slice() else { panic!("{} {} has {} rows in the matrix", route.method, route.pattern, rows.len()) };
        let is_open = row.needs.is_empty();
        let is_administration = route.pattern.starts_with("/admin/");
        assert_eq!((is_open, is_administration && is_open), (route.is_open() || is_administration, route.action.is_administration()));
        let mut check = |by: String, (status, body): (u16, String), expected: u16| {
            if status != expected {
                failures.push(format!("{} {} by {by}: {status} instead of {expected}: {body}", route.method, route.pattern));
            }
        };
        // Of a tenant that is suspended nothing is opened by its tokens.
        let answer = call(&server, route, "closed", &server.token("closed")).await;
        check("a token of a suspended tenant".to_owned(), answer, if is_open { row.done } else { 403 });
        // Those that only look do not meet each other.
        let at_once = if route.method == "GET" { COLUMNS.len() } else { 1 };
        for (columns, tokens) in COLUMNS.chunks(at_once).zip(tokens.chunks(at_once)) {
            let answers = join_all(tokens.iter().map(|token| call(&server, route, "acme", token))).await;
            let may_have_changed = route.method != "GET" && answers.iter().any(|(status, _)| *status < 300);
            for (column, answer) in columns.iter().zip(answers) {
                check(format!("{:?}", (column.groups, column.scopes, column.patient, column.user)), answer, expected(row, column));
            }
            if may_have_changed {
                restore(&all).await;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(ROWS.len(), ROUTES.len(), "rows for routes that are gone");
    server.stop().await;
}
