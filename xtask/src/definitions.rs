//! `cargo xtask definitions [--check]`: compiles HL7's R4 4.0.1 definitions into the tables under `crates/fhir/definitions`.
//!
//! The tables are lines of text, so that a change of what the server believes about FHIR can be read in a review. With
//! `--check` nothing is written: the command fails where a table differs from what the package gives.

mod code_lists;
mod compartments;
mod package;
mod parameters;
mod types;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use package::Package;

/// Where the tables are, from the root of the workspace.
const FOLDER: &str = "crates/fhir/definitions";

/// Runs the command.
pub fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask definitions [--check]".into()),
    };
    let folder = root.join(FOLDER);
    let tables = compile(&Package::obtain()?, &folder)?;
    if check { compare(&folder, &tables) } else { write(&folder, &tables) }
}

/// A table: its file name and its text.
type Table = (&'static str, String);

fn compile(package: &Package, folder: &Path) -> Result<Vec<Table>, Failure> {
    let structures = package.structures()?;
    let bindings = types::required_value_sets(&structures)?;
    let code_lists = code_lists::compile(&package.bundle("Bundle-valueset-expansions.json")?, &bindings)?;
    let numbers_so_far = fs::read_to_string(folder.join(parameters::FILE)).unwrap_or_default();
    Ok(vec![
        (types::FILE, types::compile(&structures, &code_lists.urls)?),
        (code_lists::FILE, code_lists.table),
        (parameters::FILE, parameters::compile(&package.bundle("Bundle-searchParams.json")?, &numbers_so_far)?),
        (compartments::FILE, compartments::compile(&package.bundle("Bundle-resources.json")?)?),
    ])
}

fn write(folder: &Path, tables: &[Table]) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    for (name, text) in tables {
        fs::write(folder.join(name), text)?;
        println!("{name}: {} lines", text.lines().count());
    }
    Ok(())
}

fn compare(folder: &Path, tables: &[Table]) -> Result<(), Failure> {
    let mut stale = Vec::new();
    for (name, text) in tables {
        let path: PathBuf = folder.join(name);
        let present = fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = first_difference(&present, text) {
            stale.push(format!("{FOLDER}/{name} differs from line {line}"));
        }
    }
    if stale.is_empty() { Ok(()) } else { Err(format!("{}; run `cargo xtask definitions`", stale.join(", ")).into()) }
}

/// The first line (from 1) in which two texts differ.
fn first_difference(left: &str, right: &str) -> Option<usize> {
    if left == right {
        return None;
    }
    let same = left.lines().zip(right.lines()).take_while(|(left, right)| left == right).count();
    Some(same + 1)
}
