//! Quotas over HTTP.

use axum::body::Body;
use fhirpool_authz::{AccessFile, QuotaRules, Rate, TenantQuota};
use http::StatusCode;

use crate::support::{Api, PATIENT, token};

/// So slow a rate that nothing comes back within a test.
fn rules(burst_points: u32, requests_at_once_max: Option<u32>) -> QuotaRules {
    let tenant = Some(Rate { points_per_s: 1, burst_points });
    let deployment = TenantQuota { tenant, requests_at_once_max, ..TenantQuota::default() };
    QuotaRules { deployment, ..QuotaRules::default() }
}

#[tokio::test]
async fn who_has_used_up_the_quota_is_told_when_to_come_back() {
    let api = Api::with_quotas(rules(130, None)).await;
    let created = api.put_json("POST", "Patient", &[], PATIENT).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.header("ratelimit-policy"), "\"tenant\";q=130;w=130");
    assert!(created.header("ratelimit").starts_with("\"tenant\";r=30;t="), "{}", created.header("ratelimit"));
    assert_eq!(api.get("Patient").await.status, StatusCode::OK);
    let refused = api.get("Patient").await;
    assert_eq!((refused.status, refused.issue().as_str()), (StatusCode::TOO_MANY_REQUESTS, "throttled"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").starts_with("\"tenant\";r="));
    // A read costs less, and is told how things stand though it finds nothing; another tenant has its own.
    let missing = api.get("Patient/1").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(!missing.header("ratelimit").is_empty());
    let authorization = format!("Bearer {}", token("other", "practitioner", 0));
    let other = api.send("GET", "/tenant/other/Patient", &[("authorization", &authorization)], Body::empty()).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(api.send("GET", "metadata", &[("authorization", "")], Body::empty()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bundle_costs_its_entries() {
    let api = Api::with_quotas(rules(1000, None)).await;
    let left = async |kind: &str, entries: usize| {
        let entry = r#"{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}}"#;
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#, vec![entry; entries].join(","));
        api.put_json("POST", "", &[], &bundle).await.status
    };
    assert_eq!(left("batch", 3).await, StatusCode::OK);
    assert_eq!(left("transaction", 3).await, StatusCode::OK);
    let standing = api.get("Patient/1").await;
    assert!(standing.header("ratelimit").starts_with("\"tenant\";r=39"), "{}", standing.header("ratelimit"));
    // One that fails costs as a write; one over what is left is owed.
    assert_eq!(left("nothing", 1).await, StatusCode::BAD_REQUEST);
    assert_eq!(left("batch", 9).await, StatusCode::OK);
    let refused = api.get("Patient/1").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 500);
}

#[tokio::test]
async fn without_quotas_nothing_is_said_of_them() {
    let api = Api::new().await;
    assert_eq!(api.get("Patient").await.header("ratelimit"), "");
}

#[tokio::test]
async fn keys_of_applications_are_demanded_where_they_are_required() {
    // SHA-256 of "secret".
    let text = "api_keys_required = true\n[[api_key]]\nname = \"portal\"\ntenants = [\"acme\"]\nquota = { points_per_second = 1, burst_points = 25 }\n
        sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"";
    let api = Api::with_quotas(AccessFile::parse(text).unwrap().quotas).await;
    let get = async |key: &str| api.send("GET", "Patient", &[("x-api-key", key)], Body::empty()).await;
    for wrong in ["", "secret2", "Secret"] {
        let refused = get(wrong).await;
        assert_eq!((refused.status, refused.issue().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{wrong}");
    }
    let other = format!("Bearer {}", token("other", "practitioner", 0));
    let headers = [("authorization", other.as_str()), ("x-api-key", "secret")];
    assert_eq!(api.send("GET", "/tenant/other/Patient", &headers, Body::empty()).await.status, StatusCode::FORBIDDEN);
    // A token is needed besides, and asked for first.
    let headers = [("authorization", ""), ("x-api-key", "secret")];
    assert_eq!(api.send("GET", "Patient", &headers, Body::empty()).await.status, StatusCode::UNAUTHORIZED);
    let good = get("secret").await;
    assert_eq!(good.status, StatusCode::OK);
    assert!(good.header("ratelimit").starts_with("\"api-key\";r=5"), "{}", good.header("ratelimit"));
    assert_eq!(get("secret").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_tenant_may_be_kept_to_smaller_bodies() {
    let text = "[tenant.acme.quota]\nbody_bytes = 100\n";
    let api = Api::with_quotas(AccessFile::parse(text).unwrap().quotas).await;
    assert_eq!(api.put_json("POST", "Patient", &[], r#"{"resourceType":"Patient"}"#).await.status, StatusCode::CREATED);
    let long = format!(r#"{{"resourceType":"Patient","language":"{}"}}"#, "x".repeat(100));
    assert_eq!(api.put_json("POST", "Patient", &[], &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let authorization = format!("Bearer {}", token("other", "practitioner", 0));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/fhir+json")];
    assert_ne!(api.send("POST", "/tenant/other/Patient", &headers, Body::from(long)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
