//! What each operation asks of DynamoDB and OpenSearch, beside what FHIR Works on AWS pays for it: computed from what was really sent.
//!
//! `FHIRPOOL_COSTS_FILES` says how many of Synthea's files are loaded.

use std::time::{Duration, Instant};

use fhirpool_testkit::Client;
use serde_json::{Value, json};

use super::units::{Bill, Units};
use super::*;
use crate::synthea;

const TENANT: &str = "costs";

/// On demand in us-east-1: dollars a million units.
const WRITE_PRICE: f64 = 0.625;
const READ_PRICE: f64 = 0.125;

/// A line of the table.
struct Line {
    operation: &'static str,
    units: Units,
    /// Requests to OpenSearch.
    searches: f64,
    /// FHIR Works on AWS, where it has the like.
    theirs: &'static str,
}

struct World {
    services: Services,
    node: TestServer,
    client: Client,
    lines: Vec<Line>,
    /// Requests to OpenSearch of the last bill.
    searches: f64,
}

impl World {
    /// What an operation makes pass, and how many requests to OpenSearch, apart from what nodes do whether or not anyone asks. Marks, the log and records of accesses are told apart, for
    /// they are shared by what happens in the same second or batch.
    async fn bill(&mut self, operation: impl AsyncFnOnce(&Client)) -> Bill {
        self.services.dynamodb.record();
        self.services.opensearch.record();
        operation(&self.client).await;
        let mut bill = Bill::of(&self.services.dynamodb.take_recorded());
        self.searches = self.services.opensearch.take_recorded().len() as f64;
        bill.0.remove("shared");
        bill
    }

    fn line(&mut self, operation: &'static str, bill: &Bill, count: f64, theirs: &'static str) -> Units {
        let apart = |kind: &str| bill.0.get(kind).copied().unwrap_or_default();
        let (all, marks, log, accesses) = (bill.of_tenants(), apart("M"), apart("F"), apart("A"));
        let units = Units {
            writes: (all.writes - marks.writes - log.writes - accesses.writes) / count,
            reads: (all.reads - marks.reads - log.reads) / count,
        };
        self.lines.push(Line { operation, units, searches: self.searches / count, theirs });
        units
    }

    fn print(&self) {
        println!(
            "| operation | write units | read units | OpenSearch requests | $ a million | FHIR Works on AWS |\n|---|---|---|---|---|---|"
        );
        for Line { operation, units: Units { writes, reads }, searches, theirs } in &self.lines {
            let price = writes * WRITE_PRICE + reads * READ_PRICE;
            println!("| {operation} | {writes:.3} | {reads:.3} | {searches:.2} | {price:.2} | {theirs} |");
        }
    }
}

/// Transactions of Synthea, those that others refer to first.
fn bundles(count: usize) -> impl Iterator<Item = Value> {
    synthea::files().into_iter().take(count).map(|file| serde_json::from_str(&synthea::bundle(&file)).unwrap())
}

