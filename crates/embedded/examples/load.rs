//! Loads Bundles into an embedded store without a server, and tells what a resource costs: time in the committer, disk,
//! memory. `cargo run --release -p fhirpool-embedded --example load -- FOLDER BUNDLE…` (JSON, or gzip by name).

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, Settings};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceBody, ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp};
use fhirpool_search::Extractors;
use fhirpool_storage::{Change, ChangeContent, Commit, CommitOutcome, Method, Precondition, ResourceStore};

type Failure = Box<dyn std::error::Error + Send + Sync>;

static BASE: ServiceBase = ServiceBase::fixed("http://localhost/tenant/demo");

const WORKERS: usize = 4;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the first argument is a folder")?;
    let paths: Vec<String> = arguments.collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(Path::new(&folder), paths))
}

async fn run(folder: &Path, paths: Vec<String>) -> Result<(), Failure> {
    let extractors = Arc::new(Extractors::new(Definitions::r4()));
    let now = || Timestamp(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as i64));
    let ports = Ports { keys: Arc::new(LocalKeyRing::open(folder)?), extractors: Arc::clone(&extractors), now: Arc::new(now) };
    let store = Arc::new(EmbeddedStore::open(folder, Settings::default(), ports)?);
    let tenant = TenantId::parse("demo").ok_or("tenant")?;
    store.register_tenant(&tenant).await?;
    let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant)?;

    // Parsing and extraction come first, so that the store's own time is told.
    let mut commits = Vec::new();
    let (mut resources, mut entries, mut keys) = (0, 0, Vec::new());
    for path in &paths {
        let changes = changes(&extractors, &read(path)?)?;
        resources += changes.len();
        for change in &changes {
            keys.push(change.key.clone());
            if let ChangeContent::Put { entries: mine, .. } = &change.content {
                entries += mine.len();
            }
        }
        commits.push(changes);
    }
    println!("{} commits, {resources} resources, {:.1} entries a resource", commits.len(), entries as f64 / resources as f64);
    println!("memory before the load: {} MB", memory_mb());

    let cpu = committer_time();
    let started = Instant::now();
    commit_all(&store, &access, commits).await?;
    let elapsed = started.elapsed();
    let committer = committer_time().saturating_sub(cpu);
    println!("loaded in {elapsed:.2?}: {:.0} resources/s", resources as f64 / elapsed.as_secs_f64());
    println!("committer: {:.1} µs a resource", committer.as_micros() as f64 / resources as f64);
    println!("memory: {} MB", memory_mb());
    tell_disk(&store, folder, resources).await?;

    let started = Instant::now();
    for key in &keys {
        store.read(access.as_read(), key).await?.ok_or("a resource is missing")?;
    }
    println!("read: {:.1} µs each", started.elapsed().as_micros() as f64 / keys.len() as f64);
    single_writes(&store, &access, &extractors).await?;
    store.compact().await?;
    println!("after compaction:");
    tell_disk(&store, folder, resources).await?;
    let started = Instant::now();
    for key in &keys {
        store.read(access.as_read(), key).await?.ok_or("a resource is missing")?;
    }
    println!("read: {:.1} µs each; memory: {} MB", started.elapsed().as_micros() as f64 / keys.len() as f64, memory_mb());
    let started = Instant::now();
    let report = store.verify().await?;
    println!("verified {} versions and {} postings in {:.2?}", report.versions, report.postings, started.elapsed());
    report.problems.iter().for_each(|problem| println!("  {problem}"));
    let started = Instant::now();
    let backup = store.backup(std::io::sink()).await?;
    println!("backed up {} MB in {:.2?}", backup.bytes >> 20, started.elapsed());
    Ok(())
}

