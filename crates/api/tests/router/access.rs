//! Who may call what: every route of the table is tried without a token and with others' tokens.

use axum::body::Body;
use fhirpool_api::routes::{Action, ROUTES, Route};
use http::StatusCode;

use crate::support::{Answer, Api, token};

fn path_of(route: &Route, tenant: &str) -> String {
    let path = route.full_pattern().replace("{tenant}", tenant).replace("{type}", "Patient").replace("{id}", "1");
    path.replace("{vid}", "1").replace("{member}", "Observation").replace("{operation}", "$any")
}

async fn call(api: &Api, route: &Route, tenant: &str, authorization: &str) -> Answer {
    api.send(route.method.as_str(), &path_of(route, tenant), &[("authorization", authorization)], Body::empty()).await
}

#[tokio::test]
async fn every_route_but_the_open_ones_needs_a_good_token() {
    let api = Api::new().await;
    let expired = format!("Bearer {}", token("acme", "practitioner", -3600));
    let good = token("acme", "practitioner", 0);
    let cut = format!("Bearer {}", &good[..good.len() - 1]);
    for route in ROUTES.iter().filter(|route| !route.is_open()) {
        for bad in ["", "Basic YTpi", "Bearer", "Bearer ", "Bearer x.y.z", &good, &expired, &cut] {
            let answer = call(&api, route, "acme", bad).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{} {}: {bad}", route.method, route.pattern);
            assert!(answer.header("www-authenticate").starts_with("Bearer realm="), "{}", route.pattern);
            let expected = if bad == expired { "expired" } else { "login" };
            if route.method != "HEAD" {
                assert_eq!(answer.issue(), expected, "{}", route.pattern);
            }
        }
    }
}

#[tokio::test]
async fn another_tenants_token_is_told_the_same_whether_the_tenant_is_there_or_not() {
    let api = Api::new().await;
    let (other, nowhere) =
        (format!("Bearer {}", token("other", "practitioner", 0)), format!("Bearer {}", token("nowhere", "practitioner", 0)));
    for route in ROUTES.iter().filter(|route| !route.is_open() && !route.action.is_administration()) {
        let (there, missing) = (call(&api, route, "acme", &other).await, call(&api, route, "missing", &other).await);
        assert_eq!((there.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{} {}", route.method, route.pattern);
        assert_eq!(there.body, missing.body, "{}", route.pattern);
        // A tenant's own token is no use where the tenant is not there.
        if route.action == Action::Read {
            let own = call(&api, route, "nowhere", &nowhere).await;
            assert_eq!((own.status, own.body), (StatusCode::NOT_FOUND, missing.body));
        }
    }
}

#[tokio::test]
async fn a_token_that_grants_nothing_is_forbidden_everything() {
    let api = Api::new().await;
    let nobody = format!("Bearer {}", token("acme", "visitor", 0));
    for route in ROUTES.iter().filter(|route| !route.is_open() && !route.action.is_administration()) {
        let answer = call(&api, route, "acme", &nobody).await;
        assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{} {}", route.method, route.pattern);
    }
}

#[tokio::test]
async fn an_auditor_reads_patients_and_no_more() {
    let api = Api::new().await;
    let auditor = format!("Bearer {}", token("acme", "auditor", 0));
    let status = async |method: &str, path: &str| api.send(method, path, &[("authorization", &auditor)], Body::empty()).await.status;
    assert_eq!(status("GET", "Patient/1").await, StatusCode::NOT_FOUND);
    assert_eq!(status("GET", "Patient").await, StatusCode::OK);
    assert_eq!(status("GET", "Observation/1").await, StatusCode::FORBIDDEN);
    assert_eq!(status("GET", "Observation").await, StatusCode::FORBIDDEN);
    assert_eq!(status("GET", "Patient/1/_history").await, StatusCode::FORBIDDEN);
    assert_eq!(status("DELETE", "Patient/1").await, StatusCode::FORBIDDEN);
    assert_eq!(status("POST", "").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn open_routes_need_no_token() {
    let api = Api::new().await;
    for route in ROUTES.iter().filter(|route| route.is_open()) {
        let answer = call(&api, route, "acme", "").await;
        // Content is behind a signature, which these addresses lack.
        let is_content = matches!(route.action, Action::ContentUpload | Action::ContentDownload);
        let expected = if is_content { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{}", route.pattern);
        assert!(answer.json().is_object(), "{}", route.pattern);
    }
    assert_eq!(api.send("GET", "metadata", &[("authorization", "")], Body::empty()).await.json()["resourceType"], "CapabilityStatement");
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_there() {
    let api = Api::new().await;
    for path in [
        "/",
        "/metadata",
        "/Patient",
        "/Patient/1",
        "/tenant",
        "/tenant/",
        "/tenant/acme/patient",
        "/tenant/a%20b/metadata",
        "/favicon.ico",
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.issue().as_str()), (StatusCode::NOT_FOUND, "not-found"), "{path}");
    }
    for path in ["Foo", "Foo/1", "Foo/_history", "DomainResource", "Patient/1/Foo"] {
        assert_eq!(api.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let operation = api.get("Patient/$everything").await;
    assert_eq!((operation.status, operation.issue().as_str()), (StatusCode::NOT_IMPLEMENTED, "not-supported"));
}

#[tokio::test]
async fn other_methods_are_told_which_are_allowed() {
    let api = Api::new().await;
    let allow = async |method: &str, path: &str, status: u16| {
        let answer = api.send(method, path, &[], Body::empty()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        answer.header("allow").to_owned()
    };
    assert_eq!(allow("POST", "Patient/1", 405).await, "GET, PUT, PATCH, DELETE, HEAD, OPTIONS");
    assert_eq!(allow("PUT", "", 405).await, "GET, POST, HEAD, OPTIONS");
    assert_eq!(allow("GET", "Patient/_search", 405).await, "POST, OPTIONS");
    assert_eq!(allow("DELETE", "/health/live", 405).await, "GET, HEAD, OPTIONS");
    assert_eq!(allow("TRACE", "Patient", 405).await, "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
    assert_eq!(allow("OPTIONS", "Patient/1", 204).await, "GET, PUT, PATCH, DELETE, HEAD, OPTIONS");
    assert_eq!(allow("OPTIONS", "", 200).await, "GET, POST, HEAD, OPTIONS");
}