async fn ok(client: &Client, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.send(method, path, &[], body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operation_costs_what_the_table_says() {
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let given = || Given { search_wait_ms_max: Some(30_000), ..Given::default() };
    // The indexer works in another node, so that what it asks is not taken for what clients cause; it is looked at by itself below.
    let indexing_services = Services::start().await;
    let indexing = indexing_services.node(&deployment, &[TENANT], given()).await;
    let node = services.node(&deployment, &[TENANT], Given { indexer: Some(false), ..given() }).await;
    let client = node.client(TENANT);
    let mut world = World { services, node, client, lines: Vec::new(), searches: 0.0 };
    let (mut entries, mut all) = (0.0, Units::default());
    let mut resources = Vec::new();

    indexing_services.dynamodb.record();
    let mut log = 0.0;
    let files = setting("FHIRPOOL_COSTS_FILES").unwrap_or(4);
    for (number, bundle) in bundles(files).enumerate() {
        let count = bundle["entry"].as_array().unwrap().len() as f64;
        let bill = world.bill(async |client| drop(ok(client, "POST", "", &bundle).await)).await;
        log += Bill::of(&indexing_services.dynamodb.take_recorded()).writes("F");
        indexing_services.dynamodb.record();
        if bundle["type"] == "batch" {
            // Each entry a conditional create of its own: version, look-up, claim, manifest and record.
            let units = world.line("conditional create by identifier", &bill, count, "not supported");
            if number > 0 {
                // Some of the second are there already.
                world.lines.pop();
            }
            assert!(units.writes <= 5.1, "{units:?}");
            continue;
        }
        let versions = bill.writes("R");
        let identified = without(&bill, &["I"]);
        let units = world.line("entry of a transaction of Synthea, its identifiers aside", &identified, count, "4 writes of the item");
        if number > 2 {
            // One line of the kind is enough.
            world.lines.pop();
        }
        assert!(units.writes - (versions / count - 1.0) <= 1.1, "{units:?}, of which {versions} for {count} versions");
        let units = bill.of_tenants();
        (entries, all.writes, all.reads) = (entries + count, all.writes + units.writes, all.reads + units.reads);
        resources.extend(bundle["entry"].as_array().unwrap().iter().map(|entry| entry["resource"].clone()));
    }
    let caught_up = world.client.get("Patient?_summary=count").await;
    assert_eq!(caught_up.status, 200, "{}", caught_up.text());
    // Some of it is of the batches.
    log += Bill::of(&indexing_services.dynamodb.take_recorded()).writes("F");
    all.writes += log;
    let of_all = Units { writes: all.writes / entries, reads: all.reads / entries };
    world.lines.push(Line {
        operation: "entry of Synthea, all in all (log and marks as well)",
        units: of_all,
        searches: 0.0,
        theirs: "4 writes of the item",
    });
    println!("{entries} entries, {:.0} write units, {:.0} read units in all; {log:.0} of the log", all.writes, all.reads);
    assert!(of_all.writes <= 1.4, "{of_all:?}");

    singles(&mut world, &resources).await;
    batches(&mut world, &indexing_services).await;
    world.print();
    world.node.stop().await;
    indexing.stop().await;
}

fn without(bill: &Bill, kinds: &[&str]) -> Bill {
    Bill(bill.0.iter().filter(|(kind, _)| !kinds.contains(&kind.as_str())).map(|(kind, units)| (kind.clone(), *units)).collect())
}

/// Single changes of typical resources, reads and searches.
async fn singles(world: &mut World, resources: &[Value]) {
    let typical = |name: &str| {
        let mut of_type: Vec<Value> = resources.iter().filter(|resource| resource["resourceType"] == name).cloned().collect();
        of_type.sort_by_key(|resource| resource.to_string().len());
        let mut resource = of_type[of_type.len() / 2].clone();
        resource
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name == "resourceType" || !["id", "subject", "encounter", "text"].contains(&name.as_str()));
        resource
    };
    let observation = typical("Observation");
    let mut id = String::new();
    let bill =
        world.bill(async |client| id = ok(client, "POST", "Observation", &observation).await["id"].as_str().unwrap().to_owned()).await;
    let units = world.line("create", &bill, 1.0, "1.19 $ a million; 4 writes of the item in a bundle");
    assert_eq!(units.writes, 1.0, "{bill:?}");
    let name = format!("Observation/{id}");

    let mut again = observation.clone();
    again["id"] = json!(id);
    again["status"] = json!("amended");
    let bill = world.bill(async |client| drop(ok(client, "PUT", &name, &again).await)).await;
    let units = world.line("update", &bill, 1.0, "9.6 $ a million; 4 writes of old and new item in a bundle");
    assert_eq!((units.writes, units.reads), (1.0, 1.0), "{bill:?}");
    // Where it is alone, and not shared with other accesses of the same moment. The first of an hour notes it besides.
    let record = Units { writes: bill.writes("A"), reads: bill.reads("A") };
    world.lines.push(Line {
        operation: "the record of a change in the log of accesses",
        units: record,
        searches: 0.0,
        theirs: "nothing is logged",
    });
    assert!((1.0..=2.0).contains(&record.writes) && record.reads == 0.0, "{bill:?}");

    let bill = world.bill(async |client| drop(ok(client, "GET", &name, &Value::Null).await)).await;
    let units = world.line("read", &bill, 1.0, "1 read of the item");
    assert_eq!((units.writes, units.reads), (0.0, 1.0), "{bill:?}");
    let version = format!("{name}/_history/1");
    let bill = world.bill(async |client| drop(ok(client, "GET", &version, &Value::Null).await)).await;
    let units = world.line("vread", &bill, 1.0, "1 read of the item");
    assert_eq!((units.writes, units.reads), (0.0, 0.5), "{bill:?}");

    // An identifier costs one more.
    let mut identified = observation.clone();
    identified["identifier"] = json!([{ "system": "urn:costs", "value": "1" }]);
    let bill = world.bill(async |client| drop(ok(client, "POST", "Observation", &identified).await)).await;
    let units = world.line("create with an identifier", &bill, 1.0, "4 writes of the item in a bundle");
    assert_eq!((bill.writes("R"), bill.writes("I"), units.writes), (1.0, 1.0, 2.0), "{bill:?}");

    let bill = world.bill(async |client| drop(ok(client, "GET", "Observation?_count=10", &Value::Null).await)).await;
    let units = world.line("search with 10 hits", &bill, 1.0, "1 request to Elasticsearch");
    assert!(units.writes == 0.0 && units.reads <= 12.0 && world.searches <= 4.0, "{bill:?}, {} requests", world.searches);

    let bill = world.bill(async |client| drop(ok(client, "DELETE", &name, &Value::Null).await)).await;
    let units = world.line("delete", &bill, 1.0, "");
    assert_eq!((units.writes, units.reads), (1.0, 1.0), "{bill:?}");

    // A client's mark is renewed at most once a second.
    let begun = Instant::now();
    let mut writes = 0;
    let bill = world
        .bill(async |client| {
            while writes < 40 || begun.elapsed() < Duration::from_secs(2) {
                drop(ok(client, "POST", "Observation", &observation).await);
                writes += 1;
            }
        })
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{writes} creates in {seconds:.1} s: {} write units of marks", bill.writes("M"));
    assert!(bill.writes("M") <= seconds.ceil() + 1.0, "{bill:?} in {seconds} s");

    // A version of a transaction: the first time a node meets it, its record is read as well.
    let transaction = json!({ "resourceType": "Bundle", "type": "transaction", "entry": (0..3).map(|number| json!({
        "resource": { "resourceType": "Basic", "id": format!("b{number}"), "code": { "text": "x" } },
        "request": { "method": "PUT", "url": format!("Basic/b{number}") },
    })).collect::<Vec<_>>() });
    let bill = world.bill(async |client| drop(ok(client, "POST", "", &transaction).await)).await;
    println!("a transaction of 3 entries: {:?}", bill.0);
    let bill = world.bill(async |client| drop(ok(client, "GET", "Basic/b0", &Value::Null).await)).await;
    let units = world.line("read of a transaction's entry by the node that wrote it", &bill, 1.0, "1 read of the item");
    assert_eq!(units.reads, 1.0, "{bill:?}");
}

/// What the indexer writes for batches of single changes: a unit each. One of more than some 50 changes takes a further unit for as
/// many, at 17 bytes a change.
async fn batches(world: &mut World, indexing: &Services) {
    let basic = json!({ "resourceType": "Basic", "code": { "text": "x" } });
    // The hour and the type are noted once.
    drop(ok(&world.client, "POST", "Basic", &basic).await);
    let caught_up = world.client.get("Basic?_summary=count").await;
    assert_eq!(caught_up.status, 200);
    indexing.dynamodb.record();
    indexing.opensearch.record();
    for _ in 0..40 {
        drop(ok(&world.client, "POST", "Basic", &basic).await);
    }
    let found = world.client.get("Basic?_summary=count").await.json();
    assert_eq!(found["total"].as_u64(), Some(44), "{found}");
    let passed = indexing.dynamodb.take_recorded();
    let brought = |passed: &&Passed| {
        passed.0.operation() == "GetRecords"
            && passed.1.as_ref().is_some_and(|answer| String::from_utf8_lossy(&answer.body).contains("#R#Basic#"))
    };
    let batches = passed.iter().filter(brought).count() as f64;
    let indexed = indexing.opensearch.take_recorded().len() as f64;
    let bill = Bill::of(&passed);
    println!("{batches} batches of the indexer: {:?}", bill.0);
    world.lines.push(Line {
        operation: "a batch of the indexer",
        units: Units { writes: bill.writes("F") / batches, reads: bill.reads("R") / batches },
        searches: indexed / batches,
        theirs: "nothing is logged",
    });
    assert!(bill.writes("F") <= batches, "{bill:?} of {batches} batches");
}
