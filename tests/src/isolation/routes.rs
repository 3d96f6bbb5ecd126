//! Every route of the table: whom it lets in, what it needs and answers, and a request of it.

use fhirpool_api::routes::{ROUTES, Route, Scope};
use fhirpool_authz::Interaction;
use fhirpool_testkit::{Client, Response};

use Interaction::{Bundle, Create, Delete, HistoryInstance, HistoryType, Patch, Read, Search, Update, Vread};

/// Whom a route lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Everyone.
    Open,
    /// Tokens of the tenant. Another tenant's is told that there is no such tenant.
    Tenant,
    /// Whoever has an address that the server has signed, without any token.
    Signature,
    /// Those who administer tenants, who get this status; nobody by a token of a tenant.
    Administration(u16),
}

/// What a route needs of a token of the tenant: an interaction on a type, or on any type at all.
pub(super) type Need = (Interaction, Option<&'static str>);

/// What is known of a route.
pub(super) struct Row {
    /// Method and pattern, as the table has them.
    route: (&'static str, &'static str),
    pub(super) door: Door,
    pub(super) needs: &'static [Need],
    /// The status for whom may do it here.
    pub(super) done: u16,
    /// For whom may do it elsewhere alone.
    pub(super) elsewhere: u16,
    /// For whom may do it with a part of the type alone, and with this resource in it.
    pub(super) narrowly: u16,
    /// Without the last need.
    pub(super) without_last: u16,
}

const PATIENT: Option<&str> = Some("Patient");
const OBSERVATION: Option<&str> = Some("Observation");

const fn all_alike(door: Door, method: &'static str, pattern: &'static str, status: u16) -> Row {
    Row { route: (method, pattern), door, needs: &[], done: status, elsewhere: status, narrowly: status, without_last: status }
}

const fn open(method: &'static str, pattern: &'static str) -> Row {
    all_alike(Door::Open, method, pattern, 200)
}

/// The requests have addresses that nobody signed.
const fn signed(method: &'static str, pattern: &'static str) -> Row {
    all_alike(Door::Signature, method, pattern, 403)
}

const fn administration(method: &'static str, pattern: &'static str, status: u16) -> Row {
    all_alike(Door::Administration(status), method, pattern, 401)
}

const fn row(method: &'static str, pattern: &'static str, needs: &'static [Need], done: u16, elsewhere: u16) -> Row {
    Row { route: (method, pattern), door: Door::Tenant, needs, done, elsewhere, narrowly: done, without_last: 403 }
}

const ROWS: &[Row] = &[
    open("GET", "/health/live"),
    open("GET", "/health/ready"),
    administration("GET", "/admin/tenants", 200),
    administration("POST", "/admin/tenants", 201),
    administration("GET", "/admin/tenants/{tenant}", 200),
    administration("DELETE", "/admin/tenants/{tenant}", 202),
    administration("POST", "/admin/tenants/{tenant}/$suspend", 200),
    administration("POST", "/admin/tenants/{tenant}/$resume", 200),
    administration("PUT", "/admin/tenants/{tenant}/access", 200),
    open("GET", "/metadata"),
    open("GET", "/.well-known/smart-configuration"),
    signed("PUT", "/$content/{type}/{id}/{vid}"),
    signed("GET", "/$content/{type}/{id}/{vid}"),
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

/// Every route with its row.
///
/// # Panics
/// A route has not exactly one row, or a row no route.
pub(super) fn routes() -> impl Iterator<Item = (&'static Route, &'static Row)> {
    assert_eq!(ROWS.len(), ROUTES.len(), "one row for each route");
    ROUTES.iter().map(|route| {
        let of_route = |row: &&Row| row.route == (route.method.as_str(), route.pattern);
        let row = ROWS.iter().find(of_route).unwrap_or_else(|| panic!("{} {} has no row", route.method, route.full_pattern()));
        (route, row)
    })
}

/// The route's address below a tenant's base, or from the root where it is the server's, about `Patient/p` and what belongs to it.
pub(super) fn path_of(route: &Route, tenant: &str) -> String {
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

/// A Patient that requests are about.
pub(super) fn patient(id: Option<&str>, family: &str, identifier: &str) -> String {
    let id = id.map(|id| format!("\"id\":\"{id}\",")).unwrap_or_default();
    format!("{{\"resourceType\":\"Patient\",{id}\"identifier\":[{{\"value\":\"{identifier}\"}}],\"name\":[{{\"family\":\"{family}\"}}]}}")
}

/// Sends what succeeds for whom it is allowed, and leaves `Patient/p` as it is.
pub(super) async fn ask(client: &Client, method: &str, route: &Route, tenant: &str) -> Response {
    let (content_type, body) = match (method, route.pattern) {
        ("POST", pattern) if pattern.ends_with("_search") => ("application/x-www-form-urlencoded", String::new()),
        ("POST", "/admin/tenants") => ("application/json", r#"{"id":"new"}"#.to_owned()),
        ("POST", "") => {
            let entry = r#"{"request":{"method":"GET","url":"Patient/p"}}"#;
            ("application/fhir+json", format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{entry}]}}"#))
        }
        ("POST", "/{type}") => ("application/fhir+json", patient(None, "New", "new")),
        ("PUT", "/admin/tenants/{tenant}/access") => ("application/json", "{}".to_owned()),
        ("PUT", "/{type}") => ("application/fhir+json", patient(None, "Mine", "x")),
        ("PUT", _) => ("application/fhir+json", patient(Some("p"), "Mine", "x")),
        ("PATCH", _) => ("application/json-patch+json", r#"[{"op":"test","path":"/id","value":"p"}]"#.to_owned()),
        _ => ("", String::new()),
    };
    client.send(method, &path_of(route, tenant), &[("content-type", content_type)], body).await
}
