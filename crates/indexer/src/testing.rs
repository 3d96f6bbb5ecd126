//! Everything around an indexer, in memory: a stream with shards, an index that is behind, and the small tables, each with faults.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_search::testing::BASE;
use fhirpool_storage::conformance::{Random, Stores, extractors};
use fhirpool_storage::memory::MemoryStore;
use fhirpool_storage::{ResourceStore, Result, SearchIndex, StorageError};
use tokio::task::JoinHandle;

use crate::{
    Clock, Extraction, FreshIndex, FreshIndexParts, FreshnessSettings, Indexer, IndexerPorts, IndexerSettings, MarkedStore, NodeClock,
    Recency, Watermarks,
};

mod feed;
mod index;
mod tables;

pub(crate) use feed::Stream;
pub(crate) use index::MemoryIndex;
pub(crate) use tables::{MemoryLeases, MemoryLetters, MemoryLog, MemoryMarks, NoLookup};

/// Makes calls fail at random, ahead of what they do or behind it.
pub(crate) struct Faults {
    random: Mutex<Random>,
    on: AtomicBool,
}

/// One call in so many fails.
const FAULT_EVERY: usize = 25;

impl Faults {
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self { random: Mutex::new(Random::seeded("no faults")), on: AtomicBool::new(false) })
    }

    pub(crate) fn of(random: Random) -> Arc<Self> {
        Arc::new(Self { random: Mutex::new(random), on: AtomicBool::new(true) })
    }

    pub(crate) fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        if self.on.load(Ordering::SeqCst) { self.random.lock().unwrap().below(bound) } else { bound - 1 }
    }

    /// Fails now and then: called ahead of an effect, and once more behind it.
    pub(crate) async fn strike(&self, what: &str) -> Result<()> {
        match self.below(FAULT_EVERY) {
            0 => Err(StorageError::Unavailable(format!("a fault of the test in {what}"))),
            1 => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// All of it together.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) index: Arc<MemoryIndex>,
    pub(crate) leases: Arc<MemoryLeases>,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) letters: Arc<MemoryLetters>,
    pub(crate) marks: Arc<MemoryMarks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Arc<Faults>,
}

impl World {
    pub(crate) fn new(tenants: &[TenantId], shards: usize, faults: Arc<Faults>) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(NodeClock::default());
        // Each commit has a time of its own, so that histories are in the order of the commits.
        let (latest, time) = (AtomicI64::new(0), clock.clone());
        let now = move || {
            let before = latest.load(Ordering::SeqCst);
            let now = (time.now() / 1_000).max(before + 1);
            Timestamp(latest.fetch_max(now, Ordering::SeqCst).max(now))
        };
        let store = Arc::new(MemoryStore::new(tenants, extractors(), now));
        Arc::new(Self {
            stream: Stream::new(store.clone(), clock.clone(), faults.clone(), shards),
            index: Arc::new(MemoryIndex::new(faults.clone())),
            leases: Arc::new(MemoryLeases::new(faults.clone())),
            log: Arc::new(MemoryLog::new(faults.clone())),
            letters: Arc::default(),
            marks: Arc::default(),
            store,
            clock,
            faults,
        })
    }

    pub(crate) fn settings() -> IndexerSettings {
        IndexerSettings {
            lease_ms: 300,
            renew_ms: 60,
            publish_ms: 10,
            activity_ms: 1_000,
            discover_ms: 100,
            poll_ms_min: 1,
            poll_ms_max: 10,
            refresh_ms_min: 2,
            refresh_ms_max: 10,
            stream_margin_ms: 10,
            sweep_grace_ms: 0,
            documents_max: 7,
            calls_max: 3,
        }
    }

    pub(crate) fn extraction() -> Extraction {
        Extraction::new(extractors(), Arc::new(|_| BASE.clone()))
    }

    pub(crate) fn ports(&self, watermarks: Arc<Watermarks>) -> IndexerPorts {
        IndexerPorts {
            feed: self.stream.clone(),
            leases: self.leases.clone(),
            log: self.log.clone(),
            writer: self.index.clone(),
            letters: self.letters.clone(),
            extraction: Self::extraction(),
            watermarks,
            clock: self.clock.clone(),
        }
    }

    pub(crate) fn watermarks(&self) -> Arc<Watermarks> {
        Arc::new(Watermarks::new(self.leases.clone(), 5))
    }

    /// An indexer in a process of its own, as it were.
    pub(crate) fn indexer(&self, watermarks: Arc<Watermarks>) -> JoinHandle<()> {
        let ports = self.ports(watermarks);
        tokio::spawn(Indexer::run(ports, Self::settings(), std::future::pending()))
    }

    /// What a node serves with.
    pub(crate) fn node(&self, watermarks: Arc<Watermarks>) -> (Arc<dyn ResourceStore>, Arc<dyn SearchIndex>) {
        let settings = FreshnessSettings { wait_ms_max: 20_000, clock_margin_ms: 0, ..FreshnessSettings::default() };
        let recency = Arc::new(Recency::new(self.marks.clone(), watermarks, self.clock.clone(), &settings));
        let index = FreshIndex::new(FreshIndexParts {
            candidates: self.index.clone(),
            store: self.stream.clone(),
            lookup: Arc::new(NoLookup),
            recency: recency.clone(),
            extraction: Self::extraction(),
        });
        (Arc::new(MarkedStore::new(self.stream.clone(), recency)), Arc::new(index))
    }
}

/// Ends a task with whoever holds it.
pub(crate) struct Ends(pub(crate) JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// For the conformance suite: two nodes and an indexer beside them; resources are written by one node and sought by the other.
pub(crate) async fn make(tenants: Vec<TenantId>) -> Stores {
    let world = World::new(&tenants, 2, Faults::none());
    let indexer = Ends(world.indexer(world.watermarks()));
    let (resources, _) = world.node(world.watermarks());
    let (_, index) = world.node(world.watermarks());
    let keep: Box<dyn Any + Send + Sync> = Box::new((indexer, world));
    Stores { resources, index, pictures: false, keep }
}
