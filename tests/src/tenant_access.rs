//! Roles, quotas and issuers that a tenant's record has, while servers run.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fhirpool_authz::{LocalIssuer, LocalKey, TenantId, TokenRequest};
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Deployment, Response, TestServer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::profiles::on_each_profile;

on_each_profile!(
    a_tenants_record_rules_what_its_tokens_may_do,
    a_tenants_own_issuer_speaks_for_it_alone,
    what_cannot_be_meant_is_refused_in_a_sentence
);

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p"}"#;

async fn set(administrator: &Client, tenant: &str, access: &str) -> Response {
    administrator.put(&format!("/admin/tenants/{tenant}/access"), access.to_owned()).await
}

async fn a_tenants_record_rules_what_its_tokens_may_do(profile: Profile) {
    let server = TestServer::start_on(profile, &["a", "b"], Given::default()).await;
    let (a, b, administrator) = (server.client("a"), server.client("b"), server.administrator());
    for client in [&a, &b] {
        assert_eq!(client.put("Patient/p", PATIENT).await.status, 201);
    }
    // What nobody has said anything of is as before.
    assert!(a.get("Patient/p").await.header("ratelimit").is_empty());
    let denying = r#"{"rule":[{"effect":"deny","groups":["practitioner"],"types":["Patient"],"interactions":["read"]}]}"#;
    let record = set(&administrator, "a", denying).await;
    assert_eq!((record.status, record.json()["access"]["rule"][0]["effect"].as_str()), (200, Some("deny")));
    assert_eq!((a.get("Patient/p").await.status, a.get("Patient").await.status, b.get("Patient/p").await.status), (403, 200, 200));
    // The whole is replaced, and what it does not say is as the access file says.
    let quota = r#"{"quota":{"points_per_second":1,"burst_points":3,"body_bytes":100}}"#;
    assert_eq!(set(&administrator, "a", quota).await.status, 200);
    let statuses: Vec<u16> = [a.get("Patient/p").await, a.get("Patient/p").await].iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200]);
    assert!(!a.get("Patient/p").await.header("ratelimit-policy").is_empty());
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(a.get("Patient/p").await.status == 429);
    }
    assert!(refused > 10, "{refused} of twenty at once");
    assert_eq!(b.get("Patient/p").await.status, 200);
    let stored = r#"{"quota":{"stored_resources":1,"body_bytes":100}}"#;
    assert_eq!(set(&administrator, "a", stored).await.status, 200);
    assert_eq!(a.put("Patient/q", PATIENT.replace("\"p\"", "\"q\"")).await.status, 403);
    // By a connection of its own, which ends with the refusal.
    let large = PATIENT.replace('}', &format!(",\"language\":\"{}\"}}", "x".repeat(100)));
    assert_eq!(server.client("a").put("Patient/p", large).await.status, 413);
    let nothing = set(&administrator, "a", "{}").await;
    assert_eq!((nothing.status, nothing.json().get("access")), (200, None));
    assert_eq!(a.put("Patient/q", PATIENT.replace("\"p\"", "\"q\"")).await.status, 201);
    assert!(a.get("Patient/p").await.header("ratelimit").is_empty());
    server.stop().await;
}

