//! Loads a folder of Synthea Bundles (`*.json.gz`) into a store in a temporary folder and prints what searches cost in it,
//! in microseconds, first and repeated:
//!
//! ```text
//! cargo run --release -p fhirpool-embedded --example search_speed -- FOLDER [ROUNDS] [PART OF A SEARCH]
//! ```

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, Settings};
use fhirpool_fhir::json::{Document, Value};
use fhirpool_fhir::{Definitions, ResourceBody, ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp};
use fhirpool_search::{Extractors, parse};
use fhirpool_storage::{
    Change, ChangeContent, Commit, CommitOutcome, Freshness, Method, Precondition, ResourceStore, SearchIndex, SearchRequest, TotalMode,
};

static BASE: ServiceBase = ServiceBase::fixed("http://localhost/tenant/demo");

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let source = PathBuf::from(arguments.next().ok_or("the first argument names a folder of Bundles")?);
    let rounds: u32 = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1_000);
    let sought = arguments.next().and_then(|text| text.into_string().ok()).unwrap_or_default();
    let folder = tempfile::tempdir()?;
    let bench = Bench::open(folder.path()).await?;
    let start = Instant::now();
    let count = bench.load(&source).await?;
    println!("{count} resources in {:.1} s", start.elapsed().as_secs_f64());
    bench.measure(rounds, &sought).await
}

struct Bench {
    store: EmbeddedStore,
    definitions: Arc<Definitions>,
    extractors: Arc<Extractors>,
    write: WriteAccess,
}

impl Bench {
    async fn open(folder: &Path) -> Result<Self, Failure> {
        let definitions = Definitions::r4();
        let extractors = Arc::new(Extractors::new(definitions.clone()));
        let keys = Arc::new(LocalKeyRing::open(folder)?);
        let ports = Ports { keys, extractors: extractors.clone(), now: Arc::new(now) };
        let store = EmbeddedStore::open(folder, Settings::default(), ports)?;
        let tenant = TenantId::parse("demo").ok_or("demo is a tenant's id")?;
        store.register_tenant(&tenant).await?;
        let write = WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant)?;
        Ok(Self { store, definitions, extractors, write })
    }

    fn read(&self) -> &ReadAccess {
        self.write.as_read()
    }

    async fn load(&self, source: &Path) -> Result<usize, Failure> {
        let mut files: Vec<_> = std::fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
        // Hospitals and practitioners begin with a 0 and a hyphen: the others refer to them.
        files.sort();
        let mut identifiers = HashMap::new();
        let mut count = 0;
        for file in files {
            let mut text = String::new();
            flate2::read::GzDecoder::new(std::fs::File::open(&file)?).read_to_string(&mut text)?;
            let changes = self.changes(&resolve(&text, &mut identifiers)?)?;
            count += changes.len();
            let outcome = self.store.commit(&self.write, Commit { changes, assumptions: Vec::new() }).await?;
            if !matches!(outcome, CommitOutcome::Committed { .. }) {
                return Err(format!("{} was not committed", file.display()).into());
            }
        }
        Ok(count)
    }

    fn changes(&self, text: &str) -> Result<Vec<Change>, Failure> {
        let bundle = Document::parse(text)?;
        let resources = bundle.root().get("entry").into_iter().flat_map(Value::elements).filter_map(|entry| entry.get("resource"));
        resources
            .map(|resource| {
                let key = key_of(resource).ok_or("an entry has no type or id")?;
                let entries = self.extractors.entries(key.resource_type, resource, &BASE);
                let body = ResourceBody::prepare(resource, &key.id, &[]);
                let content = ChangeContent::Put { body, entries };
                Ok(Change { key, method: Method::Put, precondition: Precondition::None, content })
            })
            .collect()
    }

    async fn measure(&self, rounds: u32, sought: &str) -> Result<(), Failure> {
        let patients = self.ids("Patient", "", 100).await?;
        println!("{:<62} {:>8} {:>8} {:>8}", "search", "total", "first", "repeated");
        for (name, query) in QUERIES.into_iter().filter(|(_, query)| query.contains(sought)) {
            let requests: Vec<_> =
                patients.iter().map(|patient| self.request(name, &query.replace("{patient}", patient))).collect::<Result<_, _>>()?;
            let start = Instant::now();
            let first = self.store.search(self.read(), &requests[0]).await?;
            let cold = start.elapsed();
            for request in &requests {
                self.store.search(self.read(), request).await?;
            }
            let start = Instant::now();
            for round in 0..rounds as usize {
                self.store.search(self.read(), &requests[round % requests.len()]).await?;
            }
            let total = first.total.map_or_else(|| "-".to_owned(), |total| total.to_string());
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            println!(
                "{:<62} {total:>8} {:>8.0} {:>8.1}",
                format!("{name}?{query}"),
                micros(cold),
                micros(start.elapsed()) / f64::from(rounds)
            );
        }
        Ok(())
    }

    async fn ids(&self, name: &str, query: &str, limit: usize) -> Result<Vec<String>, Failure> {
        let request = SearchRequest { limit, ..self.request(name, query)? };
        let page = self.store.search(self.read(), &request).await?;
        Ok(page.hits.iter().map(|hit| hit.key.id.to_string()).collect())
    }

    fn request(&self, name: &str, query: &str) -> Result<SearchRequest, Failure> {
        let scope = parse::Scope::Type(ResourceType::parse(name).ok_or("no such type")?);
        let options = parse::Options { base: &BASE, handling: parse::Handling::Strict, limits: parse::Limits::default(), now: now() };
        let query = parse::parse(&self.definitions, &scope, &parse::decode_query(query)?, &options)?;
        let limit = if query.only_counts() { 0 } else { query.count.unwrap_or(20) as usize };
        Ok(SearchRequest {
            parts: query.parts,
            after: None,
            limit,
            total: TotalMode::UpTo(10_000),
            view: None,
            freshness: Freshness::Exact,
        })
    }
}

