//! `fhirpool verify`, `backup`, `restore`, `repair`, `keys`

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use fhirpool_embedded::LocalKeyRing;

use super::Failure;

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
}

pub(super) fn keys(command: &KeysCommand) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Export { data, to } => {
            if !data.join(LocalKeyRing::FOLDER).is_dir() {
                return Err(format!("data: found no keys in {}; allowed: a folder that fhirpool has served", data.display()).into());
            }
            let text = LocalKeyRing::open(data)?.export()?;
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
    }
    Ok(ExitCode::SUCCESS)
}
