//! The package with HL7's definitions: fetched once by npm into a cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Failure, cache};

const NAME: &str = "hl7.fhir.r4.examples";
const VERSION: &str = "4.0.1";

/// The unpacked package.
pub struct Package {
    folder: PathBuf,
}

impl Package {
    /// Finds the package in the cache folder or has npm fetch it there.
    pub fn obtain() -> Result<Self, Failure> {
        let folder = cache::folder()?.join(format!("{NAME}-{VERSION}"));
        let package = Self { folder: folder.join("package") };
        if !package.folder.join("package.json").exists() {
            fetch(&folder)?;
        }
        let manifest = package.read("package.json")?;
        if manifest["name"] != NAME || manifest["version"] != VERSION {
            return Err(format!("{} does not hold {NAME} {VERSION}", package.folder.display()).into());
        }
        Ok(package)
    }

    /// The resources of a Bundle in the package.
    pub fn bundle(&self, file: &str) -> Result<Vec<Value>, Failure> {
        let mut bundle = self.read(file)?;
        let Value::Array(entries) = bundle["entry"].take() else { return Err(format!("{file} has no entries").into()) };
        Ok(entries.into_iter().map(|mut entry| entry["resource"].take()).collect())
    }

    /// The StructureDefinitions of R4's own types; constraints on them (`SimpleQuantity`) and logical models left out.
    pub fn structures(&self) -> Result<Vec<Value>, Failure> {
        let mut structures = self.bundle("Bundle-types.json")?;
        structures.extend(self.bundle("Bundle-resources.json")?);
        structures.retain(|structure| {
            structure["resourceType"] == "StructureDefinition" && structure["kind"] != "logical" && structure["derivation"] != "constraint"
        });
        Ok(structures)
    }

    fn read(&self, file: &str) -> Result<Value, Failure> {
        let path = self.folder.join(file);
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

/// npm checks the archive's integrity.
fn fetch(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    cache::run(Command::new("npm").args(["pack", "--silent", &format!("{NAME}@{VERSION}")]).current_dir(folder))?;
    cache::run(Command::new("tar").args(["-xzf", &format!("{NAME}-{VERSION}.tgz")]).current_dir(folder))
}
