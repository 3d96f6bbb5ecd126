//! The cache folder outside the checkout: what was downloaded or built once serves every clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// `$FHIRPOOL_CACHE`, or `fhirpool` in the user's cache folder.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    let folder = match (std::env::var_os("FHIRPOOL_CACHE"), std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(folder), _, _) => PathBuf::from(folder),
        (None, Some(cache), _) => Path::new(&cache).join("fhirpool"),
        (None, None, Some(home)) => Path::new(&home).join(".cache/fhirpool"),
        (None, None, None) => return Err("FHIRPOOL_CACHE: found nothing; allowed: a folder for downloads and tools".into()),
    };
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A program from crates.io at a pinned version, built into the cache on first use.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<PathBuf, Failure> {
    let root = folder()?.join(format!("tools/{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.is_file() {
        eprintln!("installing {name} {version} into {}", root.display());
        let target = folder()?.join("tools/target");
        let mut command = Command::new(cargo_program());
        command.args(["install", name, "--version", version, "--locked", "--root"]).arg(&root).env("CARGO_TARGET_DIR", &target);
        run(&mut command)?;
        // The build's leftovers would only weigh down the cache.
        std::fs::remove_dir_all(&target).or_else(|cause| if cause.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(cause) })?;
    }
    Ok(program)
}

/// A program from npm at a pinned version, installed into the cache on first use.
pub(crate) fn npm_tool(name: &str, version: &str) -> Result<PathBuf, Failure> {
    let root = folder()?.join(format!("tools/{name}-{version}"));
    let program = root.join("node_modules/.bin").join(name);
    if !program.exists() {
        eprintln!("installing {name} {version} into {}", root.display());
        std::fs::create_dir_all(&root)?;
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&root).arg(format!("{name}@{version}"));
        run(&mut command)?;
    }
    Ok(program)
}

/// The cargo that runs this program.
pub(crate) fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs a command to its end; anything but success is a failure that names it.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let result = command.status();
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).map(std::ffi::OsStr::to_string_lossy).collect();
    match result {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", words.join(" ")).into()),
        Err(cause) => Err(format!("{}: {cause}", words.join(" ")).into()),
    }
}
