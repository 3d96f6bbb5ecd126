//! Services that fail: what was acknowledged is there, nothing happens twice, answers are honest, and the index converges.
//!
//! The short form runs with every test; `FHIRPOOL_FAULT_ROUNDS` asks for a long one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fhirpool_testkit::{Client, Fault, Response};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;

const TENANT: &str = "faults";
const CLIENTS: usize = 4;
/// Resources of each client.
const RESOURCES: usize = 5;

fn rounds() -> usize {
    setting("FHIRPOOL_FAULT_ROUNDS").unwrap_or(60)
}

fn seed() -> u64 {
    let seed = setting("FHIRPOOL_SEED").unwrap_or_else(rand::random);
    println!("FHIRPOOL_SEED={seed}");
    seed
}

/// Of how many thousandths of requests, and what they meet.
type Line = (u64, fn() -> Fault);

/// One in a hundred of this many requests meets each line; the rest pass.
fn draw(seed: u64, request: &ProxiedRequest, odds: &[Line]) -> Option<Fault> {
    let mut random = StdRng::seed_from_u64(seed ^ request.number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut lot = random.random_range(0..1_000);
    for (thousandths, fault) in odds {
        if lot < *thousandths {
            return Some(fault());
        }
        lot -= thousandths;
    }
    None
}

fn late() -> Fault {
    Fault::Delay(Duration::from_millis(250))
}

fn dynamodb_fails(services: &Services, seed: u64) {
    let throttled =
        || Fault::Answer(ProxiedAnswer::aws_error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"));
    let failed = || Fault::Answer(ProxiedAnswer::aws_error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError"));
    services.dynamodb.set_rule(move |request| {
        let told = request.operation() == "GetRecords";
        draw(seed, request, &[(40, throttled), (30, failed), (40, || Fault::Cut), (15, || Fault::Drop), (15, late)]).or_else(|| {
            // What the stream tells comes twice, and out of order.
            (told && request.number % 3 == 0).then(|| Fault::Change(Arc::new(disordered)))
        })
    });
}

/// The records of an answer twice, in another order.
fn disordered(answer: ProxiedAnswer) -> ProxiedAnswer {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
    if let Some(records) = body["Records"].as_array_mut() {
        let mut again = records.clone();
        again.reverse();
        again.append(records);
        *records = again;
    }
    ProxiedAnswer { body: body.to_string().into(), ..answer }
}

fn opensearch_fails(services: &Services, seed: u64) {
    let busy = || Fault::Answer(ProxiedAnswer::json(429, &json!({ "error": { "type": "rejected_execution_exception" }, "status": 429 })));
    let failed = || Fault::Answer(ProxiedAnswer::json(503, &json!({ "error": { "type": "x" }, "status": 503 })));
    services.opensearch.set_rule(move |request| {
        let bulk = request.path.contains("/_bulk");
        draw(seed, request, &[(50, busy), (30, failed), (40, || Fault::Cut), (15, || Fault::Drop), (15, late)])
            .or_else(|| (bulk && request.number % 2 == 0).then(|| Fault::Change(Arc::new(partly_rejected))))
    });
}

/// Every other item was carried out, and is said to have been rejected.
fn partly_rejected(answer: ProxiedAnswer) -> ProxiedAnswer {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
    body["errors"] = json!(true);
    for item in body["items"].as_array_mut().into_iter().flatten().step_by(2) {
        for result in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            result["status"] = json!(429);
            result["error"] = json!({ "type": "rejected_execution_exception", "reason": "injected" });
        }
    }
    ProxiedAnswer { body: body.to_string().into(), ..answer }
}

/// What one client did to its resources.
#[derive(Default)]
struct Deeds {
    /// By resource: what it may hold now. The first is what was acknowledged last (`None`: nothing, or that it was deleted), the
    /// rest was sent since and not acknowledged.
    may_hold: BTreeMap<String, Vec<Option<String>>>,
    /// Tags that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// Tags of single creates under ids of the server's, and whether they were acknowledged.
    created: BTreeMap<String, bool>,
}

/// Whether the answer acknowledges; fails on one that no fault excuses.
fn is_acknowledged(what: &str, answer: &Response) -> bool {
    match answer.status {
        200..=299 => true,
        // A conflict: with a transaction of this client's own that failed, and whose end nobody has decided yet.
        409 | 503 => false,
        status => panic!("{what}: {status} {}", answer.text()),
    }
}

fn resource(id: Option<&str>, tag: &str) -> Value {
    let mut resource = json!({ "resourceType": "Basic", "code": { "coding": [{ "system": "urn:tags", "code": tag }] } });
    if let Some(id) = id {
        resource["id"] = json!(id);
    }
    resource
}

async fn act(client: Client, number: usize, seed: u64, rounds: usize) -> Deeds {
    let mut random = StdRng::seed_from_u64(seed ^ number as u64);
    let mut deeds = Deeds::default();
    for round in 0..rounds {
        let tag = format!("t{number}-{round}");
        let id = |of: usize| format!("r{number}-{of}");
        let one = random.random_range(0..RESOURCES);
        match random.random_range(0..10) {
            0..5 => {
                let id = id(one);
                let answer = client.put(&format!("Basic/{id}"), resource(Some(&id), &tag).to_string()).await;
                deeds.note(&id, Some(&tag), is_acknowledged("PUT", &answer));
            }
            5 => {
                let id = id(one);
                let answer = client.send("DELETE", &format!("Basic/{id}"), &[], "").await;
                deeds.note(&id, None, is_acknowledged("DELETE", &answer));
            }
            6..9 => {
                // All or nothing.
                let entries = (0..RESOURCES).map(|of| {
                    json!({ "resource": resource(Some(&id(of)), &tag), "request": { "method": "PUT", "url": format!("Basic/{}", id(of)) } })
                });
                let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries.collect::<Vec<_>>() });
                let acknowledged = is_acknowledged("transaction", &client.post("", bundle.to_string()).await);
                (0..RESOURCES).for_each(|of| deeds.note(&id(of), Some(&tag), acknowledged));
            }
            _ => {
                let answer = client.post("Basic", resource(None, &tag).to_string()).await;
                deeds.created.insert(tag, is_acknowledged("POST", &answer));
            }
        }
    }
    deeds
}

