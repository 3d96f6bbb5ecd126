//! Clients that contend for the same resources through two nodes while every service fails in every way: what was acknowledged
//! happened, once and whole; what was refused was refused honestly; then searches and histories tell just what the store holds.
//!
//! The short form runs with every test; `FHIRPOOL_TURMOIL_SECONDS` asks for a long one, in which services also fall silent.

mod ledger;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fhirpool_server::config::Given;
use fhirpool_testkit::faults::{
    FaultPlan, Mischief, aws_error, dynamodb_error, opensearch_error, partial_bulk, repeating_stream, s3_error,
};
use fhirpool_testkit::{Client, Deployment, Fault};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::ledger::Ledger;
use super::Services;
use crate::settings::setting;

const TENANT: &str = "turmoil";
const CLIENTS: u64 = 5;
const SHORT_SECONDS: u64 = 10;
/// Longest that the index may take to catch up once nothing fails any more.
const CATCH_UP: Duration = Duration::from_secs(90);

/// What goes wrong ahead of DynamoDB and its streams.
fn of_dynamodb(seed: u64, is_long: bool) -> Arc<FaultPlan> {
    FaultPlan::new(
        seed,
        vec![
            Mischief::new("dynamodb throttles", 30, dynamodb_error(400, "ProvisionedThroughputExceededException")),
            Mischief::new("dynamodb limits", 10, dynamodb_error(400, "ThrottlingException")),
            Mischief::new("dynamodb fails", 20, dynamodb_error(500, "InternalServerError")),
            Mischief::new("dynamodb is cut off", 30, Fault::Cut),
            Mischief::new("dynamodb is not reached", 10, Fault::Drop),
            Mischief::new("dynamodb is late", 10, Fault::Late(Duration::from_millis(200))),
            Mischief::new("dynamodb is silent", 2, Fault::Stall).at_most(if is_long { u64::MAX } else { 3 }),
            Mischief::made("the stream repeats itself", 500, repeating_stream()),
        ],
    )
}

fn of_opensearch(seed: u64, is_long: bool) -> Arc<FaultPlan> {
    FaultPlan::new(
        seed,
        vec![
            Mischief::new("opensearch rejects", 40, opensearch_error(429, "rejected_execution_exception")),
            Mischief::new("opensearch is unavailable", 20, opensearch_error(503, "cluster_block_exception")),
            Mischief::new("opensearch is cut off", 30, Fault::Cut),
            Mischief::new("opensearch is not reached", 10, Fault::Drop),
            Mischief::new("opensearch is silent", 1, Fault::Stall).at_most(if is_long { u64::MAX } else { 0 }),
            Mischief::made("opensearch takes a part", 300, partial_bulk).concerning(|request| request.path.contains("/_bulk")),
        ],
    )
}

fn of_s3(seed: u64) -> Arc<FaultPlan> {
    FaultPlan::new(
        seed,
        vec![
            Mischief::new("s3 slows down", 150, s3_error(503, "SlowDown")),
            Mischief::new("s3 fails", 50, s3_error(500, "InternalError")),
            Mischief::new("s3 is cut off", 100, Fault::Cut),
            Mischief::new("s3 is not reached", 50, Fault::Drop),
        ],
    )
}

fn of_kms(seed: u64) -> Arc<FaultPlan> {
    FaultPlan::new(
        seed,
        vec![
            Mischief::new("kms fails", 300, aws_error(500, "KMSInternalException")),
            Mischief::new("kms is cut off", 100, Fault::Cut),
            Mischief::new("kms is not reached", 100, Fault::Drop),
        ],
    )
}

/// Lets one service after the other refuse all connections for a while.
async fn outages(services: &Services, seed: u64, until: Instant) -> u64 {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut count = 0;
    loop {
        let pause = Duration::from_millis(chance.random_range(500..1_500));
        if Instant::now() + pause >= until {
            return count;
        }
        tokio::time::sleep(pause).await;
        let proxy = [&services.dynamodb, &services.opensearch, &services.s3, &services.kms][chance.random_range(0..4)];
        proxy.refuse().await;
        count += 1;
        tokio::time::sleep(Duration::from_millis(chance.random_range(200..2_500))).await;
        proxy.listen_again().await;
    }
}

/// Waits until the index holds everything.
async fn catch_up(client: &Client) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = client.send("GET", "Observation?_count=1", &[("x-consistency", "tenant")], "").await;
        if answer.status == 200 && !answer.text().contains("\"mode\":\"outcome\"") {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < CATCH_UP, "the index does not catch up: {} {}", answer.status, answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_happened_once_and_is_found() {
    let seed = setting("FHIRPOOL_SEED").unwrap_or_else(rand::random);
    let seconds = setting("FHIRPOOL_TURMOIL_SECONDS").unwrap_or(SHORT_SECONDS);
    println!("turmoil: {seconds} s, FHIRPOOL_SEED={seed}");
    let is_long = seconds > SHORT_SECONDS;
    let deployment = Arc::new(Deployment::create().await);
    let services = Services::start().await;
    let given = || Given { search_wait_ms_max: Some(3_000), ..Given::default() };
    let nodes = [services.node(&deployment, &[TENANT], given()).await, services.node(&deployment, &[TENANT], given()).await];
    let mut shared = Ledger::default();
    shared.begin(&nodes[0].client(TENANT)).await;

    services.sqs.record();
    let plans = [of_dynamodb(seed, is_long), of_opensearch(seed, is_long), of_s3(seed), of_kms(seed)];
    let proxies = [&services.dynamodb, &services.opensearch, &services.s3, &services.kms];
    plans.iter().zip(proxies).for_each(|(plan, proxy)| plan.install(proxy));
    let until = Instant::now() + Duration::from_secs(seconds);
    let working: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let node = &nodes[number as usize % nodes.len()];
            let token = node.token_for(TENANT, &format!("subject-{number}"), &["practitioner"]);
            let client = Client::new(format!("{}/tenant/{TENANT}", node.root()), Some(token));
            tokio::spawn(ledger::work(client, number, seed, until))
        })
        .collect();
    let outages = outages(&services, seed, until).await;
    let mut ledgers = vec![shared];
    for ledger in working {
        ledgers.push(ledger.await.unwrap());
    }
    plans.iter().for_each(|plan| plan.switch(false));
    proxies.iter().for_each(|proxy| proxy.clear_rule());

    let client = nodes[0].client(TENANT);
    let caught_up = catch_up(&client).await;
    let ledger = Ledger::together(ledgers);
    let wrong = verdict::of(&ledger, &client, &deployment).await;
    let injected: Vec<_> = plans.iter().flat_map(|plan| plan.injected()).collect();
    println!("turmoil: {outages} outages, and {injected:?}");
    println!(
        "turmoil: {} writes acknowledged, {} undecided, {} refused by right; caught up {} ms after the last fault",
        ledger.acknowledged(),
        ledger.undecided(),
        ledger.refused,
        caught_up.as_millis()
    );
    assert!(wrong.is_empty(), "FHIRPOOL_SEED={seed}\n{}", wrong.join("\n"));
    let letters = services.sqs.take_recorded().iter().filter(|(request, _)| request.operation().starts_with("SendMessage")).count();
    assert_eq!(letters, 0, "what a service refuses for now is no dead letter");
    assert!(ledger.acknowledged() > CLIENTS as usize, "too little was acknowledged to show anything");
    for node in nodes {
        node.stop().await;
    }
}
