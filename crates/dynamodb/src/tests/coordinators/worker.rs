//! What a worker process does: commits, reads, and faults of its own.

use std::io::Write;
use std::sync::Mutex;

use fhirpool_fhir::VersionId;
use fhirpool_storage::conformance::{key, on, parts, put};
use fhirpool_storage::{Assumption, ChangeOutcome, CommitOutcome, StorageError};
use futures_util::FutureExt;

use super::*;
use crate::Step;
use crate::testing::read_access;

/// One of so many steps ends the process, and as many stall.
const STEPS_A_FAULT: usize = 60;

/// Appends lines, each whole before the next thing happens.
pub(super) struct Pen(Mutex<std::fs::File>);

impl Pen {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

pub(super) async fn run(prefix: &str, notes: &Path) {
    let random = Random::seeded("worker");
    let pen = Arc::new(Pen(Mutex::new(std::fs::File::create(notes).unwrap())));
    let client = Client::connect(settings(prefix)).await;
    let folder = notes.with_extension("content");
    let store = store(client, vec![tenant("a")], &folder, hasty());
    store.inject(faults(pen.clone(), random.fork(1)));
    let name = notes.file_stem().unwrap().to_str().unwrap().to_owned();
    // Two at once in one process, so that one goes on while the other stalls.
    let lives = [2, 3].map(|number| {
        let (store, pen, random, name) = (store.clone(), pen.clone(), random.fork(number), format!("{name}.{number}"));
        tokio::spawn(async move { live(&store, &pen, random, &name).await })
    });
    for life in lives {
        life.await.unwrap();
    }
}

/// Kills, and stalls beyond the deadline of a transaction, at random steps.
fn faults(pen: Arc<Pen>, random: Random) -> crate::Hook {
    let random = Mutex::new(random);
    Arc::new(move |step: Step| {
        let (choice, stall_ms) = {
            let mut random = random.lock().unwrap();
            (random.below(STEPS_A_FAULT), 200 + random.below(2_000) as u64)
        };
        match choice {
            0 => {
                pen.line(&format!("killed {step:?}"));
                std::process::abort();
            }
            1 => {
                pen.line(&format!("stalled {step:?}"));
                tokio::time::sleep(Duration::from_millis(stall_ms)).boxed()
            }
            _ => std::future::ready(()).boxed(),
        }
    })
}

async fn live(store: &DynamoStore, pen: &Pen, mut random: Random, name: &str) {
    for step in 0.. {
        let label = format!("{name}.{step}");
        match random.below(8) {
            0 | 1 => update(store, pen, &mut random, &label).await,
            2 | 3 => bundle(store, pen, &mut random, &label).await,
            4 => create(store, pen, &label).await,
            5 => look_at_one(store, pen, &mut random).await,
            _ => look(store, pen).await,
        }
    }
}

/// Counts one resource up, or writes it whatever is there.
async fn update(store: &DynamoStore, pen: &Pen, random: &mut Random, label: &str) {
    let name = random.pick(&NAMES);
    let Ok(newest) = store.read(&read_access("a"), &key(name)).await else { return };
    let version = newest.map(|newest| newest.version);
    let precondition = if random.below(2) == 0 { Precondition::Unchanged(version) } else { Precondition::None };
    commit(store, pen, label, vec![(name, version, precondition)]).await;
}

/// The same with several at once.
async fn bundle(store: &DynamoStore, pen: &Pen, random: &mut Random, label: &str) {
    let (first, count) = (random.below(NAMES.len()), 2 + random.below(3));
    let names: Vec<&str> = (0..count).map(|place| NAMES[(first + place) % NAMES.len()]).collect();
    let keys: Vec<ResourceKey> = names.iter().map(|name| key(name)).collect();
    let Ok(view) = store.view(&read_access("a")).await else { return };
    let Ok(read) = store.read_many(&read_access("a"), &view, &keys).await else { return };
    let changes = names.into_iter().zip(read).map(|(name, newest)| {
        let version = newest.map(|newest| newest.version);
        let precondition = if random.below(2) == 0 { Precondition::Unchanged(version) } else { Precondition::None };
        (name, version, precondition)
    });
    commit(store, pen, label, changes.collect()).await;
}

async fn commit(store: &DynamoStore, pen: &Pen, label: &str, changes: Vec<(&str, Option<VersionId>, Precondition)>) {
    let count = changes.len();
    let change = |(name, _, precondition): &(&str, _, Precondition)| {
        on(*precondition, put(name, &format!("\"language\":\"{label}\",\"implicitRules\":\"of {count}\"")))
    };
    let asked = Commit { changes: changes.iter().map(change).collect(), assumptions: Vec::new() };
    match store.commit(&write_access("a"), asked).await {
        Ok(CommitOutcome::Committed { changes: made, .. }) => {
            for ((name, read, precondition), ChangeOutcome { version, .. }) in changes.iter().zip(&made) {
                if matches!(precondition, Precondition::Unchanged(_)) {
                    let expected = VersionId(read.map_or(0, |read| read.0) + 1);
                    if *version != Some(expected) {
                        pen.line(&format!("lost {label} {name}"));
                    }
                }
            }
            let made = changes.iter().zip(made).map(|((name, ..), made)| format!("{name}={}", made.version.unwrap().0));
            pen.line(&format!("committed {label} {}", made.collect::<Vec<_>>().join(" ")));
        }
        Ok(_) => pen.line(&format!("refused {label}")),
        Err(StorageError::Busy) => pen.line(&format!("busy {label}")),
        Err(_) => pen.line(&format!("unknown {label}")),
    }
}

/// Makes a Patient under an identifier unless there is one; all do so under the same, and a new one every second.
async fn create(store: &DynamoStore, pen: &Pen, label: &str) {
    let identifier = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let search = Arc::new(parts(&format!("Patient?identifier=urn:test|{identifier}"))[0].clone());
    let name = format!("Patient/{}", uuid::Uuid::new_v4());
    let members = format!("\"language\":\"{label}\",\"identifier\":[{{\"system\":\"urn:test\",\"value\":\"{identifier}\"}}]");
    let change = Change { method: fhirpool_storage::Method::Post, ..on(Precondition::NeverExisted, put(&name, &members)) };
    let asked = Commit { changes: vec![change], assumptions: vec![Assumption { search, found: Vec::new(), sequence: 0 }] };
    match store.commit(&write_access("a"), asked).await {
        Ok(CommitOutcome::Committed { .. }) => pen.line(&format!("created {label} {identifier} {name}")),
        Ok(_) => pen.line(&format!("refused {label}")),
        Err(StorageError::Busy) => pen.line(&format!("busy {label}")),
        Err(_) => pen.line(&format!("unknown {label}")),
    }
}

/// Everything in one picture, twice: it must not change.
async fn look(store: &DynamoStore, pen: &Pen) {
    let keys: Vec<ResourceKey> = NAMES.iter().map(|name| key(name)).collect();
    let Ok(view) = store.view(&read_access("a")).await else { return };
    // One by one, so that there is time for others in between; then together.
    let mut seen = Vec::new();
    for key in &keys {
        let Ok(read) = store.read_many(&read_access("a"), &view, std::slice::from_ref(key)).await else { return };
        seen.extend(read);
    }
    let Ok(again) = store.read_many(&read_access("a"), &view, &keys).await else { return };
    if seen != again {
        pen.line("changed a picture");
    }
    pen.line(&format!("seen {}", described(&seen)));
    let Ok(view) = store.view(&read_access("a")).await else { return };
    let Ok(seen) = store.read_many(&read_access("a"), &view, &keys).await else { return };
    pen.line(&format!("seen {}", described(&seen)));
}

async fn look_at_one(store: &DynamoStore, pen: &Pen, random: &mut Random) {
    let name = random.pick(&NAMES);
    if let Ok(Some(newest)) = store.read(&read_access("a"), &key(name)).await {
        pen.line(&format!("read {name}={}={}", newest.version.0, notes::label(&newest)));
    }
}

fn described(seen: &[Option<fhirpool_storage::StoredVersion>]) -> String {
    let there = NAMES.iter().zip(seen).filter_map(|(name, version)| version.as_ref().map(|version| (name, version)));
    there.map(|(name, version)| format!("{name}={}={}", version.version.0, notes::label(version))).collect::<Vec<_>>().join(" ")
}
