//! `cargo xtask dictionary DATA OUT`: trains a dictionary for stored bodies on public synthetic Bundles.
//!
//! Every second file is learned from, and the others say what the dictionary is worth. A dictionary that was released is never
//! trained again: stored values name it by its number, so a better one takes the next number
//! (`crates/storage/dictionaries/README.md`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceId};
use zstd::bulk::Compressor;
use zstd::dict::EncoderDictionary;

use crate::Failure;

/// No dictionary is larger.
const DICTIONARY_BYTES_MAX: usize = 112 * 1024;

/// The trainer is given about so much: a hundred times the dictionary, as its authors advise.
const SAMPLE_BYTES_MAX: usize = 24 << 20;

/// Longer bodies (claims, large reports) would crowd out the others.
const SAMPLE_LENGTH_MAX: usize = 16 * 1024;

/// Trains from `DATA` (a folder of gzipped Bundles) into the file `OUT`, which must not be there yet.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let [data, out, rest @ ..] = arguments else { return Err("usage: cargo xtask dictionary DATA OUT [BYTES]".into()) };
    let bytes_max = rest.first().map_or(Ok(DICTIONARY_BYTES_MAX), |bytes| bytes.parse())?.min(DICTIONARY_BYTES_MAX);
    if Path::new(out).exists() {
        return Err(format!("{out} is there already; a dictionary is never replaced").into());
    }
    let mut learned = Vec::new();
    let mut measured = Vec::new();
    for (position, file) in bundles(Path::new(data))?.iter().enumerate() {
        let bodies = if position % 2 == 0 { &mut learned } else { &mut measured };
        read_bodies(file, bodies)?;
    }
    let samples = thin_out(&learned);
    let (bytes, lengths): (Vec<u8>, Vec<usize>) =
        (samples.iter().flat_map(|text| text.bytes()).collect(), samples.iter().map(|text| text.len()).collect());
    println!("learning from {} resources, {} bytes", samples.len(), bytes.len());
    let dictionary = zstd::dict::from_continuous(&bytes, &lengths, bytes_max)?;
    report(&dictionary, &measured)?;
    fs::write(out, dictionary)?;
    Ok(())
}

fn bundles(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(format!("no *.gz in {}", folder.display()).into()) } else { Ok(files) }
}

/// The resources of a Bundle as a store keeps them.
fn read_bodies(file: &Path, bodies: &mut Vec<String>) -> Result<(), Failure> {
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(file)?).read_to_end(&mut json)?;
    let document = Document::parse(json)?;
    let Some(entries) = document.root().get("entry") else { return Err(format!("{} is no Bundle", file.display()).into()) };
    for resource in entries.elements().filter_map(|entry| entry.get("resource")) {
        let id = resource.get_str("id").unwrap_or_default();
        let id = ResourceId::parse(&id).ok_or_else(|| format!("{}: a resource without id", file.display()))?;
        bodies.push(ResourceBody::prepare(resource, &id, &[]).text);
    }
    Ok(())
}

/// Samples spread evenly over all, as many as the trainer should have.
fn thin_out(bodies: &[String]) -> Vec<&str> {
    let usable: Vec<&str> = bodies.iter().map(String::as_str).filter(|text| text.len() <= SAMPLE_LENGTH_MAX).collect();
    let total: usize = usable.iter().map(|text| text.len()).sum();
    let step = total.div_ceil(SAMPLE_BYTES_MAX).max(1);
    usable.into_iter().step_by(step).collect()
}

fn report(dictionary: &[u8], bodies: &[String]) -> Result<(), Failure> {
    let raw: usize = bodies.iter().map(String::len).sum();
    println!("dictionary of {} bytes; {} other resources of {} bytes on average take:", dictionary.len(), bodies.len(), raw / bodies.len());
    for level in [-3, -1, 1, 2, 3, 4, 5, 7] {
        let prepared = EncoderDictionary::copy(dictionary, level);
        let mut compressor = Compressor::with_prepared_dictionary(&prepared)?;
        let start = std::time::Instant::now();
        let mut total = 0;
        for body in bodies {
            total += compressor.compress(body.as_bytes())?.len();
        }
        let micros = start.elapsed().as_micros() as f64 / bodies.len() as f64;
        println!("  level {level:2}: {:4} bytes in {micros:.1} µs", total / bodies.len());
    }
    Ok(())
}
