//! The same data in both profiles: every search gives the same ids in the same order, page by page, and the same total.
//!
//! The short form loads some of Synthea's bundles; `FHIRPOOL_DIFFERENTIAL_FILES` and `FHIRPOOL_DIFFERENTIAL_QUERIES` ask for
//! more. The seed of the queries is printed and taken from `FHIRPOOL_SEED`.

mod queries;
mod samples;

use std::path::Path;
use std::time::{Duration, Instant};

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, TestServer};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use queries::random_query;
use samples::Samples;

use crate::settings::setting;
use crate::synthea;

const TENANT: &str = "synthea";
/// A machine that does much else besides answers late now and then.
const TRIES_AGAIN_MAX: u32 = 3;
/// How long the index may take to catch up.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(600);
/// Pages of one search that are compared.
const PAGES_MAX: usize = 6;

/// A bundle whose entries are put under the ids that their resources bring along.
fn bundle(path: &Path) -> Value {
    let mut bundle: Value = serde_json::from_str(&synthea::bundle(path)).unwrap();
    for entry in bundle["entry"].as_array_mut().unwrap() {
        let resource = &entry["resource"];
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        entry["request"] = json!({"method": "PUT", "url": url});
    }
    bundle
}

/// Sends a file's bundle, again where the server says so, as every client must: its entries are updates.
async fn load(client: &Client, text: String, file: &Path) {
    for again in 0.. {
        let response = client.send("POST", "", &[("prefer", "return=minimal")], text.clone()).await;
        if response.status == 503 && again < TRIES_AGAIN_MAX {
            println!("differential: {} is sent again", file.display());
            continue;
        }
        let failure = || format!("{}: {} {}", file.display(), response.status, response.text().chars().take(500).collect::<String>());
        assert_eq!(response.status, 200, "{}", failure());
        return;
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    ids: Vec<String>,
    total: Option<u64>,
    is_last: bool,
}

/// A profile's answer to one request; the link of the next page. Fails if the index says that it may lack something.
async fn page(client: &Client, url: &str) -> Result<(Page, Option<String>), u16> {
    let response = client.send("GET", url, &[("x-consistency", "eventual")], "").await;
    if response.status != 200 {
        return Err(response.status);
    }
    let bundle = response.json();
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |entry: &Value| {
        format!("{}/{}", entry["resource"]["resourceType"].as_str().unwrap_or("?"), entry["resource"]["id"].as_str().unwrap_or("?"))
    };
    let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
    let next = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str()).map(str::to_owned);
    Ok((Page { ids: entries.iter().map(name).collect(), total: bundle["total"].as_u64(), is_last: next.is_none() }, next))
}

/// Waits until a search of everything that was acknowledged is answered without a warning.
async fn wait_until_caught_up(client: &Client) {
    let begun = Instant::now();
    loop {
        let response = client.send("GET", "Patient?_count=1", &[("x-consistency", "tenant")], "").await;
        assert_eq!(response.status, 200, "{}", response.text());
        let bundle = response.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        if entries.iter().all(|entry| entry["search"]["mode"] != "outcome") {
            println!("differential: the index caught up {} ms after the load", begun.elapsed().as_millis());
            return;
        }
        assert!(begun.elapsed() < CATCHES_UP_WITHIN, "the index does not catch up");
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1_000.0
}

/// What is different; what it took each profile.
struct Comparison {
    wrong: Vec<String>,
    refused: usize,
    pages: usize,
    hits: usize,
    times: [Vec<Duration>; 2],
}

impl Comparison {
    /// Follows one search in both profiles.
    async fn compare(&mut self, clients: [&Client; 2], query: &str) {
        let mut urls = [query.to_owned(), query.to_owned()];
        for number in 0..PAGES_MAX {
            let mut answers = Vec::new();
            for (profile, client) in clients.into_iter().enumerate() {
                let begun = Instant::now();
                answers.push(page(client, &urls[profile]).await);
                self.times[profile].push(begun.elapsed());
            }
            self.pages += 1;
            match (&answers[0], &answers[1]) {
                (Ok((one, next)), Ok((other, other_next))) => {
                    self.hits += one.ids.len();
                    if one != other {
                        return self.wrong.push(format!("{query}, page {number}:\n   embedded {one:?}\n   aws      {other:?}"));
                    }
                    let (Some(next), Some(other_next)) = (next, other_next) else { return };
                    urls = [next.clone(), other_next.clone()];
                }
                (Err(one), Err(other)) if one == other => {
                    self.refused += 1;
                    return;
                }
                (one, other) => {
                    let status = |answer: &Result<(Page, Option<String>), u16>| answer.as_ref().err().copied().unwrap_or(200);
                    return self.wrong.push(format!("{query}, page {number}: embedded {}, aws {}", status(one), status(other)));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_profiles_answer_alike() {
    let count = setting("FHIRPOOL_DIFFERENTIAL_FILES").unwrap_or(4);
    let queries = setting("FHIRPOOL_DIFFERENTIAL_QUERIES").unwrap_or(150);
    let seed = setting("FHIRPOOL_SEED").unwrap_or_else(rand::random);
    println!("differential: FHIRPOOL_SEED={seed}");
    let embedded = TestServer::start(&[TENANT]).await;
    let given = Given { search_wait_ms_max: Some(10_000), ..Given::default() };
    let aws = TestServer::start_on(Profile::Aws, &[TENANT], given).await;
    let clients = [embedded.client(TENANT), aws.client(TENANT)];
    let mut samples = Samples::new(seed);
    let (mut resources, mut took) = (0, [Duration::ZERO; 2]);
    for file in synthea::files().iter().take(count) {
        let bundle = bundle(file);
        let text = bundle.to_string();
        for (client, took) in clients.iter().zip(&mut took) {
            let begun = Instant::now();
            load(client, text.clone(), file).await;
            *took += begun.elapsed();
        }
        for entry in bundle["entry"].as_array().unwrap() {
            samples.take(&entry["resource"]);
            resources += 1;
        }
    }
    println!("differential: loaded {resources} resources in {} s embedded, {} s aws", took[0].as_secs(), took[1].as_secs());
    wait_until_caught_up(&clients[1]).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut compared = Comparison { wrong: Vec::new(), refused: 0, pages: 0, hits: 0, times: [Vec::new(), Vec::new()] };
    for _ in 0..queries {
        let query = random_query(&mut random, &samples);
        compared.compare([&clients[0], &clients[1]], &query).await;
    }
    for (times, profile) in compared.times.iter_mut().zip(["embedded", "aws"]) {
        times.sort_unstable();
        println!(
            "differential: {profile} answered in p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
            percentile(times, 50),
            percentile(times, 90),
            percentile(times, 99),
            percentile(times, 100)
        );
    }
    let Comparison { wrong, refused, pages, hits, .. } = &compared;
    println!("differential: {queries} searches, {pages} pages with {hits} hits, {refused} refused by both, {} different", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(20)].join("\n"));
    assert!(*refused as u64 * 20 < queries, "too many searches are refused");
    assert!(*hits as u64 > queries, "the searches find too little to show anything");
    embedded.stop().await;
    aws.stop().await;
}
