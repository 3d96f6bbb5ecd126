//! Faults of the services of the profile aws, in their own words, by chance from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::{Fault, FaultProxy, ProxiedAnswer, ProxiedRequest};

/// Records of a stream that may come again.
const REPLAYED_MAX: usize = 200;

/// What goes wrong ahead of one service: for each request, each mischief in turn is given its chance.
pub struct FaultPlan {
    mischiefs: Vec<Mischief>,
    is_on: AtomicBool,
    state: Mutex<State>,
}

struct State {
    chance: StdRng,
    injected: BTreeMap<&'static str, u64>,
}

/// Something that goes wrong now and then.
pub struct Mischief {
    name: &'static str,
    /// Of a thousand requests that it concerns.
    permille: u32,
    /// How often it happens at most.
    times_max: u64,
    concerns: fn(&ProxiedRequest) -> bool,
    make: MakeFault,
}

/// `None`: this request does not suit.
type MakeFault = Box<dyn Fn(&ProxiedRequest, &mut StdRng) -> Option<Fault> + Send + Sync>;

impl Mischief {
    /// A fault that is always the same.
    pub fn new(name: &'static str, permille: u32, fault: Fault) -> Self {
        Self::made(name, permille, move |_, _| Some(fault.clone()))
    }

    /// A fault that is made for the request.
    pub fn made(
        name: &'static str,
        permille: u32,
        make: impl Fn(&ProxiedRequest, &mut StdRng) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { name, permille, times_max: u64::MAX, concerns: |_| true, make: Box::new(make) }
    }

    /// Only to requests of which this holds.
    #[must_use]
    pub fn concerning(self, concerns: fn(&ProxiedRequest) -> bool) -> Self {
        Self { concerns, ..self }
    }

    /// No more often than this.
    #[must_use]
    pub fn at_most(self, times_max: u64) -> Self {
        Self { times_max, ..self }
    }
}

impl FaultPlan {
    /// A plan that is on; equal seeds make equal choices for equal requests in equal order.
    pub fn new(seed: u64, mischiefs: Vec<Mischief>) -> Arc<Self> {
        let state = State { chance: StdRng::seed_from_u64(seed), injected: BTreeMap::new() };
        Arc::new(Self { mischiefs, is_on: AtomicBool::new(true), state: Mutex::new(state) })
    }

    /// Lets it decide what passes a proxy.
    pub fn install(self: &Arc<Self>, proxy: &FaultProxy) {
        let plan = Arc::clone(self);
        proxy.set_rule(move |request| plan.choose(request));
    }

    /// Lets everything pass from now on, or no more.
    pub fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// How often each mischief happened.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).injected.clone()
    }

    fn choose(&self, request: &ProxiedRequest) -> Option<Fault> {
        if !self.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { chance, injected } = &mut *state;
        for mischief in self.mischiefs.iter().filter(|mischief| (mischief.concerns)(request)) {
            let times = injected.entry(mischief.name).or_default();
            if *times < mischief.times_max
                && chance.random_ratio(mischief.permille, 1_000)
                && let Some(fault) = (mischief.make)(request, chance)
            {
                *times += 1;
                return Some(fault);
            }
        }
        None
    }
}

/// An error of DynamoDB or its streams.
pub fn dynamodb_error(status: u16, name: &str) -> Fault {
    Fault::Answer(ProxiedAnswer::aws_error(status, &format!("com.amazonaws.dynamodb.v20120810#{name}")))
}

/// An error of KMS or SQS.
pub fn aws_error(status: u16, name: &str) -> Fault {
    Fault::Answer(ProxiedAnswer::aws_error(status, name))
}

/// An error of S3.
pub fn s3_error(status: u16, code: &str) -> Fault {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>injected</Message><RequestId>0</RequestId></Error>"
    );
    let mut answer = ProxiedAnswer::json(status, &Value::Null);
    answer.headers.insert("content-type", "application/xml".parse().expect("a value of a header"));
    Fault::Answer(ProxiedAnswer { body: body.into(), ..answer })
}

