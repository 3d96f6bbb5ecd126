//! The buffer between requests and the log.
//!
//! It is bounded by places of [`PLACE_BYTES`]. A request takes one before it does anything, so a full buffer makes requests wait
//! and a change is never made without room for its record. A record that is longer takes more places where there are any; what it
//! takes beyond them is bounded by the Bundle that it tells of.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fhirpool_authz::TenantId;
use metrics::{counter, histogram};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::record::Access;
use crate::search::Reader;
use crate::writer::{Ports, Writer};

/// Bytes of a place. Most records take less.
const PLACE_BYTES: usize = 1024;
/// What waits is written as soon as it is as much.
const FLUSH_BYTES: usize = 256 * 1024;

/// How the trail works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What records may take in memory until they are on stable storage, in bytes.
    pub buffer_bytes: usize,
    /// How long a record waits for company.
    pub flush_time_max: Duration,
    /// Whether a change is answered only when its record is on stable storage.
    pub changes_wait: bool,
    /// How long the first failed attempt to append waits for the next; each further one waits twice as long.
    pub retry_pause: Duration,
    /// No attempt waits longer.
    pub retry_pause_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            buffer_bytes: 16 << 20,
            flush_time_max: Duration::from_millis(200),
            changes_wait: true,
            retry_pause: Duration::from_millis(250),
            retry_pause_max: Duration::from_secs(4),
        }
    }
}

/// What waits of one tenant.
#[derive(Default)]
pub(crate) struct Batch {
    /// Records, each behind its length.
    pub records: Vec<u8>,
    /// The places that they take.
    pub places: usize,
    /// Who waits until they are on stable storage.
    pub waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    pub(crate) fn add(&mut self, other: Self) {
        if self.records.is_empty() {
            self.records = other.records;
        } else {
            self.records.extend_from_slice(&other.records);
        }
        self.places += other.places;
        self.waiting.extend(other.waiting);
    }
}

#[derive(Default)]
struct Pending {
    batches: HashMap<TenantId, Batch>,
    bytes: usize,
}

/// What requests and the writer share.
pub(crate) struct Shared {
    pending: Mutex<Pending>,
    places: Arc<Semaphore>,
    /// Something waits.
    begun: Notify,
    /// What waits should be written now.
    urgent: Notify,
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn take(&self) -> HashMap<TenantId, Batch> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending).batches
    }

    pub(crate) fn give_back(&self, places: usize) {
        self.places.add_permits(places);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Until something waits.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Until what waits should be written, and no longer than this.
    pub(crate) async fn urgent(&self, time_max: Duration) {
        if !self.is_closing() {
            let _ = tokio::time::timeout(time_max, self.urgent.notified()).await;
        }
    }
}

/// A place in the buffer, given back when it is dropped unused.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

/// Takes records of accesses; clones are the same one.
#[derive(Clone)]
pub struct AuditTrail {
    shared: Arc<Shared>,
    reader: Reader,
    changes_wait: bool,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl AuditTrail {
    /// Starts the task that writes; within a runtime.
    pub fn start(ports: Ports, settings: &Settings) -> Self {
        let places = (settings.buffer_bytes / PLACE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            begun: Notify::new(),
            urgent: Notify::new(),
            closing: AtomicBool::new(false),
        });
        let reader = Reader::new(Arc::clone(&ports.log), Arc::clone(&ports.keys));
        let writer = tokio::spawn(Writer::new(ports, settings.clone(), Arc::clone(&shared)).run());
        Self { shared, reader, changes_wait: settings.changes_wait, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Reads what was written.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// A place for the record of a request that is about to begin; waits while there is none.
    pub async fn room(&self) -> Room {
        if let Ok(place) = Arc::clone(&self.shared.places).try_acquire_owned() {
            return Room(place);
        }
        counter!("fhirpool_audit_waits_total").increment(1);
        let since = tokio::time::Instant::now();
        let place = Arc::clone(&self.shared.places).acquire_owned().await.expect("the semaphore is never closed");
        histogram!("fhirpool_audit_wait_seconds").record(since.elapsed().as_secs_f64());
        Room(place)
    }

    /// Takes a record up; it is written within the flush time.
    pub fn note(&self, room: Room, tenant: &TenantId, access: &Access<'_>) {
        self.put(Some(room), tenant, access, None);
    }

    /// Takes up a second record of the same request, for another tenant. It takes a place only where there is one: what goes
    /// beyond is bounded by the requests that have one.
    pub fn note_besides(&self, tenant: &TenantId, access: &Access<'_>) {
        let room = Arc::clone(&self.shared.places).try_acquire_owned().ok().map(Room);
        self.put(room, tenant, access, None);
    }

    /// The same for a change: what is given is to be awaited ahead of the answer. `None`: nobody waits.
    pub fn note_change(&self, room: Room, tenant: &TenantId, access: &Access<'_>) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = self.changes_wait.then(oneshot::channel).unzip();
        self.put(Some(room), tenant, access, sender);
        receiver
    }

    fn put(&self, room: Option<Room>, tenant: &TenantId, access: &Access<'_>, waiting: Option<oneshot::Sender<()>>) {
        let is_urgent = waiting.is_some();
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = pending.batches.is_empty();
        let batch = match pending.batches.get_mut(tenant) {
            Some(batch) => batch,
            None => pending.batches.entry(tenant.clone()).or_default(),
        };
        let before = batch.records.len();
        access.write(&mut batch.records);
        let bytes = batch.records.len() - before;
        if let Some(Room(place)) = room {
            place.forget();
            batch.places += 1;
        }
        let more = (bytes / PLACE_BYTES) as u32;
        if let Some(Ok(places)) = (more > 0).then(|| self.shared.places.try_acquire_many(more)) {
            places.forget();
            batch.places += more as usize;
        }
        batch.waiting.extend(waiting);
        pending.bytes += bytes;
        let is_much = pending.bytes >= FLUSH_BYTES;
        drop(pending);
        if is_first {
            self.shared.begun.notify_one();
        }
        if is_urgent || is_much {
            self.shared.urgent.notify_one();
        }
    }

    /// Writes what waits and ends. Called when no request is under way any more. `false`: it took longer than this, and what was
    /// not written by then is lost.
    pub async fn close(&self, time_max: Duration) -> bool {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.begun.notify_one();
        self.shared.urgent.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut writer) = writer else { return true };
        match tokio::time::timeout(time_max, &mut writer).await {
            Ok(ended) => ended.is_ok(),
            Err(_) => {
                writer.abort();
                false
            }
        }
    }
}
