//! Who gets which answer where: every route of the table, tried by every kind of token, on each profile.
//!
//! A row of [`routes`] says what a route needs and answers; a column says what a kind of token may do. What a cell must answer follows from
//! both, not from the code that decides.

use fhirpool_api::routes::{Route, Scope};
use fhirpool_authz::{Interaction, Launch};
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, TestServer};
use futures_util::future::join_all;

use super::routes::{Door, Row, ask, path_of, patient, routes};
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

use Interaction::{Bundle, Create, Delete, HistoryInstance, HistoryType, Patch, Read, Search, Update, Vread};
use May::{Elsewhere, Everything, Here, Nothing};

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
        let launch = Launch { patient: self.patient.and_then(ResourceId::parse), user: self.user.map(key), ..Launch::default() };
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

async fn call(server: &TestServer, route: &Route, tenant: &str, token: &str) -> (u16, String) {
    let at = async |base: String| {
        let client = Client::new(base, Some(token.to_owned())).at(server.root());
        ask(&client, route.method.as_str(), route, tenant).await
    };
    let answer = at(format!("{}/tenant/{tenant}", server.root())).await;
    if route.method == "GET" && route.scope == Scope::Tenant {
        let at_own = at(OWN_BASE.replace("{tenant}", tenant)).await;
        assert_eq!(at_own.status, answer.status, "{} at a base of the tenant's own: {}", path_of(route, tenant), at_own.text());
    }
    (answer.status, answer.text())
}

/// Where tenants are besides `/tenant/<id>`.
const OWN_BASE: &str = "https://{tenant}.fhir.example/r4";

/// Puts back what requests have changed.
async fn restore(all: &Client) {
    for (id, family, identifier) in [("p", "Mine", "x"), ("q", "Other", "y")] {
        assert!(all.put(&format!("Patient/{id}"), patient(Some(id), family, identifier)).await.status < 300);
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
    for (route, row) in routes() {
        let is_administration = matches!(row.door, Door::Administration(_));
        let is_tenants = row.door == Door::Tenant;
        assert_eq!((is_tenants, is_administration), (!route.is_open() && !is_administration, route.action.is_administration()));
        let mut check = |by: String, (status, body): (u16, String), expected: u16| {
            if status != expected {
                failures.push(format!("{} {} by {by}: {status} instead of {expected}: {body}", route.method, route.pattern));
            }
        };
        // Of a tenant that is suspended nothing is opened by its tokens.
        let answer = call(&server, route, "closed", &server.token("closed")).await;
        check("a token of a suspended tenant".to_owned(), answer, if is_tenants { 403 } else { row.done });
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
    server.stop().await;
}