/// An error of OpenSearch.
pub fn opensearch_error(status: u16, kind: &str) -> Fault {
    let cause = json!({"type": kind, "reason": "injected"});
    Fault::Answer(ProxiedAnswer::json(
        status,
        &json!({"error": {"root_cause": [cause], "type": kind, "reason": "injected"}, "status": status}),
    ))
}

/// A bulk request of which some items never reach the index: their results, within an answer of 200, say that it is too busy.
pub fn partial_bulk(request: &ProxiedRequest, chance: &mut StdRng) -> Option<Fault> {
    let text = std::str::from_utf8(&request.body).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let items: Vec<(&[&str], bool)> = lines.chunks(2).map(|item| (item, chance.random_bool(0.3))).collect();
    if items.iter().all(|(_, fails)| !fails) {
        return None;
    }
    let passing: Vec<&str> = items.iter().filter(|(_, fails)| !fails).flat_map(|(item, _)| item.iter().copied()).collect();
    let refused = |action: &str| {
        let action: Value = serde_json::from_str(action).unwrap_or_default();
        let error = json!({"type": "es_rejected_execution_exception", "reason": "injected"});
        json!({"index": {"_index": action["index"]["_index"], "_id": action["index"]["_id"], "status": 429, "error": error}})
    };
    // In the place of each item: its refusal, or `None` for what the index says.
    let results: Vec<Option<Value>> = items.iter().map(|(item, fails)| fails.then(|| refused(item[0]))).collect();
    let merge = move |answer: ProxiedAnswer| {
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(passed) = body["items"].as_array_mut().map(std::mem::take) else { return answer };
        let mut passed = passed.into_iter();
        body["items"] = results.iter().filter_map(|refused| refused.clone().or_else(|| passed.next())).collect();
        body["errors"] = true.into();
        ProxiedAnswer { body: body.to_string().into(), ..answer }
    };
    if passing.is_empty() {
        return Some(Fault::Answer(merge(ProxiedAnswer::json(200, &json!({"took": 0, "errors": true, "items": []})))));
    }
    Some(Fault::Part(Bytes::from(passing.join("\n") + "\n"), Arc::new(merge)))
}

