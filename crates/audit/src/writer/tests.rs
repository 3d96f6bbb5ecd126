#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{AuditPage, AuditRange, ExpiredBlocks, KeyEpoch, SealedAnchor, check_audit};

use super::*;
use crate::record::Access;
use crate::record::tests::access;
use crate::{AuditQuery, AuditTrail, Reader, verify};

/// A log in memory that can be made to fail, and keys of tenants' names.
#[derive(Default)]
struct Memory {
    blocks: Mutex<BTreeMap<(TenantId, BlockName), Vec<u8>>>,
    fails: AtomicBool,
    attempts: AtomicUsize,
    /// When whose log was appended to, or was not.
    times: Mutex<Vec<(TenantId, Instant)>>,
    anchors: Mutex<BTreeMap<(TenantId, u64), SealedAnchor>>,
    /// Whose attempts fail.
    failing: Mutex<Option<TenantId>>,
}

#[async_trait]
impl AuditLog for Memory {
    async fn chain(&self, access: &WriteAccess) -> Result<Chain> {
        if access.tenant().as_str() == "nobody" { Err(StorageError::UnknownTenant) } else { Ok(Chain { number: 1, end: None }) }
    }

    async fn append(&self, access: &WriteAccess, blocks: &[AuditBlock]) -> Result<()> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        self.times.lock().unwrap().push((access.tenant().clone(), Instant::now()));
        if self.fails.load(Ordering::SeqCst) || self.failing.lock().unwrap().as_ref() == Some(access.tenant()) {
            return Err(StorageError::Unavailable("as the test wants it".into()));
        }
        let mut stored = self.blocks.lock().unwrap();
        for block in blocks {
            let bytes = stored.entry((access.tenant().clone(), block.name)).or_insert_with(|| block.bytes.clone());
            assert_eq!(*bytes, block.bytes, "a block is exchanged");
        }
        Ok(())
    }

    async fn scan(&self, access: &ReadAccess, range: &AuditRange) -> Result<AuditPage> {
        check_audit(access)?;
        let stored = self.blocks.lock().unwrap();
        let found = stored.iter().rev().filter(|((tenant, name), _)| {
            tenant == access.tenant() && (range.from..range.until).contains(&name.time) && range.before.is_none_or(|before| *name < before)
        });
        let mut blocks: Vec<_> = found.map(|((_, name), bytes)| AuditBlock { name: *name, bytes: bytes.clone() }).collect();
        let more = blocks.len() > range.limit;
        blocks.truncate(range.limit);
        Ok(AuditPage { blocks, more })
    }

    async fn block(&self, access: &ReadAccess, name: &BlockName) -> Result<Option<AuditBlock>> {
        let bytes = self.blocks.lock().unwrap().get(&(access.tenant().clone(), *name)).cloned();
        Ok(bytes.map(|bytes| AuditBlock { name: *name, bytes }))
    }

    async fn ends(&self, _: &ReadAccess) -> Result<Vec<ChainEnd>> {
        Ok(Vec::new())
    }

    async fn next_hour(&self, access: &ReadAccess, from: Timestamp) -> Result<Option<Timestamp>> {
        let stored = self.blocks.lock().unwrap();
        let times = stored.keys().filter(|(tenant, name)| tenant == access.tenant() && name.time >= from).map(|(_, name)| name.time.0);
        Ok(times.min().map(|time| Timestamp(time / AUDIT_HOUR_MS * AUDIT_HOUR_MS)))
    }

    async fn expire(&self, access: &WriteAccess, expired: &ExpiredBlocks) -> Result<()> {
        for anchor in &expired.anchors {
            self.anchors.lock().unwrap().insert((access.tenant().clone(), anchor.chain), anchor.clone());
        }
        expired.blocks.iter().for_each(|name| drop(self.blocks.lock().unwrap().remove(&(access.tenant().clone(), *name))));
        Ok(())
    }

    async fn anchors(&self, access: &ReadAccess) -> Result<Vec<SealedAnchor>> {
        let anchors = self.anchors.lock().unwrap();
        Ok(anchors.iter().filter(|((tenant, _), _)| tenant == access.tenant()).map(|(_, anchor)| anchor.clone()).collect())
    }
}

