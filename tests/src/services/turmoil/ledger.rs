//! What clients did, and were told of it.

use std::time::Instant;

use fhirpool_testkit::{Client, Response};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Resources that all clients change by `If-Match`.
const SHARED: [&str; 3] = ["shared-0", "shared-1", "shared-2"];
/// Resources of each client that only it changes.
const OWN: u32 = 12;
/// Tries of a conditional create that is told to come again.
const TRIES_MAX: usize = 4;
/// Characters of a text that does not fit into the store's items.
const LARGE: usize = 500_000;

/// A request to make versions, told apart by a token that no other has.
#[derive(Debug)]
pub(super) struct Write {
    pub token: String,
    /// Otherwise it happened wholly or not at all.
    pub acknowledged: bool,
    /// The versions that it makes, as far as they are known.
    pub places: Vec<Place>,
}

/// A version.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub id: Option<String>,
    pub version: Option<u64>,
}

/// A conditional create.
#[derive(Debug)]
pub(super) struct Keyed {
    /// The identifier that is to be there once.
    pub key: String,
    pub token: String,
    /// What there is, as the client was told.
    pub id: Option<String>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub writes: Vec<Write>,
    pub keyed: Vec<Keyed>,
    /// Ids, and whether it was acknowledged that they are gone.
    pub deletes: Vec<(String, bool)>,
    /// Refusals by right: a precondition, another write.
    pub refused: u64,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// What an answer says of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Done,
    /// It did not happen.
    Refused,
    Unknown,
}

impl Ledger {
    /// Makes what clients are to contend for.
    pub async fn begin(&mut self, client: &Client) {
        for id in SHARED {
            let token = format!("begin-{id}");
            let answer = client.put(&format!("Observation/{id}"), observation(Some(id), &token, None)).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            self.write(token, true, vec![Place { id: Some(id.to_owned()), version: Some(1) }]);
        }
    }

    /// All that was done.
    pub fn together(ledgers: Vec<Self>) -> Self {
        ledgers.into_iter().fold(Self::default(), |mut all, one| {
            all.writes.extend(one.writes);
            all.keyed.extend(one.keyed);
            all.deletes.extend(one.deletes);
            all.refused += one.refused;
            all.wrong.extend(one.wrong);
            all
        })
    }

    pub fn acknowledged(&self) -> usize {
        let keyed = self.keyed.iter().filter(|keyed| keyed.id.is_some()).count();
        self.writes.iter().filter(|write| write.acknowledged).count() + keyed
    }

    pub fn undecided(&self) -> usize {
        self.writes.len() + self.keyed.len() - self.acknowledged()
    }

    fn write(&mut self, token: String, acknowledged: bool, places: Vec<Place>) {
        self.writes.push(Write { token, acknowledged, places });
    }

    /// Reads the status of an answer; notes what no fault excuses.
    fn judge(&mut self, what: &str, answer: &Result<Response, String>, done: &[u16], refused: &[u16]) -> Said {
        let answer = match answer {
            Ok(answer) => answer,
            Err(cause) => {
                self.wrong.push(format!("{what}: no answer: {cause}"));
                return Said::Unknown;
            }
        };
        let status = answer.status;
        if done.contains(&status) {
            return Said::Done;
        }
        if status != 503 && !refused.contains(&status) {
            self.wrong.push(format!("{what}: {status} {}", answer.text()));
        } else if !answer.text().contains("\"OperationOutcome\"") || (status == 503 && answer.header("retry-after").is_empty()) {
            self.wrong.push(format!("{what}: {status} without outcome or Retry-After: {}", answer.text()));
        }
        if refused.contains(&status) {
            self.refused += 1;
            return Said::Refused;
        }
        Said::Unknown
    }
}

/// The text that goes with a token.
pub(super) fn text_of(token: &str) -> String {
    if !token.ends_with("-large") {
        return format!("said by {token}");
    }
    let mut noise = StdRng::seed_from_u64(token.bytes().fold(7, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte)));
    (0..LARGE).map(|_| char::from(noise.random_range(b'a'..=b'z'))).collect()
}

