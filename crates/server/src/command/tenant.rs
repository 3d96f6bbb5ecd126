//! `fhirpool tenant`: what operators do to tenants.
//!
//! In the profile aws it works on the control table. In the profile embedded a server that runs on the data folder does it, by
//! its control socket; where none runs, it is done here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_storage::tenants::TenantState;

use super::{Failure, Settings};
use crate::administration::Administration;
use crate::assembly;
use crate::config::{Config, Profile};
use crate::telemetry;

/// What to do to which tenant.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TenantCommand {
    /// Makes a tenant; an id is given once, and never again
    Create {
        /// The id: 1 to 64 letters, digits, `-` and `_`
        id: String,
        /// Its name, for people; without one, its id
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Prints every tenant that there is or was, as JSON
    List(Box<Settings>),
    /// Prints a tenant as JSON
    Show(OneTenant),
    /// Refuses everything for a tenant, within five seconds on every node; what it has stays
    Suspend(OneTenant),
    /// Serves a tenant again that was suspended
    Resume(OneTenant),
    /// Gives a tenant roles, quotas and issuers of its own, in place of all that its record had of them, within five seconds on every
    /// node
    Access {
        /// The tenant's id
        id: String,
        /// TOML, or JSON where its name ends so, with what `[tenant.ID]` of the access file may have, and `issuer`; an empty file
        /// takes them away
        file: PathBuf,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Destroys a tenant's keys and removes all that it has, for good; begun anew, it goes on where it was
    Delete(OneTenant),
}

/// One tenant, with which settings.
#[derive(Debug, clap::Args)]
pub(super) struct OneTenant {
    /// The tenant's id
    id: String,
    #[command(flatten)]
    settings: Box<Settings>,
}

/// How often a deletion is asked about.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

pub(super) fn run(command: TenantCommand) -> Result<ExitCode, Failure> {
    let (settings, request) = match command {
        TenantCommand::Create { id, name, settings } => (settings, format!("create {id} {name}")),
        TenantCommand::List(settings) => (settings, "list".to_owned()),
        TenantCommand::Show(one) => (one.settings, format!("show {}", one.id)),
        TenantCommand::Suspend(one) => (one.settings, format!("suspend {}", one.id)),
        TenantCommand::Resume(one) => (one.settings, format!("resume {}", one.id)),
        TenantCommand::Access { id, file, settings } => (settings, format!("access {id} {}", access_in(&file)?)),
        TenantCommand::Delete(one) => (one.settings, format!("delete {}", one.id)),
    };
    if request.contains(['\n', '\r']) {
        return Err("found a line break; allowed: ids and names without one".into());
    }
    let config = settings.resolve()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let telemetry = telemetry::install(&config)?;
        let done = Operator::new(&config, request.starts_with("create ")).await?.ask(&request).await;
        telemetry.finish().await;
        println!("{}", done?);
        Ok(ExitCode::SUCCESS)
    })
}

/// What a file says, as JSON in one line.
fn access_in(file: &Path) -> Result<String, Failure> {
    let refused = |cause: &dyn std::fmt::Display| format!("{}: {}", file.display(), cause.to_string().trim_end());
    let text = std::fs::read_to_string(file).map_err(|cause| refused(&cause))?;
    if text.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    let value: serde_json::Value = match file.extension().is_some_and(|extension| extension == "json") {
        true => serde_json::from_str(&text).map_err(|cause| refused(&cause))?,
        false => toml::from_str(&text).map_err(|cause| refused(&cause))?,
    };
    Ok(value.to_string())
}

/// Who does it.
enum Operator<'a> {
    /// A server that runs on the data folder.
    Server(&'a Config),
    /// This process.
    Here(Arc<Administration>),
}

impl<'a> Operator<'a> {
    async fn new(config: &'a Config, may_make_folder: bool) -> Result<Self, Failure> {
        match config.profile {
            Profile::Aws => Ok(Self::Here(of_services(config).await?)),
            Profile::Embedded if of_server(config, "list").await?.is_some() => Ok(Self::Server(config)),
            Profile::Embedded => Ok(Self::Here(of_folder(config, may_make_folder).await?)),
        }
    }

    /// Asks, and waits for a deletion to end.
    async fn ask(self, request: &str) -> Result<String, Failure> {
        let deleted = request.strip_prefix("delete ");
        if deleted.is_some() {
            eprintln!(
                "deleting: it ends when the longest request that may be under way is over; broken off, the next server goes on with it"
            );
        }
        match (self, deleted) {
            (Self::Here(administration), deleted) => {
                let done = match deleted {
                    Some(id) => administration.delete(id).await,
                    None => administration.obey(request).await,
                };
                administration.finish().await;
                Ok(done?)
            }
            (Self::Server(config), None) => said_by_server(config, request).await,
            (Self::Server(config), Some(id)) => {
                let mut said = said_by_server(config, request).await?;
                while is_deleting(&said) {
                    tokio::time::sleep(LOOK_PAUSE).await;
                    said = said_by_server(config, &format!("show {id}")).await?;
                }
                Ok(said)
            }
        }
    }
}

async fn said_by_server(config: &Config, request: &str) -> Result<String, Failure> {
    Ok(of_server(config, request).await?.ok_or("the server has ended meanwhile")??)
}

/// What a server says that has the folder open; `None`: there is none.
#[cfg(feature = "embedded")]
async fn of_server(config: &Config, request: &str) -> Result<Option<Result<String, String>>, Failure> {
    Ok(crate::control::request(&config.data, &format!("tenant {request}")).await?)
}

#[cfg(not(feature = "embedded"))]
async fn of_server(_config: &Config, _request: &str) -> Result<Option<Result<String, String>>, Failure> {
    Ok(None)
}

#[cfg(feature = "embedded")]
async fn of_folder(config: &Config, may_make_folder: bool) -> Result<Arc<Administration>, Failure> {
    if !may_make_folder && !config.data.join("store").exists() {
        let found = config.data.display();
        return Err(format!("data: found no store in {found}; allowed: a folder that fhirpool has served").into());
    }
    assembly::make_data_folder(&config.data)?;
    Ok(assembly::embedded::administration(config).await?)
}

#[cfg(not(feature = "embedded"))]
async fn of_folder(_config: &Config, _may_make_folder: bool) -> Result<Arc<Administration>, Failure> {
    Err("profile: found embedded; allowed: aws: this program was built without the feature `embedded`".into())
}

#[cfg(feature = "aws")]
async fn of_services(config: &Config) -> Result<Arc<Administration>, Failure> {
    Ok(assembly::aws::administration(config).await?)
}

#[cfg(not(feature = "aws"))]
async fn of_services(_config: &Config) -> Result<Arc<Administration>, Failure> {
    Err("profile: found aws; allowed: embedded: this program was built without the feature `aws`".into())
}

fn is_deleting(shown: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(shown).is_ok_and(|record| record["state"] == TenantState::Deleting.name())
}
