//! Requests for a tenant name that tenant alone: no key, filter, routing, prefix or encryption context of another.

use std::path::{Path, PathBuf};

use fhirpool_testkit::{Client, Scenario, run_scenario};
use serde_json::Value;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_a_tenant_name_no_other() {
    let deployment = Arc::new(Deployment::create().await);
    let scenarios = scenarios();
    let mark = format!("w{:08x}", rand::random::<u32>());
    // Names that occur nowhere by chance.
    let tenants: Vec<String> = scenarios.iter().map(|path| format!("{mark}-{}", path.file_stem().unwrap().to_string_lossy())).collect();
    let tenants: Vec<&str> = tenants.iter().map(String::as_str).collect();
    // What an indexer asks is of whatever tenant has written: it works in a node that is not looked at.
    let patient = || Given { search_wait_ms_max: Some(30_000), ..Given::default() };
    let indexing = TestServer::start_node(&deployment, &tenants, patient()).await;
    let services = Services::start().await;
    let node = services.node(&deployment, &tenants, Given { indexer: Some(false), ..patient() }).await;

    let mut counts = [0; 5];
    for (index, (path, tenant)) in scenarios.iter().zip(&tenants).enumerate() {
        services.all().into_iter().for_each(FaultProxy::record);
        let client = node.client(tenant);
        let failures = run_scenario(&Scenario::read(path), &client).await;
        // Whether all is answered as written, other tests tell.
        failures.iter().for_each(|failure| println!("{failure}"));
        // Someone of another tenant comes with a good token, and gets nowhere.
        let other = tenants[(index + 1) % tenants.len()];
        let intruder = Client::new(node.client(other).base, Some(node.token(tenant)));
        for (method, path) in
            [("GET", "Patient/1"), ("GET", "Patient?name=x"), ("POST", "Patient"), ("GET", "_history"), ("DELETE", "Patient/1")]
        {
            let status = intruder.send(method, path, &[], "").await.status;
            assert!(matches!(status, 401 | 403 | 404), "{method} {path}: {status}");
        }
        let passed: [Vec<Passed>; 5] = services.all().map(FaultProxy::take_recorded);
        counts.iter_mut().zip(&passed).for_each(|(count, passed)| *count += passed.len());
        let [dynamodb, opensearch, s3, kms, sqs] = &passed;
        // What someone of another tenant tried is noted in that tenant's log of accesses, and what was before is noted late.
        dynamodb.iter().for_each(|(request, _)| of_dynamodb(request, the_only_one_named(request, &tenants, tenant, is_of_its_log)));
        kms.iter().for_each(|(request, _)| of_kms(request, the_only_one_named(request, &tenants, tenant, |_, _| true)));
        opensearch.iter().for_each(|(request, _)| of_opensearch(request, the_only_one_named(request, &tenants, tenant, |_, _| false)));
        s3.iter().for_each(|(request, _)| of_s3(request, the_only_one_named(request, &tenants, tenant, |_, _| false)));
        assert!(sqs.is_empty(), "only an indexer has dead letters");
    }
    println!("requests to DynamoDB, OpenSearch, S3, KMS, SQS: {counts:?}");
    assert!(counts[0] > 500 && counts[1] > 50, "{counts:?}");
    node.stop().await;
    indexing.stop().await;
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn shown(request: &ProxiedRequest) -> String {
    let body: String = String::from_utf8_lossy(&request.body).chars().take(2_000).collect();
    format!("{} {} {} {body}", request.method, request.path, request.operation())
}

/// The tenant that a request names: the one that was served, another only where it may be, and never two.
fn the_only_one_named<'t>(
    request: &ProxiedRequest,
    tenants: &[&'t str],
    served: &'t str,
    may_be_another: impl Fn(&ProxiedRequest, &str) -> bool,
) -> &'t str {
    let named: Vec<&str> = tenants.iter().copied().filter(|name| names(request, name)).collect();
    match named[..] {
        [] => served,
        [only] if only == served || may_be_another(request, only) => only,
        _ => panic!("for {served}, {named:?} are named by {}", shown(request)),
    }
}

/// Whether a request is about a tenant's log of accesses, or the keys that seal it.
fn is_of_its_log(request: &ProxiedRequest, tenant: &str) -> bool {
    ["A", "K"].iter().any(|part| names(request, &format!("T#{tenant}#{part}")))
}

/// Whether a text occurs anywhere in a request.
fn names(request: &ProxiedRequest, name: &str) -> bool {
    let contains = |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    contains(&request.body) || contains(request.path.as_bytes()) || request.headers.values().any(|value| contains(value.as_bytes()))
}

/// Every text of a JSON value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// What nodes agree on, which is no tenant's.
const SHARED_PARTITIONS: [&str; 6] = ["D", "L", "R", "E", "M", "S"];

/// Keys are the tenant's, or of what all nodes share on the control table.
fn of_dynamodb(request: &ProxiedRequest, tenant: &str) {
    let body = request.json();
    let mut all = Vec::new();
    texts(&body, &mut all);
    let fence = format!("T#{tenant}#");
    let keys: Vec<&&str> = all.iter().filter(|text| text.starts_with("T#")).collect();
    assert!(keys.iter().all(|key| key.starts_with(&fence)), "{}", shown(request));
    if keys.is_empty() {
        let shared = all.iter().any(|text| SHARED_PARTITIONS.contains(text)) && all.iter().any(|text| text.ends_with("-control"));
        assert!(shared || request.operation() == "DescribeTable", "it names no tenant: {}", shown(request));
    }
}

/// A search goes to the tenant's shard and asks for its documents; one in a point in time goes where that was opened.
fn of_opensearch(request: &ProxiedRequest, tenant: &str) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let routed = query.split('&').any(|parameter| parameter == format!("routing={tenant}"));
    if path.ends_with("/_search") {
        let body = request.json();
        let mut all = Vec::new();
        texts(&body, &mut all);
        let scope = format!("{tenant}/");
        assert!(all.iter().any(|text| text.starts_with(&scope)), "no filter names the tenant: {}", shown(request));
        assert!(routed || !body["pit"].is_null(), "{}", shown(request));
    } else if path.ends_with("/_search/point_in_time") && request.method == "POST" {
        assert!(routed, "{}", shown(request));
    } else {
        // What is released, refreshed or asked of the cluster is no tenant's.
        let known = ["/_search/point_in_time", "/_refresh", "/_alias", "/_mapping", "/_settings", "/_health"];
        assert!(known.iter().any(|known| path.contains(known)), "{}", shown(request));
    }
}

fn of_s3(request: &ProxiedRequest, tenant: &str) {
    let key = format!("/tenant/{tenant}/");
    let prefix = format!("prefix=tenant%2F{tenant}%2F");
    assert!(request.path.contains(&key) || request.path.contains(&prefix), "{}", shown(request));
}

fn of_kms(request: &ProxiedRequest, tenant: &str) {
    assert_eq!(request.json()["EncryptionContext"]["tenant"], tenant, "{}", shown(request));
}
