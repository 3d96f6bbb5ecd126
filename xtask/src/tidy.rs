//! `cargo xtask tidy`: what the structure of the workspace must keep to. Prints every breach and fails if there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::Failure;

/// Crate → the crates of this workspace that it may depend on. Development dependencies are free.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("fhir", &[]),
    ("fhirpath", &["fhir"]),
    ("validation", &["fhir", "fhirpath"]),
    ("search", &["fhir", "fhirpath"]),
    ("authz", &["fhir"]),
    ("storage", &["fhir", "authz", "search"]),
    ("audit", &["fhir", "authz", "storage"]),
    ("interactions", &["fhir", "fhirpath", "audit", "authz", "search", "storage", "validation"]),
    ("api", &["fhir", "audit", "authz", "search", "storage", "interactions"]),
    ("embedded", &["fhir", "authz", "search", "storage"]),
    ("dynamodb", &["fhir", "authz", "search", "storage"]),
    ("opensearch", &["fhir", "authz", "search", "storage"]),
    ("indexer", &["fhir", "authz", "search", "storage"]),
    ("binary", &["fhir", "authz", "storage"]),
    ("issuers", &["fhir", "authz"]),
    ("kms", &["authz", "storage"]),
    ("sqs", &["authz", "fhir", "storage"]),
    (
        "server",
        &[
            "fhir",
            "audit",
            "authz",
            "search",
            "storage",
            "validation",
            "interactions",
            "api",
            "embedded",
            "dynamodb",
            "opensearch",
            "indexer",
            "issuers",
            "binary",
            "kms",
            "sqs",
        ],
    ),
    ("testkit", &["fhir", "authz", "search", "storage", "interactions", "api", "embedded", "server"]),
];

/// Longest Rust file, in lines.
const FILE_LINES_MAX: usize = 700;

/// Texts that no file may hold: addresses of package registries and folders of a developer's machine. Written in halves, so
/// that this file passes.
const FORBIDDEN: &[(&str, &str)] = &[
    ("registry.npm", "js.org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("files.python", "hosted.org"),
    ("pypi", ".org"),
    ("repo1.maven", ".org"),
    ("repo.maven", ".apache.org"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
    ("/home", "/"),
    ("/root", "/"),
    ("/work", "/main"),
    ("/work", "/shared"),
    ("/work", "/target"),
];

pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let mut breaches = Vec::new();
    check_dependencies(root, &mut breaches)?;
    for file in tracked_files(root)? {
        check_file(root, &file, &mut breaches)?;
    }
    if breaches.is_empty() {
        println!("tidy: ok");
        return Ok(());
    }
    Err(format!("{}\ntidy: {} breaches", breaches.join("\n"), breaches.len()).into())
}

fn check_dependencies(root: &Path, breaches: &mut Vec<String>) -> Result<(), Failure> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = DEPENDENCIES.iter().map(|(name, list)| (*name, list.iter().copied().collect())).collect();
    for entry in std::fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(allowed) = allowed.get(name.as_str()) else {
            breaches.push(format!("crates/{name}: no line in the dependency table of xtask/src/tidy.rs"));
            continue;
        };
        let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        let names = dependencies.into_iter().flat_map(toml::Table::keys);
        for dependency in names.filter_map(|dependency| dependency.strip_prefix("fhirpool-")) {
            if !allowed.contains(dependency) {
                breaches.push(format!("crates/{name}: must not depend on {dependency}"));
            }
        }
    }
    Ok(())
}

fn tracked_files(root: &Path) -> Result<Vec<String>, Failure> {
    let output = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root).output()?;
    if !output.status.success() {
        return Err("git ls-files failed".into());
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

fn check_file(root: &Path, file: &str, breaches: &mut Vec<String>) -> Result<(), Failure> {
    let path = root.join(file);
    if file == "Cargo.lock" || !path.is_file() {
        return Ok(());
    }
    let Ok(text) = String::from_utf8(std::fs::read(&path)?) else { return Ok(()) };
    if file.ends_with(".rs") {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            breaches.push(format!("{file}: {lines} lines, at most {FILE_LINES_MAX}: split it by duty"));
        }
    }
    for (head, tail) in FORBIDDEN {
        let forbidden = format!("{head}{tail}");
        if let Some(line) = text.lines().position(|line| line.contains(&forbidden)) {
            breaches.push(format!("{file}:{}: holds {forbidden}", line + 1));
        }
    }
    Ok(())
}
