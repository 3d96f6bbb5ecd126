//! HL7's own examples conform, but for the slips in them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Larger files are definitions that the small ones hold too.
const BYTES_MAX: u64 = 1_000_000;

/// Files and how many issues each rightly has.
const SLIPS: [(&str, usize); 18] = [
    // Codes with two blanks in a row.
    ("CodeSystem-v2-0550.json", 4),
    // References to types that their element does not allow.
    ("DeviceMetric-example.json", 1),
    ("DeviceUseStatement-example.json", 1),
    ("MedicationRequest-medrx0301.json", 1),
    ("Observation-clinical-gender.json", 1),
    // Items without linkId.
    ("Questionnaire-qs1.json", 32),
    // No base.
    ("SearchParameter-codesystem-extensions-CodeSystem-author.json", 1),
    ("SearchParameter-codesystem-extensions-CodeSystem-effective.json", 1),
    ("SearchParameter-codesystem-extensions-CodeSystem-end.json", 1),
    ("SearchParameter-codesystem-extensions-CodeSystem-keyword.json", 1),
    ("SearchParameter-codesystem-extensions-CodeSystem-workflow.json", 1),
    ("SearchParameter-valueset-extensions-ValueSet-author.json", 1),
    ("SearchParameter-valueset-extensions-ValueSet-effective.json", 1),
    ("SearchParameter-valueset-extensions-ValueSet-end.json", 1),
    ("SearchParameter-valueset-extensions-ValueSet-keyword.json", 1),
    ("SearchParameter-valueset-extensions-ValueSet-workflow.json", 1),
    // An id of 65 characters and more.
    ("SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json", 1),
    // The package's own manifest, which is no resource.
    ("package.json", 1),
];

/// The package that `cargo xtask definitions` fetches; `cargo xtask test` runs that first.
fn package() -> Option<PathBuf> {
    let cache = env::var_os("FHIRPOOL_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| env::var_os("XDG_CACHE_HOME").map(|folder| Path::new(&folder).join("fhirpool")));
    let cache = cache.or_else(|| env::var_os("HOME").map(|folder| Path::new(&folder).join(".cache/fhirpool")))?;
    Some(cache.join("hl7.fhir.r4.examples-4.0.1/package")).filter(|folder| folder.is_dir())
}

#[test]
fn hl7_examples_conform() {
    let Some(package) = package() else {
        eprintln!("left out: HL7's examples are not in the cache; `cargo xtask definitions --check` fetches them");
        return;
    };
    let mut found = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(package).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if !name.ends_with(".json") || name.starts_with('.') || entry.metadata().unwrap().len() > BYTES_MAX {
            continue;
        }
        files += 1;
        let issues = validate(definitions(), Document::parse(fs::read(entry.path()).unwrap()).unwrap().root());
        if !issues.is_empty() {
            found.push((name, issues.len()));
        }
    }
    found.sort_unstable();
    let mut slips = SLIPS.map(|(name, count)| (name.to_owned(), count));
    slips.sort_unstable();
    assert_eq!(found, slips);
    assert!(files > 5000, "{files}");
}