async fn commit_all(store: &Arc<EmbeddedStore>, access: &WriteAccess, commits: Vec<Vec<Change>>) -> Result<(), Failure> {
    let commits: Arc<Vec<std::sync::Mutex<Option<Vec<Change>>>>> =
        Arc::new(commits.into_iter().map(|changes| std::sync::Mutex::new(Some(changes))).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (store, access, commits, next) = (Arc::clone(store), access.clone(), Arc::clone(&commits), Arc::clone(&next));
        workers.push(tokio::spawn(async move {
            while let Some(slot) = commits.get(next.fetch_add(1, Ordering::SeqCst)) {
                let changes = slot.lock().map_err(|_| "poisoned")?.take().ok_or("taken twice")?;
                let outcome = store.commit(&access, Commit { changes, assumptions: Vec::new() }).await?;
                if !matches!(outcome, CommitOutcome::Committed { .. }) {
                    return Err(format!("{outcome:?}").into());
                }
            }
            Ok::<(), Failure>(())
        }));
    }
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn single_writes(store: &Arc<EmbeddedStore>, access: &WriteAccess, extractors: &Extractors) -> Result<(), Failure> {
    const EACH: usize = 500;
    const WRITERS: usize = 16;
    let text = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2024-03-01T10:00:00Z","valueQuantity":{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#;
    let document = Document::parse(text)?;
    let entries = extractors.entries(ResourceType::parse("Observation").ok_or("type")?, document.root(), &BASE);
    for round in ["create", "update"] {
        let started = Instant::now();
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (store, access, entries) = (Arc::clone(store), access.clone(), entries.clone());
            let text = text.to_owned();
            writers.push(tokio::spawn(async move {
                for number in 0..EACH {
                    let id = ResourceId::parse(&format!("w{writer}-{number}")).ok_or("id")?;
                    let key = ResourceKey::new(ResourceType::parse("Observation").ok_or("type")?, id);
                    let body = ResourceBody::prepare(Document::parse(text.as_str())?.root(), &key.id, &[]);
                    let content = ChangeContent::Put { body, entries: entries.clone() };
                    let change = Change { key, method: Method::Put, precondition: Precondition::None, content };
                    store.commit(&access, Commit { changes: vec![change], assumptions: Vec::new() }).await?;
                }
                Ok::<(), Failure>(())
            }));
        }
        for writer in writers {
            writer.await??;
        }
        println!("{round}: {:.0}/s by {WRITERS} writers", (EACH * WRITERS) as f64 / started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn changes(extractors: &Extractors, text: &str) -> Result<Vec<Change>, Failure> {
    let bundle = Document::parse(text)?;
    let mut changes = Vec::new();
    for entry in bundle.root().get("entry").ok_or("not a Bundle")?.elements() {
        let resource = entry.get("resource").ok_or("an entry without resource")?;
        let resource_type = resource.get_str("resourceType").and_then(|name| ResourceType::parse(&name)).ok_or("no type")?;
        let id = entry.get_str("fullUrl").and_then(|url| ResourceId::parse(url.trim_start_matches("urn:uuid:"))).ok_or("no id")?;
        let entries = extractors.entries(resource_type, resource, &BASE);
        let body = ResourceBody::prepare(resource, &id, &[]);
        let content = ChangeContent::Put { body, entries };
        changes.push(Change { key: ResourceKey::new(resource_type, id), method: Method::Post, precondition: Precondition::None, content });
    }
    Ok(changes)
}

fn read(path: &str) -> Result<String, Failure> {
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    match path.ends_with(".gz") {
        true => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text)?,
        false => { file }.read_to_string(&mut text)?,
    };
    Ok(text)
}

async fn tell_disk(store: &EmbeddedStore, folder: &Path, resources: usize) -> Result<(), Failure> {
    for (name, bytes) in store.disk_bytes().await? {
        println!("  {name:<10} {:>8.0} bytes a resource", bytes as f64 / resources as f64);
    }
    println!("  on disk    {:>8.0} bytes a resource", allocated(folder)? as f64 / resources as f64);
    Ok(())
}

/// What the file system has allocated below a folder.
fn allocated(folder: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { allocated(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The resident set.
fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processor time of the committer's thread.
fn committer_time() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if name.ends_with("(fhirpool:commit") {
            let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
            let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
            return Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        }
    }
    Duration::ZERO
}
