//! How fast resources are parsed, beside `serde_json::Value`: `cargo run --release -p fhirpool-fhir --example json_speed`.
//!
//! Both are given the same bytes and make a tree of their own from them; medians of several rounds over the resources of some
//! Synthea Bundles, as they stand there (indented) and compact.

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceId, Timestamp, VersionId};

const FILES: usize = 12;
const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (indented, compact) = resources()?;
    for (name, texts) in [("indented", &indented), ("compact", &compact)] {
        let bytes: usize = texts.iter().map(String::len).sum();
        println!("{} resources, {name}, {} bytes on average", texts.len(), bytes / texts.len());
        let ours = median(|| texts.iter().for_each(|text| drop(black_box(Document::parse(text.as_bytes())))));
        let theirs = median(|| texts.iter().for_each(|text| drop(black_box(serde_json::from_slice::<serde_json::Value>(text.as_bytes())))));
        line("fhir::json::Document", ours, texts.len(), bytes);
        line("serde_json::Value", theirs, texts.len(), bytes);
        println!("  {:.2} times as fast", theirs.as_secs_f64() / ours.as_secs_f64());
        bodies(texts, bytes)?;
    }
    Ok(())
}

/// What a create and a read do with a resource besides.
fn bodies(texts: &[String], bytes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let documents = texts.iter().map(|text| Document::parse(text.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let id = ResourceId::parse("x").ok_or("an id")?;
    let prepare = |document: &Document| ResourceBody::prepare(document.root(), &id, &[]);
    let prepared = median(|| documents.iter().for_each(|document| drop(black_box(prepare(document)))));
    line("ResourceBody::prepare", prepared, texts.len(), bytes);
    let stored: Vec<ResourceBody> = documents.iter().map(prepare).collect();
    let mut out = String::new();
    let written = median(|| {
        for body in &stored {
            out.clear();
            body.write(VersionId(1), Timestamp(0), &mut out);
            black_box(&out);
        }
    });
    line("ResourceBody::write", written, texts.len(), bytes);
    Ok(())
}

fn line(name: &str, time: Duration, count: usize, bytes: usize) {
    let micros = time.as_secs_f64() * 1e6 / count as f64;
    println!("  {name:24} {micros:6.2} µs a resource, {:5.0} MB/s", bytes as f64 / time.as_secs_f64() / 1e6);
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

/// The resources of the first Bundles, as they stand there and compact.
fn resources() -> Result<(Vec<String>, Vec<String>), Box<dyn std::error::Error>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea"));
    let folder = std::fs::read_dir(folder).map_err(|error| format!("the test data is not at {}: {error}", folder.display()))?;
    let mut files = folder.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    files.sort();
    let (mut indented, mut compact) = (Vec::new(), Vec::new());
    for file in files.iter().take(FILES) {
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(file)?).read_to_end(&mut json)?;
        let document = Document::parse(json)?;
        for resource in document.root().get("entry").ok_or("a Bundle")?.elements().filter_map(|entry| entry.get("resource")) {
            indented.push(resource.raw().to_owned());
            let mut text = String::new();
            resource.write_compact(&mut text);
            compact.push(text);
        }
    }
    Ok((indented, compact))
}