async fn what_cannot_be_meant_is_refused_in_a_sentence(profile: Profile) {
    let server = TestServer::start_on(profile, &["a", "b"], Given::default()).await;
    let administrator = server.administrator();
    for (access, found) in [
        ("", "EOF"),
        ("[]", "the whole: found a list"),
        (r#"{"quota":[5]}"#, "quota: found a list"),
        (r#"{"rule":[["allow",["a"],["*"],["*"],[]]]}"#, "rule: found a list"),
        (r#"{"rules":[]}"#, "unknown field `rules`"),
        (r#"{"quota":{"points_per_second":1},"quota":{"points_per_second":2}}"#, "duplicate field"),
        (r#"{"quota":{"points_per_second":0}}"#, "quota: found 0 points"),
        (r#"{"shared_types":["Doctor"]}"#, "shared_types: found \"Doctor\""),
        (r#"{"rule":[{"effect":"permit","groups":["a"],"types":["*"],"interactions":["*"]}]}"#, "rule 1: effect: found \"permit\""),
        (r#"{"issuer":[{"url":"http://issuer.example","audiences":["app"]}]}"#, "url: found it; allowed: an https URL"),
        (r#"{"issuer":[{"url":"https://i.example","audiences":["app"],"tenants":["b"]}]}"#, "found tenants; allowed: none"),
        (r#"{"issuer":[{"url":"https://i.example","admin_audiences":["app"]}]}"#, "found admin_audiences; allowed: none"),
    ] {
        let refused = set(&administrator, "a", access).await;
        assert_eq!(refused.status, 400, "{access}");
        assert!(refused.text().replace("\\\"", "\"").contains(found), "{access}: {}", refused.text());
    }
    // By a connection of its own, which ends with the refusal.
    assert_eq!(set(&server.administrator(), "a", &format!("{{{}}}", " ".repeat(64 << 10))).await.status, 413);
    assert_eq!(set(&administrator, "nobody", "{}").await.status, 404);
    assert_eq!(server.client("a").put("/admin/tenants/a/access", "{}").await.status, 401);
    assert_eq!(administrator.send("DELETE", "/admin/tenants/b", &[], "").await.status, 202);
    assert_eq!(set(&administrator, "b", r#"{"scopes_alone":true}"#).await.status, 409);
    server.stop().await;
}

/// An issuer on a port of this machine.
async fn issuer() -> LocalIssuer {
    let key = LocalKey::load_or_create(&tempfile::tempdir().unwrap().path().join("key.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bodies = [format!("{{\"issuer\":\"{url}\",\"jwks_uri\":\"{url}/keys\"}}"), key.jwks()];
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let body = &bodies[usize::from(head.starts_with(b"GET /keys "))];
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            // Whoever went away does not want it.
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    LocalIssuer::new(key, url, "app")
}

fn token(issuer: &LocalIssuer, tenant: &str) -> String {
    let tenant = TenantId::parse(tenant).unwrap();
    let request = TokenRequest { tenant, subject: "ann".into(), groups: vec!["practitioner".into()], scopes: Vec::new(), ttl_s: 600 };
    issuer.issue(&request, SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64).unwrap()
}

async fn a_tenants_own_issuer_speaks_for_it_alone(profile: Profile) {
    let server = TestServer::start_on(profile, &["a", "b"], Given::default()).await;
    let (administrator, issuer) = (server.administrator(), issuer().await);
    for tenant in ["a", "b"] {
        assert_eq!(server.client(tenant).put("Patient/p", PATIENT).await.status, 201);
    }
    let of = |tenant: &str, token: String| Client::new(format!("{}/tenant/{tenant}", server.root()), Some(token));
    let (a, b) = (of("a", token(&issuer, "a")), of("b", token(&issuer, "b")));
    assert_eq!((a.get("Patient/p").await.status, b.get("Patient/p").await.status), (401, 401));
    let access = json!({"issuer": [{"url": issuer.issuer().url, "audiences": ["app"]}]});
    assert_eq!(set(&administrator, "a", &access.to_string()).await.status, 200);
    assert_eq!((a.get("Patient/p").await.status, b.get("Patient/p").await.status), (200, 401));
    assert_eq!(of("b", token(&issuer, "a")).get("Patient/p").await.status, 404, "as for any other tenant's token");
    assert_eq!(server.client("a").get("Patient/p").await.status, 200, "the deployment's issuers stay");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let administering = Client::new(server.root(), Some(issuer.issue_admin("ann", 600, now).unwrap()));
    assert_eq!(administering.get("/admin/tenants").await.status, 401);
    // Two tenants may have the same issuer, each with its own audiences.
    let other = json!({"issuer": [{"url": issuer.issuer().url, "audiences": ["another"]}]});
    assert_eq!(set(&administrator, "b", &other.to_string()).await.status, 200);
    assert_eq!((a.get("Patient/p").await.status, b.get("Patient/p").await.status), (200, 401));
    assert_eq!(set(&administrator, "b", &access.to_string()).await.status, 200);
    assert_eq!(b.get("Patient/p").await.status, 200);
    // What is taken away is taken away, also from whom the server knows.
    assert_eq!(set(&administrator, "a", "{}").await.status, 200);
    assert_eq!((a.get("Patient/p").await.status, b.get("Patient/p").await.status), (401, 200));
    server.stop().await;
}

/// What one node is told acts on the others within five seconds, and is there after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_follows_a_tenants_record() {
    let deployment = Arc::new(Deployment::create().await);
    let one = TestServer::start_node(&deployment, &["a"], Given::default()).await;
    let other = TestServer::start_node(&deployment, &[], Given::default()).await;
    assert_eq!(one.client("a").put("Patient/p", PATIENT).await.status, 201);
    assert_eq!(other.client("a").get("Patient/p").await.status, 200);
    let denying = r#"{"inherit":false}"#;
    for (access, status) in [(denying, 403), ("{}", 200), (denying, 403)] {
        assert_eq!(set(&one.administrator(), "a", access).await.status, 200);
        let asked = Instant::now();
        while other.client("a").get("Patient/p").await.status != status {
            assert!(asked.elapsed() < Duration::from_secs(5), "{access}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    other.stop().await;
    let started = TestServer::start_node(&deployment, &[], Given::default()).await;
    assert_eq!(started.client("a").get("Patient/p").await.status, 403);
    started.stop().await;
    one.stop().await;
}
