//! Quotas over HTTP.

use axum::body::Body;
use fhirpool_authz::{QuotaRules, Rate, TenantQuota};
use http::StatusCode;

use crate::support::{Api, PATIENT, token};

/// So slow a rate that nothing comes back within a test.
fn rules(burst_points: u32, requests_at_once_max: Option<u32>) -> QuotaRules {
    let tenant = Some(Rate { points_per_s: 1, burst_points });
    QuotaRules { deployment: TenantQuota { tenant, application: None, requests_at_once_max }, ..QuotaRules::default() }
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