fn resource(id: Option<&str>, token: &str, key: Option<&str>) -> Value {
    let code = json!({"coding": [{"system": "urn:tokens", "code": token}]});
    let mut resource = json!({"resourceType": "Observation", "status": "final", "code": code, "note": [{"text": text_of(token)}]});
    if let Some(id) = id {
        resource["id"] = id.into();
    }
    if let Some(key) = key {
        resource["identifier"] = json!([{"system": "urn:keys", "value": key}]);
    }
    resource
}

fn observation(id: Option<&str>, token: &str, key: Option<&str>) -> String {
    resource(id, token, key).to_string()
}

/// The version that an answer's ETag names.
fn version(answer: &Response) -> Option<u64> {
    answer.header("etag").strip_prefix("W/\"")?.strip_suffix('"')?.parse().ok()
}

/// Id and version of `…/Observation/<id>/_history/<version>`.
fn place_at(location: &str) -> Place {
    let mut parts = location.rsplit('/');
    let version = parts.next().and_then(|version| version.parse().ok());
    Place { id: parts.nth(1).map(str::to_owned), version }
}

struct Worker {
    client: Client,
    number: u64,
    chance: StdRng,
    ledger: Ledger,
    tokens: u64,
    begun: Instant,
    /// What it created alone and has not deleted, by id, with its token.
    created: Vec<(String, String)>,
}

/// Does one thing after the other until it is time.
pub(super) async fn work(client: Client, number: u64, seed: u64, until: Instant) -> Ledger {
    let chance = StdRng::seed_from_u64(seed ^ (number + 1));
    let (ledger, begun, created) = (Ledger::default(), Instant::now(), Vec::new());
    let mut worker = Worker { client, number, chance, ledger, tokens: 0, begun, created };
    while Instant::now() < until {
        match worker.chance.random_range(0..100) {
            0..20 => worker.create().await,
            20..33 => worker.put("").await,
            33..52 => worker.step().await,
            52..68 => worker.create_keyed().await,
            68..82 => worker.transact().await,
            82..85 => worker.put("-large").await,
            85..90 => worker.delete().await,
            90..95 => worker.read().await,
            _ => worker.search().await,
        }
    }
    worker.ledger
}

impl Worker {
    fn token(&mut self, suffix: &str) -> String {
        self.tokens += 1;
        format!("c{}-{}{suffix}", self.number, self.tokens)
    }

    fn own(&mut self) -> String {
        format!("own-{}-{}", self.number, self.chance.random_range(0..OWN))
    }

    async fn create(&mut self) {
        let token = self.token("");
        let answer = self.client.try_send("POST", "Observation", &[], observation(None, &token, None)).await;
        let acknowledged = self.ledger.judge("create", &answer, &[201], &[]) == Said::Done;
        let place = answer.ok().filter(|_| acknowledged).map(|answer| place_at(answer.header("location"))).unwrap_or_default();
        if let Some(id) = &place.id {
            self.created.push((id.clone(), token.clone()));
        }
        self.ledger.write(token, acknowledged, vec![place]);
    }

    async fn put(&mut self, suffix: &str) {
        let (id, token) = (self.own(), self.token(suffix));
        let answer = self.client.try_send("PUT", &format!("Observation/{id}"), &[], observation(Some(&id), &token, None)).await;
        // 409: a transaction of its own to which there was no answer.
        let said = self.ledger.judge("update", &answer, &[200, 201], &[409]);
        let version = answer.ok().filter(|_| said == Said::Done).and_then(|answer| version(&answer));
        if said != Said::Refused {
            self.ledger.write(token, said == Said::Done, vec![Place { id: Some(id), version }]);
        }
    }

