//! Coordinators in processes of their own, killed and stalled at every step of their commits.
//!
//! Each process notes what it was told and what it saw. Killed ones are started again until there were faults enough; a sweeper
//! runs all the while. In the end what was noted must fit what is stored: no update is lost, no transaction is torn, nothing
//! uncommitted was ever seen, nothing is locked.
//!
//! The seed is printed; `FHIRPOOL_SEED` gives it, `FHIRPOOL_FAULTS` how many faults there must be.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fhirpool_storage::conformance::Random;

use super::*;
use crate::testing::{Tables, settings, tenant, write_access};

mod notes;
mod verdict;
mod worker;

/// Processes at once.
const WORKERS: u64 = 4;
/// Faults of the short form.
const FAULTS: usize = 60;
/// Nothing may take longer, however many faults there must be.
const FAULT_MS_MAX: u64 = 3_000;

const PREFIX: &str = "FHIRPOOL_TEST_COORDINATOR_TABLE";
const NOTES: &str = "FHIRPOOL_TEST_COORDINATOR_NOTES";
const SEED: &str = "FHIRPOOL_SEED";

/// Resources that all write.
const NAMES: [&str; 6] = ["Observation/0", "Observation/1", "Observation/2", "Observation/3", "Observation/4", "Observation/5"];
/// Deadlines come soon, so that those who stall live to see them pass.
fn hasty() -> StoreSettings {
    StoreSettings { transaction_ms: 1_000, transaction_entry_ms: 0, wait_ms_max: 2_500, clock_margin_ms: 20, ..StoreSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_holds_whatever_becomes_of_the_coordinators() {
    let mut random = Random::seeded("what_was_told_holds_whatever_becomes_of_the_coordinators");
    let faults = std::env::var("FHIRPOOL_FAULTS").ok().and_then(|faults| faults.parse().ok()).unwrap_or(FAULTS);
    let (tables, folder) = (Tables::new().await, tempfile::tempdir().unwrap());
    let store = store(tables.client.clone(), vec![tenant("a")], folder.path(), hasty());
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&tables, folder.path(), &mut random)).collect();
    let began = Instant::now();
    let mut sweeper = Sweeper { swept: HashSet::new(), last: began };
    let mut killed = 0;
    while killed + notes::stalls(folder.path()) < faults {
        assert!(began.elapsed() < Duration::from_millis(FAULT_MS_MAX * faults as u64 + 60_000), "too few faults");
        tokio::time::sleep(Duration::from_millis(50)).await;
        for worker in &mut workers {
            if worker.has_ended() {
                killed += 1;
                *worker = Worker::start(&tables, folder.path(), &mut random);
            } else if random.below(100) == 0 {
                worker.kill();
            }
        }
        if sweeper.last.elapsed() > SWEEP_EVERY {
            sweeper.sweep(&store).await;
        }
    }
    workers.iter_mut().for_each(Worker::kill);
    let notes = notes::read(folder.path());
    println!(
        "faults: {killed} killed, {} stalled; {} commits told, {} unknown, {} refused, {} busy; {} pictures seen",
        notes.stalls,
        notes.committed.len(),
        notes.unknown,
        notes.refused.len(),
        notes.busy,
        notes.seen.len()
    );
    let swept = Instant::now();
    while !sweeper.sweep(&store).await {
        assert!(swept.elapsed() < Duration::from_secs(60), "transactions are left open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    verdict::assert_nothing_is_locked(&store, &notes, folder.path()).await;
    verdict::assert_notes_fit(&store, &notes).await;
}

/// Not a case of its own: what a worker process runs, and nothing where none was started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let (Ok(prefix), Ok(notes)) = (std::env::var(PREFIX), std::env::var(NOTES)) else { return };
    worker::run(&prefix, Path::new(&notes)).await;
}

/// A process.
struct Worker {
    child: Child,
}

impl Worker {
    fn start(tables: &Tables, folder: &Path, random: &mut Random) -> Self {
        let seed = random.below(usize::MAX);
        let notes = folder.join(format!("{}.notes", uuid::Uuid::new_v4().simple()));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::coordinators::worker_process", "--nocapture", "--test-threads", "1"])
            .env(PREFIX, tables.prefix())
            .env(NOTES, notes)
            .env(SEED, seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn kill(&mut self) {
        // It may have ended itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks after transactions, as who follows the stream does.
struct Sweeper {
    /// Done with.
    swept: HashSet<crate::TransactionId>,
    last: Instant,
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Sweeper {
    /// Sweeps every transaction there is; whether all are done with.
    async fn sweep(&mut self, store: &DynamoStore) -> bool {
        let mut done = true;
        for transaction in transactions(store).await {
            if !self.swept.contains(&transaction) {
                // What cannot be swept now is swept later.
                match crate::sweep::sweep(&store.0, &write_access("a"), transaction).await {
                    Ok(true) => drop(self.swept.insert(transaction)),
                    Ok(false) | Err(_) => done = false,
                }
            }
        }
        self.last = Instant::now();
        done
    }
}

/// Transactions that have a manifest and no commit record.
async fn transactions(store: &DynamoStore) -> Vec<crate::TransactionId> {
    let (mut begun, mut committed) = (HashSet::new(), HashSet::new());
    for item in items(store).await {
        let (partition, sort) = (text_of(&item, PARTITION), text_of(&item, crate::keys::SORT));
        if let Some(ParsedPartition::Transaction(_, transaction)) = parse(&partition) {
            if sort != crate::keys::RECORD {
                begun.insert(transaction);
            } else if crate::item::Outcome::read(&item).unwrap() != crate::item::Outcome::Aborted {
                committed.insert(transaction);
            }
        }
    }
    begun.difference(&committed).copied().collect()
}

fn text_of(item: &crate::item::Item, name: &str) -> String {
    crate::item::text(item, name).unwrap().to_owned()
}

fn notes_path(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "notes")).collect()
}
