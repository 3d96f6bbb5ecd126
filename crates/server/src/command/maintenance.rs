//! `fhirpool verify`, `backup`, `restore`, `repair`, `keys`

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use fhirpool_authz::TenantId;
use fhirpool_embedded::maintenance::{self, Extraction};
use fhirpool_embedded::{KeyRingError, LocalKeyRing};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceBody, ServiceBase};
use fhirpool_search::Extractors;

use super::Failure;
use crate::config::addresses::tenant_addresses;
use crate::{content_copy, control};

/// A data folder that no server has open.
#[derive(Debug, clap::Args)]
pub(super) struct FolderArguments {
    /// The data folder
    #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
    data: PathBuf,
}

/// What to copy, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArguments {
    /// The data folder; a server may have it open
    #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
    data: PathBuf,
    /// The file, which must not be there yet
    #[arg(long)]
    to: PathBuf,
}

/// What to restore, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The backup
    #[arg(long)]
    from: PathBuf,
    /// The exported keys; without them the folder must have its keys already
    #[arg(long)]
    keys: Option<PathBuf>,
    /// The data folder, in which there is no store
    #[arg(long, env = "FHIRPOOL_DATA")]
    data: PathBuf,
    #[command(flatten)]
    bases: BaseArguments,
}

/// Where the server is reached: absolute references below these URLs are indexed as local.
#[derive(Debug, clap::Args)]
struct BaseArguments {
    /// The URL clients reach the server by: absolute references below it are indexed as local
    #[arg(long, env = "FHIRPOOL_BASE_URL", default_value = "")]
    base_url: String,
    /// Base URLs of tenants, as the setting of a server: absolute references below a tenant's own are indexed as local
    #[arg(long, env = "FHIRPOOL_TENANT_ADDRESS", value_delimiter = ',')]
    tenant_address: Vec<String>,
}

/// What to repair.
#[derive(Debug, clap::Args)]
pub(super) struct RepairArguments {
    /// The data folder
    #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
    data: PathBuf,
    #[command(flatten)]
    bases: BaseArguments,
}

