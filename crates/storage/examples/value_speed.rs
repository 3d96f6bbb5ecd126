//! How fast stored values are made and opened, and how long they are:
//! `cargo run --release -p fhirpool-storage --example value_speed`.

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use fhirpool_authz::TenantId;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceId, ResourceType, Timestamp, VersionId};
use fhirpool_storage::value::{Codec, ItemName, open};
use fhirpool_storage::{Content, KeyEpoch, Method, StoredVersion, TenantKey};

const ROUNDS: usize = 5;

struct Sample {
    resource_type: ResourceType,
    id: ResourceId,
    version: StoredVersion,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let all = samples()?;
    let some: Vec<&Sample> = all.iter().collect();
    report("all resources", &some)?;
    let common: Vec<&Sample> = all.iter().filter(|sample| (1200..1800).contains(&length(sample))).collect();
    report("of 1.2 to 1.8 KB", &common)
}

fn report(name: &str, samples: &[&Sample]) -> Result<(), Box<dyn std::error::Error>> {
    let tenant = TenantId::parse("acme").ok_or("a tenant")?;
    let key = TenantKey::new(KeyEpoch(1), &[7; 32]);
    let codec = Codec::default();
    let mut items = Vec::new();
    for Sample { resource_type, id, .. } in samples {
        items.push(ItemName { tenant: &tenant, resource_type: *resource_type, id, version: VersionId(1), transaction: b"" });
    }
    let mut out = Vec::new();
    let sealing = median(|| {
        for (sample, item) in samples.iter().zip(&items) {
            out.clear();
            codec.seal(&key, item, &sample.version, &mut out);
            black_box(&out);
        }
    });
    let compressed: Vec<_> = samples.iter().map(|sample| codec.compress(Method::Put, &sample.version.content)).collect();
    let finishing = median(|| {
        for (compressed, item) in compressed.iter().zip(&items) {
            out.clear();
            compressed.seal(&key, item, Timestamp(0), &mut out);
            black_box(&out);
        }
    });
    let mut values = Vec::new();
    for (sample, item) in samples.iter().zip(&items) {
        let mut value = Vec::new();
        codec.seal(&key, item, &sample.version, &mut value);
        values.push(value);
    }
    let opening = median(|| {
        for (value, item) in values.iter().zip(&items) {
            black_box(open(&key, item, value).ok());
        }
    });
    let raw: usize = samples.iter().map(|sample| length(sample)).sum();
    let stored: usize = values.iter().map(Vec::len).sum();
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / samples.len() as f64;
    println!("{name}: {}, {} bytes on average, stored in {}", samples.len(), raw / samples.len(), stored / samples.len());
    println!("  seal {:.2} µs (of which behind compression {:.2} µs), open {:.2} µs", micros(sealing), micros(finishing), micros(opening));
    Ok(())
}

fn length(sample: &Sample) -> usize {
    match &sample.version.content {
        Content::Resource(body) => body.text.len(),
        Content::Deleted => 0,
    }
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

/// Every eighth Bundle of those that the dictionary was not trained on.
fn samples() -> Result<Vec<Sample>, Box<dyn std::error::Error>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea"));
    let entries = std::fs::read_dir(folder).map_err(|error| format!("the test data is not at {}: {error}", folder.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    files.sort();
    let mut samples = Vec::new();
    for file in files.iter().skip(1).step_by(8) {
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(file)?).read_to_end(&mut json)?;
        let document = Document::parse(json)?;
        for resource in document.root().get("entry").ok_or("a Bundle")?.elements().filter_map(|entry| entry.get("resource")) {
            let resource_type = resource.get_str("resourceType").and_then(|name| ResourceType::parse(&name)).ok_or("a type")?;
            let id = resource.get_str("id").and_then(|id| ResourceId::parse(&id)).ok_or("an id")?;
            let content = Content::Resource(ResourceBody::prepare(resource, &id, &[]));
            let version = StoredVersion { version: VersionId(1), last_updated: Timestamp(1_795_250_572_007), method: Method::Put, content };
            samples.push(Sample { resource_type, id, version });
        }
    }
    Ok(samples)
}
