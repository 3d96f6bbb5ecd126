//! Validates files and prints their issues and how long it took: `cargo run --release --example validate -- FILE…`
//!
//! A file is one JSON resource, gzip too.

use std::fs;
use std::hint::black_box;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fhirpool_fhir::Definitions;
use fhirpool_fhir::json::{Document, Value};
use fhirpool_validation::validate;
use flate2::read::GzDecoder;

/// Enough rounds to see through the first one's cold caches.
const ROUNDS: u32 = 5;

#[derive(Default)]
struct Total {
    resources: usize,
    bytes: usize,
    time: Duration,
    issues: usize,
}

fn main() -> ExitCode {
    let start = Instant::now();
    let definitions = Definitions::r4();
    println!("definitions loaded in {:?}", start.elapsed());
    let mut total = Total::default();
    for file in std::env::args().skip(1) {
        if let Err(error) = validate_file(&definitions, &file, &mut total) {
            println!("{file}: {error}");
        }
    }
    let per_resource = total.time / u32::try_from(total.resources.max(1)).unwrap_or(u32::MAX);
    let size = total.bytes / total.resources.max(1);
    println!("{} issues in {} resources of {size} bytes on average, {per_resource:?} each", total.issues, total.resources);
    if total.issues == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn validate_file(definitions: &Definitions, file: &str, total: &mut Total) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = fs::read(file)?;
    if file.ends_with(".gz") {
        let mut unpacked = Vec::new();
        GzDecoder::new(text.as_slice()).read_to_end(&mut unpacked)?;
        text = unpacked;
    }
    let document = Document::parse(text)?;
    let start = Instant::now();
    for _ in 1..ROUNDS {
        black_box(validate(definitions, black_box(document.root())));
    }
    let issues = validate(definitions, document.root());
    total.time += start.elapsed() / ROUNDS;
    total.bytes += document.source().len();
    total.resources +=
        document.root().get("entry").map_or(1, |entries| entries.elements().filter_map(|entry| entry.get("resource")).count());
    total.issues += issues.len();
    for issue in issues {
        println!(
            "{file}: {} {}: {} {}",
            issue.code.code(),
            issue.expression.unwrap_or_default(),
            issue.diagnostics,
            excerpt(document.root())
        );
    }
    Ok(())
}

/// The resource's type and id.
fn excerpt(resource: Value<'_>) -> String {
    let text = |name| resource.get_str(name).unwrap_or_default().into_owned();
    format!("({}/{})", text("resourceType"), text("id"))
}