/// Makes answers of a stream tell things again, too early and out of order.
///
/// What comes ahead of the true records carries the place of the last record told before, so that a reader who goes on from
/// there misses nothing.
pub fn repeating_stream() -> impl Fn(&ProxiedRequest, &mut StdRng) -> Option<Fault> + Send + Sync + 'static {
    let told: Arc<Mutex<VecDeque<Value>>> = Arc::default();
    move |request, chance| {
        if request.operation() != "GetRecords" {
            return None;
        }
        let (told, seed) = (Arc::clone(&told), chance.random::<u64>());
        Some(Fault::Change(Arc::new(move |mut answer| {
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let Some(records) = body["Records"].as_array_mut() else { return answer };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let mut chance = StdRng::seed_from_u64(seed);
            if let Some(place) = told.back().map(|record| record["dynamodb"]["SequenceNumber"].clone()) {
                let mut ahead: Vec<Value> = told.iter().filter(|_| chance.random_bool(0.1)).cloned().collect();
                ahead.extend(records.iter().cloned());
                ahead.shuffle(&mut chance);
                for record in &mut ahead {
                    record["dynamodb"]["SequenceNumber"] = place.clone();
                }
                told.extend(records.iter().cloned());
                ahead.append(records);
                *records = ahead;
            } else {
                told.extend(records.iter().cloned());
            }
            let excess = told.len().saturating_sub(REPLAYED_MAX);
            told.drain(..excess);
            // It is of what the service gave.
            answer.headers.remove("x-amz-crc32");
            ProxiedAnswer { body: body.to_string().into(), ..answer }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{HeaderMap, Method};

    fn request(target: &str, body: &str) -> ProxiedRequest {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", target.parse().unwrap());
        ProxiedRequest { method: Method::POST, path: "/".into(), headers, body: body.to_owned().into(), number: 0 }
    }

    #[test]
    fn chance_keeps_to_seed_share_and_limit() {
        let plan = |seed| {
            FaultPlan::new(
                seed,
                vec![
                    Mischief::new("first", 1_000, Fault::Drop).at_most(2),
                    Mischief::new("reads", 500, Fault::Cut).concerning(|request| request.operation() == "GetItem"),
                ],
            )
        };
        let run = |seed| {
            let plan = plan(seed);
            let chosen: Vec<bool> = (0..200).map(|_| plan.choose(&request("X.GetItem", "")).is_some()).collect();
            assert!(plan.choose(&request("X.PutItem", "")).is_none());
            plan.switch(false);
            assert!(plan.choose(&request("X.GetItem", "")).is_none());
            (chosen, plan.injected())
        };
        let (chosen, injected) = run(1);
        assert_eq!(run(1).0, chosen);
        assert_ne!(run(2).0, chosen);
        assert_eq!(injected["first"], 2);
        assert!((60..140).contains(&injected["reads"]), "{injected:?}");
    }

    #[test]
    fn of_a_bulk_some_items_pass_and_results_keep_their_places() {
        let lines: String = (0..20).map(|id| format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{{\"n\":{id}}}\n")).collect();
        let bulk = request("", &lines);
        let Some(Fault::Part(body, change)) = partial_bulk(&bulk, &mut StdRng::seed_from_u64(1)) else {
            panic!("nothing was made to fail")
        };
        let passed: Vec<Value> =
            std::str::from_utf8(&body).unwrap().lines().step_by(2).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(passed.len() < 20 && body.ends_with(b"\n"));
        let done = passed.iter().map(|action| json!({"index": {"_id": action["index"]["_id"], "status": 201}})).collect::<Value>();
        let answer = change(ProxiedAnswer::json(200, &json!({"errors": false, "items": done})));
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let items = answer["items"].as_array().unwrap();
        assert!(
            items.iter().enumerate().all(|(id, item)| item["index"]["_id"].as_str().and_then(|own| own.parse().ok()) == Some(id)),
            "{items:?}"
        );
        assert_eq!(items.iter().filter(|item| item["index"]["status"] == 429).count(), 20 - passed.len());
    }

    #[test]
    fn a_stream_tells_again_and_too_early_but_moves_no_place_ahead() {
        let make = repeating_stream();
        let mut chance = StdRng::seed_from_u64(1);
        let mut tell = |numbers: std::ops::Range<u32>| -> Vec<(String, u64)> {
            let Some(Fault::Change(change)) = make(&request("X.GetRecords", ""), &mut chance) else { panic!("nothing was changed") };
            let records: Value = numbers.map(|n| json!({"dynamodb": {"SequenceNumber": format!("{n:03}"), "n": n}})).collect();
            let answer = change(ProxiedAnswer::json(200, &json!({"Records": records})));
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let record = |record: &Value| {
                let data = &record["dynamodb"];
                (data["SequenceNumber"].as_str().unwrap().to_owned(), data["n"].as_u64().unwrap())
            };
            body["Records"].as_array().unwrap().iter().map(record).collect()
        };
        assert_eq!(tell(0..50).len(), 50);
        let told = tell(50..60);
        let (ahead, as_it_is) = told.split_at(told.len() - 10);
        assert!(as_it_is.iter().map(|(_, n)| *n).eq(50..60));
        assert!(ahead.iter().all(|(place, _)| place == "049") && ahead.len() > 10);
        assert!((50..60).all(|n| ahead.iter().any(|(_, early)| *early == n)));
        assert!(!ahead.is_sorted());
        assert!(make(&request("X.DescribeStream", ""), &mut chance).is_none());
    }
}