struct Keys;

#[async_trait]
impl KeyRing for Keys {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.unwrap(tenant, KeyEpoch(1)).await
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        Ok(Arc::new(TenantKey::new(epoch, &[tenant.as_str().len() as u8; TenantKey::LENGTH])))
    }

    fn forget(&self, _tenant: &TenantId) {}

    async fn destroy(&self, _tenant: &TenantId) -> Result<()> {
        Err(StorageError::Denied)
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn start(log: &Arc<Memory>, settings: Settings) -> AuditTrail {
    let settings = Settings { retry_pause: Duration::from_millis(5), ..settings };
    AuditTrail::start(Ports { log: Arc::clone(log) as _, keys: Arc::new(Keys), sink: Sink::None }, &settings)
}

async fn note(trail: &AuditTrail, name: &str, time: i64, id: &str) {
    let room = trail.room().await;
    trail.note(room, &tenant(name), &Access { time: Timestamp(time), request_id: id, ..access() });
}

fn audit_access(name: &str) -> ReadAccess {
    ReadAccess::authorize_audit(&Principal::operator(tenant(name)), &tenant(name)).unwrap()
}

async fn found(reader: &Reader, name: &str, query: &str) -> Vec<String> {
    let pairs: Vec<(String, String)> =
        query.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(one, other)| (one.into(), other.into())).collect();
    let (query, mut after, mut ids) = (AuditQuery::parse(&pairs).unwrap(), None, Vec::new());
    loop {
        let found = reader.find(&audit_access(name), &query, after, 3).await.unwrap();
        assert!(found.records.len() <= 3);
        for (id, record) in &found.records {
            assert_eq!(reader.record(&audit_access(name), id).await.unwrap().as_ref(), Some(record));
        }
        ids.extend(found.records.into_iter().map(|(_, record)| record.request_id));
        after = found.next;
        if after.is_none() {
            return ids;
        }
    }
}

const DAY: i64 = 1_700_006_400_000;
const DAY_QUERY: &str = "date=2023-11-15T00:00:00Z&date=ge2023-11-15";

#[tokio::test]
async fn records_are_found_the_newest_first_over_blocks_and_pages_and_chains_are_whole() {
    let log = Arc::new(Memory::default());
    let trail = start(&log, Settings { flush_time_max: Duration::from_millis(1), ..Settings::default() });
    // Over many blocks: they are cut by time and hour.
    for number in 0..40 {
        note(&trail, "acme", DAY + number * 997_000, &number.to_string()).await;
    }
    note(&trail, "demo", DAY, "of another").await;
    note(&trail, "nobody", DAY, "of nobody").await;
    assert!(trail.close(Duration::from_secs(30)).await);
    let all: Vec<String> = (0..40).rev().map(|number| number.to_string()).collect();
    let query = "date=ge2023-11-15T00:00:00Z&date=lt2023-11-16T00:00:00Z";
    assert_eq!(found(trail.reader(), "acme", query).await, all);
    assert_eq!(found(trail.reader(), "demo", query).await, ["of another"]);
    assert_eq!(found(trail.reader(), "acme", "date=ge2023-11-15T00:00:00Z&date=lt2023-11-15T00:33:14Z").await, ["1", "0"]);
    assert_eq!(found(trail.reader(), "acme", DAY_QUERY).await, ["0"]);
    let verified = verify(trail.reader(), &audit_access("acme")).await.unwrap();
    assert_eq!((verified.records, verified.chains, verified.problems), (40, 1, vec![]));
    assert!(verified.blocks >= 12);
    let first = *log.blocks.lock().unwrap().keys().find(|(name, _)| name.as_str() == "acme").map(|(_, name)| name).unwrap();
    log.blocks.lock().unwrap().remove(&(tenant("acme"), first));
    assert_eq!(verify(trail.reader(), &audit_access("acme")).await.unwrap().problems.len(), 1);
}

