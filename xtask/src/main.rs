//! Project tasks: `cargo xtask <command>`.

mod bench;
mod cache;
mod clients;
mod definitions;
mod dictionary;
mod soak;
mod stack;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>
  test [--lint | --postman]   everything that CI runs
  clients [SCRIPT…]           real clients, unmodified
  tidy                        the structure of the workspace
  definitions [--check]       compile the R4 definitions into tables
  dictionary                  train the compression dictionary
  stack up | down | status    the AWS side on this machine; stack run COMMAND…: for one command
  bench [--profile aws] [--record]   figures of a release build; bench --access | --fairness [--programs FOLDER] [--record]: one question alone
  soak [--profile aws] [--record]    the long campaigns of crashes, faults and models";

/// Why a task failed, for the terminal.
pub type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments.split_first().map_or(("", &[][..]), |(command, rest)| (command.as_str(), rest));
    let result = match command {
        "bench" => bench::run_all(&root(), rest),
        "clients" => clients::run_all(&root(), rest),
        "definitions" => definitions::run(&root(), rest),
        "dictionary" => dictionary::run(rest),
        "soak" => soak::run_all(&root(), rest),
        "s3-server" => stack::s3_server::run(rest),
        "stack" => stack::run(rest),
        "test" => test::run_all(&root(), rest),
        "tidy" => tidy::run(&root()),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace. Cargo says at run time where it is: a program built for another clone may be run again.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// The public test data beside the checkout.
fn data_folder(root: &Path) -> Result<PathBuf, Failure> {
    let folder = root.join("../shared/data");
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err("the test data is not there: expected in the folder shared/data beside the checkout".into())
    }
}

/// Writes what a long run showed to `docs/evidence/`.
fn record_evidence(root: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let folder = root.join("docs/evidence");
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join(name), text)?)
}
