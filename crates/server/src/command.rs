//! The command line.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod lambda;
#[cfg(feature = "embedded")]
mod maintenance;
mod serve;
mod tenant;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Given};
use crate::load::{LoadArguments, load};

/// Why a command failed: one sentence for the terminal.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A FHIR R4 server for many tenants on one shared store.
#[derive(Debug, Parser)]
#[command(name = "fhirpool", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Settings,
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// TOML file with settings; the command line and the environment come first
    #[arg(long, env = "FHIRPOOL_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is told to stop. The default; without a tenant: `demo` and `acme`
    Serve(Box<Settings>),
    /// Prints the effective settings as TOML
    Config(Box<Settings>),
    /// Prints a token of the server's own issuer
    Token(token::TokenArguments),
    /// Makes, lists, suspends, resumes and deletes tenants
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Sends Bundles and NDJSON files to a server
    Load(LoadArguments),
    /// AWS: makes tables, search index, queue and bucket as this version needs them
    #[cfg(feature = "aws")]
    Migrate(Box<aws::MigrateArguments>),
    /// AWS: indexes what is committed and ends abandoned transactions, without serving
    #[cfg(feature = "aws")]
    Indexer(Box<aws::IndexerArguments>),
    /// AWS: indexes anew what could not be indexed
    #[cfg(feature = "aws")]
    Redrive(Box<aws::RedriveArguments>),
    /// AWS: builds the search index anew beside the one that answers, and swaps them; an indexer must be running
    #[cfg(feature = "aws")]
    Reindex(Box<Settings>),
    /// AWS: gives each `--tenant` a new key, which nodes seal with a few minutes later; the old ones stay for what they have sealed
    #[cfg(feature = "aws")]
    RotateKeys(Box<Settings>),
    /// AWS: checks the logs of accesses of each `--tenant`: whether a record is missing or was changed
    #[cfg(feature = "aws")]
    VerifyAudit(Box<Settings>),
    /// Checks a data folder: every value, version, posting and counter, and the logs of accesses
    #[cfg(feature = "embedded")]
    Verify(maintenance::FolderArguments),
    /// Copies everything but index and keys to one file; the server may run
    #[cfg(feature = "embedded")]
    Backup(maintenance::BackupArguments),
    /// Makes a data folder from a backup and rebuilds its index
    #[cfg(feature = "embedded")]
    Restore(maintenance::RestoreArguments),
    /// Rebuilds index and counters from what can be read, and sets damaged values aside
    #[cfg(feature = "embedded")]
    Repair(maintenance::RepairArguments),
    /// Copies the keys, without which a backup cannot be read, out of or into a data folder
    #[cfg(feature = "embedded")]
    #[command(subcommand)]
    Keys(maintenance::KeysCommand),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        None => serve::run(arguments.serve),
        Some(Command::Serve(settings)) => serve::run(*settings),
        Some(Command::Config(settings)) => print_config(*settings),
        Some(Command::Token(arguments)) => token::run(arguments),
        Some(Command::Tenant(command)) => tenant::run(command),
        Some(Command::Load(arguments)) => run_load(&arguments),
        #[cfg(feature = "aws")]
        Some(Command::Migrate(arguments)) => aws::migrate(*arguments),
        #[cfg(feature = "aws")]
        Some(Command::Indexer(arguments)) => aws::indexer(*arguments),
        #[cfg(feature = "aws")]
        Some(Command::Redrive(arguments)) => aws::redrive(*arguments),
        #[cfg(feature = "aws")]
        Some(Command::Reindex(settings)) => aws::reindex(*settings),
        #[cfg(feature = "aws")]
        Some(Command::RotateKeys(settings)) => aws::rotate_keys(*settings),
        #[cfg(feature = "aws")]
        Some(Command::VerifyAudit(settings)) => aws::verify_audit(*settings),
        #[cfg(feature = "embedded")]
        Some(Command::Verify(arguments)) => maintenance::verify(&arguments),
        #[cfg(feature = "embedded")]
        Some(Command::Backup(arguments)) => maintenance::backup(&arguments),
        #[cfg(feature = "embedded")]
        Some(Command::Restore(arguments)) => maintenance::restore(&arguments),
        #[cfg(feature = "embedded")]
        Some(Command::Repair(arguments)) => maintenance::repair(&arguments),
        #[cfg(feature = "embedded")]
        Some(Command::Keys(command)) => maintenance::keys(&command),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("fhirpool: {failure}");
            ExitCode::FAILURE
        }
    }
}

impl Settings {
    fn resolve(self) -> Result<Config, Failure> {
        Ok(Config::resolve(self.given, self.config.as_deref())?)
    }
}

fn print_config(settings: Settings) -> Result<ExitCode, Failure> {
    print!("{}", toml::to_string(&settings.resolve()?)?);
    Ok(ExitCode::SUCCESS)
}

fn run_load(arguments: &LoadArguments) -> Result<ExitCode, Failure> {
    let summary = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(load(arguments))?;
    for failure in &summary.failures {
        eprintln!("{failure}");
    }
    if summary.failures_unlisted > 0 {
        eprintln!("… and {} more", summary.failures_unlisted);
    }
    Ok(if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
