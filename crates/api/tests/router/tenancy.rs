//! What is answered for a tenant that is suspended, goes away or is gone.

use std::time::{Duration, Instant};

use axum::body::Body;
use fhirpool_api::routes::{ROUTES, Route};
use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::tenants::{TenantState, change_tenant};

use crate::support::{Answer, Answers, Api, admin_token, token};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p"}"#;

async fn move_to(api: &Api, state: TenantState) {
    let acme = TenantId::parse("acme").unwrap();
    change_tenant(&**api.tenants.registry(), &acme, state, Timestamp(5)).await.unwrap().unwrap().unwrap();
    api.tenants.refresh().await.unwrap();
}

async fn call(api: &Api, route: &Route, token: &str) -> Answer {
    let names = [("tenant", "acme"), ("type", "Patient"), ("id", "p"), ("vid", "1"), ("member", "Observation"), ("operation", "$any")];
    let path = names.iter().fold(route.full_pattern(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
    let authorization = if token.is_empty() { String::new() } else { format!("Bearer {token}") };
    api.send(route.method.as_str(), &path, &[("authorization", &authorization)], Body::empty()).await
}

#[tokio::test]
async fn every_route_with_a_token_refuses_a_tenant_that_is_not_active() {
    let api = Api::new().await;
    assert_eq!(api.put_json("PUT", "Patient/p", &[], PATIENT).await.status, 201);
    let (own, other) = (token("acme", "practitioner", 0), token("other", "practitioner", 0));
    let before = call(&api, &ROUTES[0], "").await;
    assert_eq!(before.status, 200);
    for (state, own_status, issue) in
        [(TenantState::Suspended, 403, "forbidden"), (TenantState::Deleting, 403, "forbidden"), (TenantState::Deleted, 404, "not-found")]
    {
        move_to(&api, state).await;
        for route in ROUTES.iter().filter(|route| route.full_pattern().starts_with("/tenant/")) {
            let (mine, stranger, nobody) = (call(&api, route, &own).await, call(&api, route, &other).await, call(&api, route, "").await);
            if route.is_open() {
                // Nothing that is open tells how the tenant stands.
                let expected = if route.pattern.starts_with("/$content") { 404 } else { 200 };
                assert_eq!((mine.status.as_u16(), nobody.status.as_u16()), (expected, expected), "{} {}", route.method, route.pattern);
                continue;
            }
            assert_eq!((mine.status.as_u16(), mine.issue().as_str()), (own_status, issue), "{} {}", route.method, route.pattern);
            assert_eq!((stranger.status.as_u16(), nobody.status.as_u16()), (404, 401), "{} {}", route.method, route.pattern);
        }
        let theirs = api.send("GET", "/tenant/other/Patient", &[("authorization", &format!("Bearer {other}"))], Body::empty()).await;
        assert_eq!(theirs.status, 200, "another tenant is not concerned");
    }
}

#[tokio::test]
async fn a_tenant_that_is_resumed_has_what_it_had() {
    let api = Api::new().await;
    assert_eq!(api.put_json("PUT", "Patient/p", &[], PATIENT).await.status, 201);
    move_to(&api, TenantState::Suspended).await;
    assert_eq!(api.get("Patient/p").await.status, 403);
    move_to(&api, TenantState::Active).await;
    assert_eq!(api.get("Patient/p").await.status, 200);
}

#[tokio::test]
async fn a_signed_address_of_a_closed_tenant_is_refused_as_one_whose_signature_does_not_fit() {
    let api = Api::new().await;
    let announced = r#"{"resourceType":"Binary","contentType":"image/png"}"#;
    let made = api.put_json("POST", "Binary", &[], announced).await;
    assert_eq!(made.status, 201);
    let url = made.json()["presignedPutUrl"].as_str().map(str::to_owned);
    let url = url.unwrap_or_else(|| panic!("no URL to upload to: {}", made.json()));
    let path = url.strip_prefix("http://fhir.example").unwrap_or(&url).to_owned();
    let forged = format!("{path}0");
    let put = async |path: &str| {
        let answer = api.send("PUT", path, &[("authorization", ""), ("content-type", "image/png")], "picture").await;
        (answer.status.as_u16(), answer.body)
    };
    let refused = put(&forged).await;
    assert_eq!(refused.0, 403);
    move_to(&api, TenantState::Suspended).await;
    assert_eq!(put(&path).await, refused);
    assert_eq!(put(&forged).await, refused);
    move_to(&api, TenantState::Active).await;
    assert_eq!(put(&path).await.0, 200);
}

/// What each route of a tenant answers to the tenant's own token, a stranger's and nobody.
async fn statuses(api: &Api) -> Vec<(&'static Route, [Answer; 3])> {
    let tokens = [token("acme", "practitioner", 0), token("other", "practitioner", 0), String::new()];
    let mut all = Vec::new();
    for route in ROUTES.iter().filter(|route| route.full_pattern().starts_with("/tenant/")) {
        let [own, stranger, nobody] = &tokens;
        all.push((route, [call(api, route, own).await, call(api, route, stranger).await, call(api, route, nobody).await]));
    }
    all
}

fn codes(all: &[(&'static Route, [Answer; 3])]) -> Vec<[u16; 3]> {
    all.iter().map(|(_, answers)| answers.each_ref().map(|answer| answer.status.as_u16())).collect()
}

#[tokio::test]
async fn a_node_that_cannot_read_the_registry_for_five_seconds_serves_no_tenant_until_it_can() {
    let api = Api::new().await;
    // Nothing of this is there, and nothing is made: each round answers alike.
    let served = codes(&statuses(&api).await);
    for answers in [Answers::WithAnError, Answers::Truly, Answers::WithAnError] {
        *api.registry.answers.lock().unwrap() = answers;
        *api.registry.later.lock().unwrap() += Duration::from_millis(4_999);
        if answers == Answers::Truly {
            // It has been too long, and the first who comes finds that it answers again.
            *api.registry.later.lock().unwrap() += Duration::from_secs(60);
            assert_eq!(codes(&statuses(&api).await), served);
            continue;
        }
        assert_eq!(codes(&statuses(&api).await), served, "what was known a moment ago is known");
        *api.registry.later.lock().unwrap() += Duration::from_millis(1);
        for (route, [own, stranger, nobody]) in statuses(&api).await {
            let place = format!("{} {}", route.method, route.pattern);
            if route.is_open() {
                // What is open is no tenant's; an address that nobody has signed is not looked at for its tenant.
                let expected = if route.pattern.starts_with("/$content") { [404, 404, 404] } else { [200, 200, 200] };
                assert_eq!([own, stranger, nobody].map(|answer| answer.status.as_u16()), expected, "{place}");
                continue;
            }
            assert_eq!((own.status.as_u16(), own.header("retry-after"), own.issue().as_str()), (503, "1", "transient"), "{place}");
            assert_eq!((stranger.status.as_u16(), nobody.status.as_u16()), (404, 401), "{place}");
        }
        assert_eq!(administer(&api, "GET", "/acme", "").await.status, 503, "nor can anyone be told of it");
    }
}

#[tokio::test]
async fn a_request_waits_for_a_registry_that_does_not_answer_and_not_for_long() {
    let api = Api::new().await;
    *api.registry.answers.lock().unwrap() = Answers::Never;
    *api.registry.later.lock().unwrap() += Duration::from_secs(5);
    let began = Instant::now();
    let refused = api.get("Patient/p").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
    let waited = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
    *api.registry.answers.lock().unwrap() = Answers::Truly;
    assert_eq!(api.get("Patient/p").await.status, 404, "nobody holds the look that was given up");
}

async fn administer(api: &Api, method: &str, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {}", admin_token(0));
    api.send(method, &format!("/admin/tenants{path}"), &[("authorization", &authorization)], body.to_owned()).await
}

#[tokio::test]
async fn tenants_are_administered_over_http() {
    let api = Api::new().await;
    let made = administer(&api, "POST", "", r#"{"id":"new-1","name":"New \"Clinic\""}"#).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/admin/tenants/new-1"));
    assert_eq!((made.json()["name"].as_str(), made.json()["state"].as_str()), (Some("New \"Clinic\""), Some("active")));
    let again = administer(&api, "POST", "", r#"{"id":"new-1"}"#).await;
    assert_eq!((again.status.as_u16(), again.issue().as_str()), (409, "duplicate"));
    let listed = administer(&api, "GET", "", "").await.json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|tenant| tenant["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["acme", "new-1", "other"]);
    let patients = async || {
        let authorization = format!("Bearer {}", token("new-1", "practitioner", 0));
        api.send("GET", "/tenant/new-1/Patient", &[("authorization", &authorization)], Body::empty()).await.status.as_u16()
    };
    assert_eq!(patients().await, 200);
    for (path, state, status) in
        [("/new-1/$suspend", "suspended", 403), ("/new-1/$suspend", "suspended", 403), ("/new-1/$resume", "active", 200)]
    {
        let changed = administer(&api, "POST", path, "").await;
        assert_eq!((changed.status.as_u16(), changed.json()["state"].as_str()), (200, Some(state)), "{path}");
        assert_eq!(patients().await, status, "here it counts at once");
        assert_eq!(administer(&api, "GET", "/new-1", "").await.json(), changed.json());
    }
    let deleting = administer(&api, "DELETE", "/new-1", "").await;
    assert_eq!((deleting.status.as_u16(), deleting.json()["state"].as_str()), (202, Some("deleting")));
    assert_eq!(patients().await, 403);
    assert_eq!(*api.removing.lock().unwrap(), [TenantId::parse("new-1").unwrap()]);
    let resumed = administer(&api, "POST", "/new-1/$resume", "").await;
    assert_eq!((resumed.status.as_u16(), resumed.issue().as_str()), (409, "conflict"));
    for (method, path) in [("GET", "/nobody"), ("DELETE", "/nobody"), ("POST", "/nobody/$suspend"), ("GET", "/a%20b"), ("GET", "/new-1/x")]
    {
        assert_eq!(administer(&api, method, path, "").await.status, 404, "{method} {path}");
    }
    for body in ["", "[]", "{}", r#"{"id":1}"#, r#"{"id":"a b"}"#, r#"{"id":"x","state":"active"}"#, r#"{"id":"x","name":"a\nb"}"#] {
        assert_eq!(administer(&api, "POST", "", body).await.status, 400, "{body}");
    }
    assert_eq!(administer(&api, "POST", "", &format!(r#"{{"id":"x","name":"{}"}}"#, "x".repeat(20_000))).await.status, 413);
}

#[tokio::test]
async fn only_a_token_for_it_administers_tenants_and_it_opens_nothing_else() {
    let api = Api::new().await;
    let (admin, expired) = (admin_token(0), admin_token(-3600));
    for route in ROUTES {
        if route.action.is_administration() {
            assert_eq!(call(&api, route, &expired).await.status, 401, "{} {}", route.method, route.pattern);
            assert_eq!(call(&api, route, &token("acme", "practitioner", 0)).await.status, 401, "{} {}", route.method, route.pattern);
        } else if !route.is_open() {
            assert_eq!(call(&api, route, &admin).await.status, 401, "{} {}", route.method, route.pattern);
        }
    }
    assert_eq!(api.tenants.registry().list().await.unwrap().len(), 2);
}
