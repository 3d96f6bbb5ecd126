//! What is left of a store whose process was killed, or whose writes failed: another process, this same test binary, writes;
//! this one kills it or takes its room away, opens the folder again and compares with what was acknowledged.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, Settings};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp, VersionId};
use fhirpool_search::IndexEntry;
use fhirpool_storage::conformance::{Random, extractors};
use fhirpool_storage::{Change, ChangeContent, Commit, CommitOutcome, Method, Precondition, ResourceStore};

/// Names the folder to a process that shall write there, and the number of its first commit.
const FOLDER: &str = "FHIRPOOL_CRASH_FOLDER";
const FIRST: &str = "FHIRPOOL_CRASH_FIRST";
/// Each commit makes so many resources and updates one that all share.
const MADE: usize = 5;
const WRITERS: usize = 4;

fn open(folder: &Path) -> EmbeddedStore {
    let now = || Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64);
    let keys = Arc::new(LocalKeyRing::open(folder).unwrap());
    EmbeddedStore::open(folder, Settings::default(), Ports { keys, extractors: extractors(), now: Arc::new(now) }).unwrap()
}

fn access() -> WriteAccess {
    let tenant = TenantId::parse("a").unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn key(name: &str) -> ResourceKey {
    ResourceKey::new(ResourceType::parse("Observation").unwrap(), ResourceId::parse(name).unwrap())
}

fn put(name: &str, random: &mut Random) -> Change {
    let key = key(name);
    // Large enough that journals and tables are written while the test lasts.
    let text: String = (0..1_000).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    let json = format!(r#"{{"resourceType":"Observation","status":"final","code":{{"text":"{text}"}}}}"#);
    let document = Document::parse(json).unwrap();
    let body = ResourceBody::prepare(document.root(), &key.id, &[]);
    let entries: Vec<IndexEntry> = extractors().entries(key.resource_type, document.root(), &ServiceBase::fixed(""));
    Change { key, method: Method::Put, precondition: Precondition::None, content: ChangeContent::Put { body, entries } }
}

/// The writing process: commits without end and says what was acknowledged, or that it was refused.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn write_without_end(folder: &Path, first: usize) {
    let store = Arc::new(open(folder));
    store.register_tenant(access().tenant()).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut random = Random::seeded("texts").fork(writer as u64);
                for number in (first + writer..).step_by(WRITERS) {
                    let mut changes: Vec<_> = (0..MADE).map(|part| put(&format!("c{number}-{part}"), &mut random)).collect();
                    changes.push(put("shared", &mut random));
                    let outcome = store.commit(&access(), Commit { changes, assumptions: Vec::new() }).await;
                    let word = match outcome {
                        Ok(CommitOutcome::Committed { .. }) => "ack",
                        _ => "refused",
                    };
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{word} {number}").unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// The writing process, seen from this one.
struct Writer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// Starts this test's binary as one that writes, with the signal for too large files ignored so that writing fails instead.
    fn start(test: &str, folder: &Path, first: usize) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(FOLDER, folder)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next thing it says: whether acknowledged or refused, and the number.
    fn next(&mut self) -> Option<(bool, usize)> {
        loop {
            let line = self.lines.next()?.unwrap();
            // The test harness speaks too.
            if let Some(number) = line.strip_prefix("ack ") {
                return Some((true, number.parse().unwrap()));
            }
            if let Some(number) = line.strip_prefix("refused ") {
                return Some((false, number.parse().unwrap()));
            }
        }
    }

    /// Ends it without warning, and takes in what it said before.
    fn kill(mut self, mut said: impl FnMut(bool, usize)) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        while let Some((acknowledged, number)) = self.next() {
            said(acknowledged, number);
        }
    }

    /// Lets no file of it grow beyond this.
    fn limit_files(&self, bytes: &str) {
        let id = self.process.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:unlimited")]).status();
        assert!(done.expect("this test needs prlimit, of util-linux").success());
    }
}

/// Everything acknowledged is wholly there, everything else wholly or not at all; gives how many commits are there.
async fn check(folder: &Path, acknowledged: &BTreeSet<usize>, begun: usize) -> usize {
    let store = open(folder);
    let report = store.verify().await.unwrap();
    assert_eq!(report.problems, []);
    let (access, mut there) = (access(), 0);
    for number in 0..begun {
        let mut found = 0;
        for part in 0..MADE {
            found += usize::from(store.read(access.as_read(), &key(&format!("c{number}-{part}"))).await.unwrap().is_some());
        }
        assert!(found == 0 || found == MADE, "commit {number} is there in part: {found}");
        assert!(found == MADE || !acknowledged.contains(&number), "commit {number} was acknowledged and is lost");
        there += usize::from(found == MADE);
    }
    let shared = store.read(access.as_read(), &key("shared")).await.unwrap();
    assert_eq!(shared.map_or(VersionId(0), |shared| shared.version), VersionId(there as u64));
    there
}

fn is_writer() -> bool {
    let Ok(folder) = std::env::var(FOLDER) else { return false };
    let first = std::env::var(FIRST).unwrap().parse().unwrap();
    write_without_end(Path::new(&folder), first);
    true
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    const ROUNDS: usize = 6;
    if is_writer() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::seeded("kills");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut acknowledged, mut begun) = (BTreeSet::new(), 0);
    for _ in 0..ROUNDS {
        let mut writer = Writer::start("nothing_acknowledged_is_lost_when_the_process_is_killed", folder.path(), begun);
        let mut said = |is_acknowledged: bool, number: usize| {
            assert!(is_acknowledged, "commit {number} was refused");
            acknowledged.insert(number);
            // Each writer may have begun one more.
            begun = begun.max(number + 2 * WRITERS + 1);
        };
        for _ in 0..1 + random.below(400) {
            let (is_acknowledged, number) = writer.next().unwrap();
            said(is_acknowledged, number);
        }
        writer.kill(said);
        runtime.block_on(check(folder.path(), &acknowledged, begun));
    }
    assert!(acknowledged.len() >= ROUNDS);
}

#[test]
fn writes_that_fail_leave_nothing_half_done_and_go_on_when_there_is_room() {
    if is_writer() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::start("writes_that_fail_leave_nothing_half_done_and_go_on_when_there_is_room", folder.path(), 0);
    let (mut acknowledged, mut begun) = (BTreeSet::new(), 0);
    for round in 0..3 {
        // The journal is longer than that by then.
        wait_for(&mut writer, true, 100, &mut acknowledged, &mut begun);
        writer.limit_files("65536");
        wait_for(&mut writer, false, 10, &mut acknowledged, &mut begun);
        writer.limit_files("unlimited");
        wait_for(&mut writer, true, 10 * (round + 1), &mut acknowledged, &mut begun);
    }
    writer.kill(|is_acknowledged, number| {
        begun = begun.max(number + 2 * WRITERS + 1);
        if is_acknowledged {
            acknowledged.insert(number);
        }
    });
    let there = tokio::runtime::Runtime::new().unwrap().block_on(check(folder.path(), &acknowledged, begun));
    assert!(there >= acknowledged.len());
}

/// Listens until so many commits were acknowledged, or refused.
fn wait_for(writer: &mut Writer, sought: bool, count: usize, acknowledged: &mut BTreeSet<usize>, begun: &mut usize) {
    let mut seen = 0;
    while seen < count {
        let (is_acknowledged, number) = writer.next().unwrap();
        *begun = (*begun).max(number + 2 * WRITERS + 1);
        if is_acknowledged {
            acknowledged.insert(number);
        }
        seen += usize::from(is_acknowledged == sought);
    }
}