/// Keys out of or into a data folder.
#[derive(Debug, clap::Subcommand)]
pub(super) enum KeysCommand {
    /// Writes all keys to a file that only its owner may read
    Export {
        /// The data folder
        #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
        data: PathBuf,
        /// The file, which must not be there yet
        #[arg(long)]
        to: PathBuf,
    },
    /// Puts exported keys into a folder that has none
    Import {
        /// The data folder
        #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
        data: PathBuf,
        /// The file
        #[arg(long)]
        from: PathBuf,
    },
    /// Gives a tenant a new key, with which a server seals from its next start on; the old ones stay for what they have sealed
    Rotate {
        /// The data folder
        #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
        data: PathBuf,
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
}

pub(super) fn keys(command: &KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Export { data, to } => {
            let text = existing_keys(data)?.export()?;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(to)
                .map_err(|cause| format!("to: {}: {cause}", to.display()))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            println!("wrote the keys to {}: whoever has them and a backup has everything", to.display());
        }
        KeysCommand::Import { data, from } => {
            let text = std::fs::read_to_string(from).map_err(|cause| format!("from: {}: {cause}", from.display()))?;
            LocalKeyRing::import(data, &text)?;
            println!("put the keys into {}", data.display());
        }
        KeysCommand::Rotate { data, tenant } => {
            let tenant = TenantId::parse(tenant).ok_or("tenant: allowed are 1 to 64 letters, digits, `-` and `_`")?;
            let epoch = existing_keys(data)?.rotate(&tenant)?;
            println!("tenant {tenant} has key {} now; a server that runs on the folder uses it once it is started again", epoch.0);
            println!("export the keys again: earlier exports lack it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(arguments: &FolderArguments) -> Result<ExitCode, Failure> {
    let keys = existing_keys(&arguments.data)?;
    let report = in_runtime(maintenance::verify(&arguments.data, keys))??;
    for problem in &report.problems {
        println!("{problem}");
    }
    if report.problems_left_out > 0 {
        println!("… and {} more", report.problems_left_out);
    }
    println!("{} resources, {} versions, {} postings checked", report.resources, report.versions, report.postings);
    println!("{} blocks of the logs of accesses checked", report.audit_blocks);
    if report.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} problems: `fhirpool repair` rebuilds what can be", report.problems.len() as u64 + report.problems_left_out);
    Ok(ExitCode::FAILURE)
}

pub(super) fn backup(arguments: &BackupArguments) -> Result<ExitCode, Failure> {
    let to = std::path::absolute(&arguments.to)?;
    let said = in_runtime(async {
        match control::request(&arguments.data, &format!("backup {}", to.display())).await? {
            Some(answer) => answer.map_err(Failure::from),
            None => {
                let summary = maintenance::backup(&arguments.data, control::new_file(&to)?).await?;
                Ok(control::said(&summary))
            }
        }
    })??;
    // Behind the store's: what the backup names is there by now.
    let files = content_copy::copy_out(&arguments.data, &to)?;
    println!("{said} to {}; the keys are not in it: see `fhirpool keys export`", to.display());
    if files > 0 {
        println!("copied {files} files of content to {}: a restore looks for them there", content_copy::beside(&to).display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(arguments: &RestoreArguments) -> Result<ExitCode, Failure> {
    let from = File::open(&arguments.from).map_err(|cause| format!("from: {}: {cause}", arguments.from.display()))?;
    if let Some(path) = &arguments.keys {
        let text = std::fs::read_to_string(path).map_err(|cause| format!("keys: {}: {cause}", path.display()))?;
        crate::assembly::make_data_folder(&arguments.data)?;
        LocalKeyRing::import(&arguments.data, &text)?;
    }
    let keys = existing_keys(&arguments.data)?;
    // Ahead of the store: as long as there is none, a restore that broke off can be done again.
    let files = content_copy::copy_in(&arguments.from, &arguments.data)?;
    let restored = maintenance::restore(&arguments.data, BufReader::new(from), keys, extraction(&arguments.bases)?);
    let summary = in_runtime(restored)??;
    if summary.forgotten > 0 {
        println!(
            "left out {} tenants whose keys were destroyed: the next server on the folder removes what else is left",
            summary.forgotten
        );
    }
    println!("restored {} resources and {files} files of content to {}", summary.resources, arguments.data.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn repair(arguments: &RepairArguments) -> Result<ExitCode, Failure> {
    let keys = existing_keys(&arguments.data)?;
    let report = in_runtime(maintenance::repair(&arguments.data, keys, extraction(&arguments.bases)?))??;
    for set_aside in &report.set_aside {
        let file = set_aside.file.as_ref().map(|file| format!(", its bytes are in {}", file.display())).unwrap_or_default();
        println!("{}/{} version {}: {}{file}", set_aside.tenant, set_aside.key, set_aside.version, set_aside.reason);
    }
    println!("{} resources, {} versions kept, {} set aside", report.resources, report.versions, report.set_aside.len());
    println!("the store as it was before: {}", report.old.display());
    Ok(ExitCode::SUCCESS)
}

/// The keys that are there. None are made: they would open nothing.
fn existing_keys(data: &Path) -> Result<Arc<LocalKeyRing>, Failure> {
    LocalKeyRing::open_existing(data).map(Arc::new).map_err(|error| match error {
        KeyRingError::NoMaster(_) => format!(
            "data: found no master key in {}; allowed: a folder that fhirpool has served, or one that keys were put into by `fhirpool keys import`",
            data.display()
        )
        .into(),
        error => error.into(),
    })
}

/// Makes index entries as a server at these URLs does.
fn extraction(bases: &BaseArguments) -> Result<Extraction, Failure> {
    let addresses = tenant_addresses(&bases.base_url, &bases.tenant_address)?;
    let extractors = Arc::new(Extractors::new(Definitions::r4()));
    let entries_of = Arc::clone(&extractors);
    let entries = move |tenant: &fhirpool_authz::TenantId, resource_type, body: &ResourceBody| {
        let base = ServiceBase::without_links(addresses.bases(tenant).into());
        // What is stored was parsed before; a body that no longer parses has nothing to be found by.
        Document::parse(body.text.as_bytes()).map(|document| entries_of.entries(resource_type, document.root(), &base)).unwrap_or_default()
    };
    Ok(Extraction { extractors, entries: Arc::new(entries) })
}

fn in_runtime<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future))
}
