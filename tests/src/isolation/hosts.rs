//! Hosts as an attacker may write them, at a server whose tenants have bases of their own.

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::TestServer;

use super::seed::{CANARY, fill_other};
use crate::profiles::on_each_profile;
use crate::wire;

on_each_profile!(no_way_to_write_a_host_leads_to_another_tenant, a_host_of_a_tenants_own_serves_nothing_else);

/// Request targets. What of them is below a base depends on the host.
const TARGETS: [&str; 14] = [
    "/r4/Patient/b-pat",
    "/r4/Patient?name=known",
    "/R4/Patient/b-pat",
    "//r4/Patient/b-pat",
    "/./r4/Patient/b-pat",
    "/x/../r4/Patient/b-pat",
    "/%72%34/Patient/b-pat",
    "/r4%2fPatient/b-pat",
    "/at/t10/Patient/b-pat",
    "/at/%7410/Patient/b-pat",
    "/tenant/t10/Patient/b-pat",
    "/Patient/b-pat",
    "http://t10.fhir.example/r4/Patient/b-pat",
    "http://t1.fhir.example@t10.fhir.example/r4/Patient/b-pat",
];

/// The line or lines of a host. `t1` is who asks, `t10` whom it is about.
const HOSTS: [&str; 26] = [
    "Host: t10.fhir.example",
    "Host: T10.FHIR.EXAMPLE",
    "Host: t10.fhir.example.",
    "Host: t10.fhir.example..",
    "Host: t10.fhir.example:443",
    "Host: t10.fhir.example:80",
    "Host: t10.fhir.example:0443",
    "Host: t10.fhir.example:",
    "Host: t10.fhir.example:8080",
    "Host: t10.fhir.example:99999",
    "Host: t1.fhir.example@t10.fhir.example",
    "Host: t10.fhir.example, t1.fhir.example",
    "Host: t1.fhir.example\r\nHost: t10.fhir.example",
    "Host: t10.fhir.example\r\nHost: t1.fhir.example",
    "Host: t10%2efhir.example",
    "Host: \u{442}10.fhir.example",
    "Host: t\u{661}\u{660}.fhir.example",
    "Host: xn--10-7lc.fhir.example",
    "Host: t1.t10.fhir.example",
    "Host: t10",
    "Host: 127.0.0.1",
    "Host: [::1]",
    "Host: ",
    "Host: hospitals.example",
    "Host: own.example",
    "Host: t1.fhir.example\r\nX-Forwarded-Host: t10.fhir.example\r\nX-Forwarded-Prefix: /r4\r\nForwarded: host=t10.fhir.example",
];

async fn serve(profile: Profile) -> TestServer {
    let addresses = ["https://{tenant}.fhir.example/r4", "https://hospitals.example/at/{tenant}", "t10=https://own.example/r4"];
    let given = Given { tenant_address: addresses.map(str::to_owned).to_vec(), ..Given::default() };
    let server = TestServer::start_on(profile, &["t1", "t10"], given).await;
    fill_other(&server.client("t10"), &server.client("t1")).await;
    server
}

async fn no_way_to_write_a_host_leads_to_another_tenant(profile: Profile) {
    let server = serve(profile).await;
    let ask = async |target: &str, host: &str, token: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        wire::exchange(server.address(), request.as_bytes()).await
    };
    let (attacker, other) = (server.token("t1"), server.token("t10"));
    for host in HOSTS {
        for target in TARGETS {
            let answer = ask(target, host, &attacker).await;
            let is_right = matches!(wire::status(&answer), 400 | 404) || wire::body(&answer).contains("\"total\":0");
            assert!(is_right && !answer.contains(CANARY), "{target} at {host:?}: {answer}");
        }
    }
    // Where the other tenant is not, its own token is worth nothing either.
    for host in [
        "Host: t1.fhir.example",
        "Host: x.fhir.example",
        "Host: t10.fhir.example\r\nHost: t10.fhir.example",
        "Host: \u{442}10.fhir.example",
    ] {
        for target in TARGETS.iter().filter(|target| target.starts_with('/')) {
            let answer = ask(target, host, &other).await;
            assert!(matches!(wire::status(&answer), 400 | 404) && !answer.contains(CANARY), "{target} at {host:?}: {answer}");
        }
    }
    // The same do find it for whom it belongs to.
    for (target, host) in [
        ("/r4/Patient/b-pat", "Host: T10.fhir.EXAMPLE."),
        ("/r4/Patient?name=known", "Host: t10.fhir.example:443"),
        ("/r4/Patient/b-pat", "Host: own.example"),
        ("/at/t10/Patient/b-pat", "Host: hospitals.example"),
        ("/tenant/t10/Patient/b-pat", "Host: 127.0.0.1"),
        ("http://t10.fhir.example/r4/Patient/b-pat", "Host: t1.fhir.example"),
    ] {
        let answer = ask(target, host, &other).await;
        assert!(wire::status(&answer) == 200 && answer.contains(CANARY), "{target} at {host:?}: {answer}");
    }
    server.stop().await;
}

async fn a_host_of_a_tenants_own_serves_nothing_else(profile: Profile) {
    let server = serve(profile).await;
    for base in ["https://t10.fhir.example/r4", "https://own.example/r4", "https://hospitals.example/at/t10"] {
        for tenant in ["t1", "t10"] {
            let client = server.client_at(tenant, base);
            for path in [
                "/tenant/t10/Patient/b-pat",
                "/tenant/t1/Patient",
                "/tenant/t10/metadata",
                "/admin/tenants",
                "/Patient/b-pat",
                "/metadata",
                "/",
            ] {
                let answer = client.get(path).await;
                assert_eq!(answer.status, 404, "{path} at {base}: {}", answer.text());
                assert_eq!(answer.json()["resourceType"], "OperationOutcome");
            }
            for path in ["/health/live", "/health/ready"] {
                assert_eq!(client.get(path).await.status, 200, "{path} at {base}");
            }
            assert_eq!(client.send("OPTIONS", "", &[], "").await.status, 200, "{base}");
        }
        assert_eq!(server.client_at("t10", base).get("Patient/b-pat").await.status, 200, "{base}");
        let refused = server.client_at("t1", base).get("Patient/b-pat").await;
        let as_ever = server.client_at("t1", &format!("{}/tenant/t10", server.root())).get("Patient/b-pat").await;
        assert_eq!((refused.status, refused.body), (as_ever.status, as_ever.body), "{base}");
    }
    server.stop().await;
}