    /// The next version of a resource that others change too.
    async fn step(&mut self) {
        let id = *SHARED.choose(&mut self.chance).unwrap();
        let path = format!("Observation/{id}");
        let read = self.client.try_send("GET", &path, &[], "").await;
        if self.ledger.judge("read", &read, &[200], &[]) != Said::Done {
            return;
        }
        let tag = read.map(|read| read.header("etag").to_owned()).unwrap_or_default();
        let expected = tag.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>().unwrap();
        let token = self.token("");
        let answer = self.client.try_send("PUT", &path, &[("if-match", &tag)], observation(Some(id), &token, None)).await;
        let said = self.ledger.judge("update by If-Match", &answer, &[200], &[409, 412]);
        if said != Said::Refused {
            self.ledger.write(token, said == Said::Done, vec![Place { id: Some(id.to_owned()), version: Some(expected + 1) }]);
        }
    }

    /// All clients create the same at about the same time, and come again where they are told to.
    async fn create_keyed(&mut self) {
        let key = format!("k{}", self.begun.elapsed().as_millis() / 400);
        let token = self.token("");
        let condition = format!("identifier=urn:keys|{key}");
        let mut id = None;
        for _ in 0..TRIES_MAX {
            let body = observation(None, &token, Some(&key));
            let answer = self.client.try_send("POST", "Observation", &[("if-none-exist", &condition)], body).await;
            if self.ledger.judge("conditional create", &answer, &[200, 201], &[409]) == Said::Done {
                id = answer.ok().and_then(|answer| place_at(answer.header("location")).id);
                if id.is_none() {
                    self.ledger.wrong.push(format!("a conditional create of {key} is not told where"));
                }
                break;
            }
        }
        self.ledger.keyed.push(Keyed { key, token, id });
    }

    async fn transact(&mut self) {
        let token = self.token("");
        let (first, second) = (self.own(), self.own());
        let mut ids = vec![first, second];
        ids.dedup();
        let mut entries: Vec<Value> = ids
            .iter()
            .map(|id| {
                json!({"resource": resource(Some(id), &token, None), "request": {"method": "PUT", "url": format!("Observation/{id}")}})
            })
            .collect();
        entries.push(json!({"resource": resource(None, &token, None), "request": {"method": "POST", "url": "Observation"}}));
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let answer = self.client.try_send("POST", "", &[], bundle.to_string()).await;
        let said = self.ledger.judge("transaction", &answer, &[200], &[409]);
        let mut places: Vec<Place> = ids.into_iter().map(|id| Place { id: Some(id), version: None }).collect();
        places.push(Place::default());
        if let (Said::Done, Ok(answer)) = (said, &answer) {
            let bundle = answer.json();
            let told = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
            places = told.iter().map(|entry| place_at(entry["response"]["location"].as_str().unwrap_or_default())).collect();
        }
        if said != Said::Refused {
            self.ledger.write(token, said == Said::Done, places);
        }
    }

    async fn delete(&mut self) {
        let Some((id, _)) = self.created.pop() else { return };
        let answer = self.client.try_send("DELETE", &format!("Observation/{id}"), &[], "").await;
        let said = self.ledger.judge("delete", &answer, &[200, 204], &[]);
        self.ledger.deletes.push((id, said == Said::Done));
    }

    /// What was acknowledged is read.
    async fn read(&mut self) {
        let Some((id, token)) = self.created.choose(&mut self.chance).cloned() else { return };
        let answer = self.client.try_send("GET", &format!("Observation/{id}"), &[], "").await;
        if self.ledger.judge("read", &answer, &[200], &[]) == Said::Done && !answer.is_ok_and(|answer| answer.text().contains(&token)) {
            self.ledger.wrong.push(format!("{id} does not hold {token}"));
        }
    }

    /// What was acknowledged is found, or the answer says that something may be missing.
    async fn search(&mut self) {
        let Some((id, token)) = self.created.choose(&mut self.chance).cloned() else { return };
        let answer = self.client.try_send("GET", &format!("Observation?code=urn:tokens|{token}"), &[], "").await;
        if self.ledger.judge("search", &answer, &[200], &[]) == Said::Done
            && !answer.is_ok_and(|answer| answer.text().contains(&id) || answer.text().contains("\"mode\":\"outcome\""))
        {
            self.ledger.wrong.push(format!("{id} is not found by {token}, and nothing is said of it"));
        }
    }
}