impl Deeds {
    fn note(&mut self, id: &str, tag: Option<&str>, acknowledged: bool) {
        let may_hold = self.may_hold.entry(id.to_owned()).or_insert_with(|| vec![None]);
        if acknowledged {
            may_hold.clear();
            self.acknowledged.extend(tag.map(str::to_owned));
        }
        may_hold.push(tag.map(str::to_owned));
    }

    /// Everything is as it must be, read and found.
    async fn check(&self, client: &Client) {
        for (id, may_hold) in &self.may_hold {
            let answer = client.get(&format!("Basic/{id}")).await;
            let holds = (answer.status == 200).then(|| tag_of(&answer.json()));
            assert!(matches!(answer.status, 200 | 404 | 410), "{id}: {}", answer.text());
            assert!(may_hold.contains(&holds), "{id} holds {holds:?}, none of {may_hold:?}");
            let history = entries(client, &format!("Basic/{id}/_history?_count=1000")).await;
            let tags: Vec<String> =
                history.iter().filter(|entry| !entry["resource"].is_null()).map(|entry| tag_of(&entry["resource"])).collect();
            let distinct: BTreeSet<&String> = tags.iter().collect();
            assert_eq!(distinct.len(), tags.len(), "a write of {id} happened twice: {tags:?}");
            for (index, entry) in history.iter().enumerate() {
                let etag = entry["response"]["etag"].as_str().unwrap_or_default();
                assert_eq!(etag, format!("W/\"{}\"", history.len() - index), "versions of {id} have gaps");
            }
            if let Some(tag) = &holds {
                let found = entries(client, &format!("Basic?code=urn:tags|{tag}&_count=1000")).await;
                assert!(found.iter().any(|entry| entry["resource"]["id"] == *id), "{id} is not found by {tag}");
            }
        }
        for (tag, acknowledged) in &self.created {
            let found = entries(client, &format!("Basic?code=urn:tags|{tag}")).await.len();
            assert!(
                found == 1 || (found == 0 && !acknowledged),
                "a resource was created {found} times by one request, acknowledged: {acknowledged}"
            );
        }
    }
}