const QUERIES: [(&str, &str); 18] = [
    ("Observation", "patient=Patient/{patient}"),
    ("Observation", "code=http://loinc.org|8302-2&date=ge2015"),
    ("Observation", "patient=Patient/{patient}&category=vital-signs&_sort=-date"),
    ("Patient", "family=A&birthdate=ge1950"),
    ("Observation", "patient.family=S"),
    ("Observation", "code=http://loinc.org|8302-2&value-quantity=gt100"),
    ("Observation", "_summary=count"),
    ("Observation", "code=http://loinc.org|8302-2&_summary=count"),
    ("Observation", "category=vital-signs"),
    ("Observation", "date=ge2015-03-01"),
    ("Observation", "_sort=-date"),
    ("Observation", "_sort=code,-date&category=laboratory"),
    ("Observation", "category:not=vital-signs"),
    ("Observation", "encounter:missing=true"),
    ("Patient", "_has:Observation:patient:code=8302-2"),
    ("Observation", "patient.gender=male"),
    ("Encounter", "_lastUpdated=gt2000"),
    ("Patient", "_id={patient}"),
];

fn now() -> Timestamp {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    Timestamp(time as i64)
}

fn key_of(resource: Value<'_>) -> Option<ResourceKey> {
    let resource_type = ResourceType::parse(&resource.get_str("resourceType")?)?;
    Some(ResourceKey::new(resource_type, ResourceId::parse(&resource.get_str("id")?)?))
}

/// Writes `Type/id` in place of what the Bundle's references say: `urn:uuid:…` of an entry, or `Type?identifier=…` of a
/// resource of an earlier Bundle.
fn resolve(text: &str, identifiers: &mut HashMap<String, String>) -> Result<String, Failure> {
    let bundle = Document::parse(text)?;
    let mut places = HashMap::new();
    for entry in bundle.root().get("entry").into_iter().flat_map(Value::elements) {
        let (Some(resource), Some(url)) = (entry.get("resource"), entry.get_str("fullUrl")) else { continue };
        let Some(key) = key_of(resource) else { continue };
        for identifier in resource.get("identifier").into_iter().flat_map(Value::elements) {
            if let (Some(system), Some(value)) = (identifier.get_str("system"), identifier.get_str("value")) {
                identifiers.insert(format!("{}?identifier={system}|{value}", key.resource_type), key.to_string());
            }
        }
        places.insert(url.into_owned(), key.to_string());
    }
    let mut parts = text.split("\"reference\": \"");
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once('"').ok_or("a reference does not end")?;
        let target = places.get(reference).or_else(|| identifiers.get(reference)).map_or(reference, String::as_str);
        resolved.push_str("\"reference\": \"");
        resolved.push_str(target);
        resolved.push('"');
        resolved.push_str(rest);
    }
    Ok(resolved)
}