#[tokio::test]
async fn one_record_that_cannot_be_read_does_not_hide_the_others() {
    let (log, acme) = (Arc::new(Memory::default()), tenant("acme"));
    let mut records = Vec::new();
    access().write(&mut records);
    crate::record::write_framed(b"of another format", &mut records);
    access().write(&mut records);
    let time = access().time;
    let block =
        AuditBlock::seal(&Keys.data_key(&acme).await.unwrap(), &acme, BlockName { time, chain: 1, sequence: 1 }, &[0; 32], &records);
    log.blocks.lock().unwrap().insert((acme.clone(), block.name), block.bytes);
    let reader = Reader::new(Arc::clone(&log) as _, Arc::new(Keys));
    let query = AuditQuery::parse(&[("date".into(), "2023-11-14".into())]).unwrap();
    let found = reader.find(&audit_access("acme"), &query, None, 3).await.unwrap();
    assert_eq!((found.records.len(), found.unreadable), (2, 1));
}

#[tokio::test]
async fn a_full_buffer_makes_requests_wait_and_nothing_is_dropped() {
    let log = Arc::new(Memory::default());
    log.fails.store(true, Ordering::SeqCst);
    // Eight places.
    let trail = start(&log, Settings { buffer_bytes: 8 << 10, flush_time_max: Duration::ZERO, ..Settings::default() });
    for number in 0..8 {
        note(&trail, "acme", DAY, &number.to_string()).await;
    }
    while log.attempts.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(tokio::time::timeout(Duration::from_millis(20), trail.room()).await.is_err(), "there is room in a full buffer");
    log.fails.store(false, Ordering::SeqCst);
    for number in 8..50 {
        note(&trail, "acme", DAY, &number.to_string()).await;
    }
    assert!(trail.close(Duration::from_secs(30)).await);
    let mut ids = found(trail.reader(), "acme", DAY_QUERY).await;
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(ids, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(verify(trail.reader(), &audit_access("acme")).await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_change_is_awaited_until_its_record_is_kept_and_others_are_not_held_up() {
    let log = Arc::new(Memory::default());
    *log.failing.lock().unwrap() = Some(tenant("acme"));
    let trail = start(&log, Settings { flush_time_max: Duration::from_secs(60), ..Settings::default() });
    let change = |room, name: &str| trail.note_change(room, &tenant(name), &Access { time: Timestamp(DAY), ..access() }).unwrap();
    let mut stuck = change(trail.room().await, "acme");
    change(trail.room().await, "demo").await.unwrap();
    assert!(stuck.try_recv().is_err());
    *log.failing.lock().unwrap() = None;
    stuck.await.unwrap();
    assert_eq!(log.blocks.lock().unwrap().len(), 2);
    // A place that was not used is given back.
    drop(trail.room().await);
    assert!(trail.close(Duration::from_secs(30)).await);
}

std::thread_local! {
    /// What was logged in this thread.
    static LINES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Writes to [`LINES`].
struct Lines;

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// How long each attempt at a tenant's log came behind the one before it.
    fn pauses(&self, name: &str) -> Vec<Duration> {
        let times = self.times.lock().unwrap();
        let of_tenant: Vec<Instant> = times.iter().filter(|(tenant, _)| tenant.as_str() == name).map(|(_, time)| *time).collect();
        of_tenant.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    async fn until_tried(&self, name: &str, attempts: usize) {
        let tried = || self.times.lock().unwrap().iter().filter(|(tenant, _)| tenant.as_str() == name).count();
        while tried() < attempts {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn a_log_that_fails_is_tried_ever_more_seldom_and_told_of_twice() {
    // For all tests of the process: which lines are wanted is decided once for all threads.
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).init();
    let log = Arc::new(Memory::default());
    log.fails.store(true, Ordering::SeqCst);
    let pause = Duration::from_millis(20);
    let settings = Settings { retry_pause: pause, retry_pause_max: pause * 4, flush_time_max: Duration::ZERO, ..Settings::default() };
    let trail = AuditTrail::start(Ports { log: Arc::clone(&log) as _, keys: Arc::new(Keys), sink: Sink::None }, &settings);
    for number in 0..3 {
        note(&trail, "acme", DAY, &number.to_string()).await;
        note(&trail, "demo", DAY, &number.to_string()).await;
    }
    log.until_tried("acme", 7).await;
    // What comes while it fails waits with the rest, and hurries nobody.
    note(&trail, "acme", DAY, "late").await;
    log.until_tried("acme", 8).await;
    log.fails.store(false, Ordering::SeqCst);
    assert!(trail.close(Duration::from_secs(30)).await);
    let pauses = log.pauses("acme");
    let due = [1, 2, 4, 4, 4, 4, 4].map(|times| pause * times);
    assert!(pauses.iter().zip(due).all(|(pause, due)| *pause >= due), "{pauses:?}");
    let mut ids = found(trail.reader(), "acme", DAY_QUERY).await;
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "late"]);
    let said = String::from_utf8(LINES.take()).unwrap();
    let said: Vec<&str> = said.lines().filter(|line| line.contains("audit")).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("ERROR") && said[0].contains("cannot be appended to"), "{}", said[0]);
    let attempts = log.times.lock().unwrap().len();
    let failed = said[1].split_once("attempts=").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok()).unwrap();
    assert!((14..attempts).contains(&failed) && said[1].contains("tenants=2"), "{} of {attempts}", said[1]);
}

#[tokio::test]
async fn once_one_log_works_again_nobody_waits_for_the_others() {
    let log = Arc::new(Memory::default());
    log.fails.store(true, Ordering::SeqCst);
    let pause = Duration::from_millis(100);
    let settings = Settings { retry_pause: pause, retry_pause_max: pause * 1000, flush_time_max: Duration::ZERO, ..Settings::default() };
    let trail = AuditTrail::start(Ports { log: Arc::clone(&log) as _, keys: Arc::new(Keys), sink: Sink::None }, &settings);
    let change = |room, name: &str| trail.note_change(room, &tenant(name), &Access { time: Timestamp(DAY), ..access() }).unwrap();
    let waiting = change(trail.room().await, "acme");
    // Now it waits for 1.6 s.
    log.until_tried("acme", 5).await;
    let other = change(trail.room().await, "demo");
    log.until_tried("demo", 1).await;
    log.fails.store(false, Ordering::SeqCst);
    other.await.unwrap();
    waiting.await.unwrap();
    let pauses = log.pauses("acme");
    assert!(pauses[3] >= pause * 8 && pauses[4] < pause * 16, "{pauses:?}");
    assert!(trail.close(Duration::from_secs(30)).await);
}

/// Appends blocks of these times to chain 1 of a tenant, in this order.
fn append(log: &Memory, name: &str, times: &[i64]) -> Vec<AuditBlock> {
    let (key, tenant) = (TenantKey::new(KeyEpoch(1), &[name.len() as u8; TenantKey::LENGTH]), tenant(name));
    let mut previous = [0; 32];
    let mut record = Vec::new();
    access().write(&mut record);
    let blocks: Vec<AuditBlock> = (1..)
        .zip(times)
        .map(|(sequence, time)| {
            let name = BlockName { time: Timestamp(*time), chain: 1, sequence };
            let block = AuditBlock::seal(&key, &tenant, name, &previous, &record);
            previous = block.digest();
            block
        })
        .collect();
    let mut stored = log.blocks.lock().unwrap();
    stored.extend(blocks.iter().map(|block| ((tenant.clone(), block.name), block.bytes.clone())));
    blocks
}

fn left(log: &Memory, name: &str) -> Vec<u64> {
    let stored = log.blocks.lock().unwrap();
    let mut left: Vec<u64> = stored.keys().filter(|(tenant, _)| tenant.as_str() == name).map(|(_, name)| name.sequence).collect();
    left.sort_unstable();
    left
}

const HOUR: i64 = AUDIT_HOUR_MS;

#[tokio::test]
async fn hours_expire_by_chains_and_what_is_left_is_whole() {
    let log = Arc::new(Memory::default());
    let reader = Reader::new(Arc::clone(&log) as _, Arc::new(Keys));
    // The fourth came late: it lies ahead of the third.
    let blocks = append(&log, "acme", &[DAY, DAY + 5, DAY + HOUR, DAY + HOUR - 1, DAY + 2 * HOUR, DAY + 3 * HOUR]);
    append(&log, "demo", &[DAY]);
    let expire = async |until: i64| crate::expire(&*log, &Keys, &tenant("acme"), Timestamp(until)).await.unwrap();
    let problems = async || verify(&reader, &audit_access("acme")).await.unwrap().problems;
    assert_eq!(expire(DAY + HOUR - 1).await, 0, "no hour goes before its end");
    // The late one waits for the one ahead of it.
    assert_eq!((expire(DAY + HOUR).await, left(&log, "acme")), (2, vec![3, 4, 5, 6]));
    assert_eq!(problems().await, Vec::<String>::new());
    assert_eq!((expire(DAY + 2 * HOUR + 1).await, left(&log, "acme")), (2, vec![5, 6]));
    assert_eq!((expire(DAY + 2 * HOUR + 1).await, problems().await), (0, vec![]));
    // Whoever cuts off more than has expired is found out, and whoever takes the anchor away.
    log.blocks.lock().unwrap().remove(&(tenant("acme"), blocks[4].name));
    assert_eq!(problems().await, ["chain 0000000000000001: block 5 is missing"]);
    log.blocks.lock().unwrap().insert((tenant("acme"), blocks[4].name), blocks[4].bytes.clone());
    let anchors = std::mem::take(&mut *log.anchors.lock().unwrap());
    assert_eq!(problems().await, ["chain 0000000000000001: blocks 1 to 4 are missing"]);
    let mut forged = anchors.clone();
    forged.values_mut().for_each(|anchor| anchor.sequence += 1);
    *log.anchors.lock().unwrap() = forged;
    assert!(!problems().await.is_empty());
    assert!(crate::expire(&*log, &Keys, &tenant("acme"), Timestamp(DAY + 9 * HOUR)).await.is_err(), "nothing rests on a forged anchor");
    *log.anchors.lock().unwrap() = anchors;
    assert_eq!((expire(DAY + 9 * HOUR).await, left(&log, "acme"), left(&log, "demo")), (2, vec![], vec![1]));
    assert_eq!(problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn expiry_hides_nothing_that_was_missing_before() {
    let log = Arc::new(Memory::default());
    let reader = Reader::new(Arc::clone(&log) as _, Arc::new(Keys));
    let blocks = append(&log, "acme", &[DAY, DAY + 1, DAY + 2, DAY + 3, DAY + 30 * HOUR]);
    log.blocks.lock().unwrap().remove(&(tenant("acme"), blocks[1].name));
    let mut changed = blocks[3].bytes.clone();
    changed[7] ^= 1;
    log.blocks.lock().unwrap().insert((tenant("acme"), blocks[3].name), changed);
    let expire = async |until: i64| crate::expire(&*log, &Keys, &tenant("acme"), Timestamp(until)).await.unwrap();
    // The second may come late.
    assert_eq!((expire(DAY + 2 * HOUR).await, left(&log, "acme")), (1, vec![3, 4, 5]));
    assert_eq!((expire(DAY + 25 * HOUR).await, left(&log, "acme")), (2, vec![5]));
    let problems = verify(&reader, &audit_access("acme")).await.unwrap().problems;
    assert_eq!(
        problems,
        [
            "chain 0000000000000001: block 4 was changed, or block 5 exchanged",
            "chain 0000000000000001: blocks were missing or changed at 2 places of what has expired"
        ]
    );
}