fn tag_of(resource: &Value) -> String {
    resource["code"]["coding"][0]["code"].as_str().unwrap().to_owned()
}

/// The entries of a bundle, all but what the server says of it.
async fn entries(client: &Client, path: &str) -> Vec<Value> {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let bundle = answer.json();
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let (outcomes, entries): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(|entry| entry["search"]["mode"] == "outcome");
    assert!(outcomes.is_empty(), "{path}: {outcomes:?}");
    entries
}

/// Lets clients work while services fail, then looks whether all is well once they do not.
async fn work_under(fails: impl FnOnce(&Services, u64)) {
    let seed = seed();
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let given = Given { search_wait_ms_max: Some(60_000), ..Given::default() };
    let node = services.node(&deployment, &[TENANT], given).await;
    drop(node.client(TENANT).get("Basic/none").await);
    fails(&services, seed);
    let rounds = rounds();
    let begun = Instant::now();
    let working: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(act(node.client(TENANT), number, seed, rounds))).collect();
    let mut all = Vec::new();
    for deeds in working {
        all.push(deeds.await.unwrap());
    }
    let faults: u64 = services.all().iter().map(|proxy| proxy.faults()).sum();
    let requests: u64 = services.all().iter().map(|proxy| proxy.requests()).sum();
    services.all().into_iter().for_each(FaultProxy::clear_rule);
    let acknowledged: usize = all.iter().map(|deeds| deeds.acknowledged.len()).sum();
    println!("{faults} faults in {requests} requests; {acknowledged} tags acknowledged in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(faults > 0);
    let client = node.client(TENANT);
    for deeds in &all {
        deeds.check(&client).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_dynamodb_and_its_stream_fail() {
    work_under(dynamodb_fails).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_converges_while_opensearch_fails() {
    work_under(opensearch_fails).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_everything_fails() {
    work_under(|services, seed| {
        dynamodb_fails(services, seed);
        opensearch_fails(services, !seed);
    })
    .await;
}

/// Without S3 what is large is refused for now and all else goes on; without KMS what has its key in memory does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_service_that_is_down_is_refused_for_now() {
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let node = services.node(&deployment, &["a", "b"], Given::default()).await;
    let (client, other) = (node.client("a"), node.client("b"));
    let small = |id: &str| resource(Some(id), "small").to_string();
    assert_eq!(client.put("Basic/1", small("1")).await.status, 201);
    let mut noise = StdRng::seed_from_u64(7);
    let noise: String = (0..600_000).map(|_| char::from(noise.random_range(b'a'..=b'z'))).collect();
    let large = json!({ "resourceType": "Basic", "id": "large", "code": { "text": noise } }).to_string();

    services.s3.set_rule(|_| Some(Fault::Answer(ProxiedAnswer::json(503, &Value::Null))));
    assert_eq!(client.put("Basic/large", large.clone()).await.status, 503);
    assert_eq!(client.get("Basic/large").await.status, 404);
    assert_eq!(client.put("Basic/2", small("2")).await.status, 201);
    services.s3.clear_rule();
    assert_eq!(client.put("Basic/large", large).await.status, 201);
    services.s3.set_rule(|_| Some(Fault::Drop));
    assert_eq!(client.get("Basic/large").await.status, 503);
    services.s3.clear_rule();
    assert_eq!(client.get("Basic/large").await.json()["code"]["text"].as_str().map(str::len), Some(600_000));

    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    services.kms.set_rule(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(Fault::Answer(ProxiedAnswer::aws_error(500, "KMSInternalException")))
    });
    assert_eq!(client.put("Basic/3", small("3")).await.status, 201);
    assert_eq!(client.get("Basic/3").await.status, 200);
    // The other tenant's key is in nobody's memory.
    assert_eq!(other.put("Basic/1", small("1")).await.status, 503);
    assert!(asked.load(Ordering::Relaxed) > 0);
    services.kms.clear_rule();
    let deadline = Instant::now() + Duration::from_secs(60);
    while other.put("Basic/1", small("1")).await.status == 503 {
        assert!(Instant::now() < deadline, "KMS is back, and the tenant is still refused");
    }
    assert_eq!(other.get("Basic/1").await.status, 200);
    node.stop().await;
}
