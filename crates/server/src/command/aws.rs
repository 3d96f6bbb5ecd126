//! `fhirpool migrate`, `indexer`, `redrive`, `reindex`, `rotate-keys`, `verify-audit`: what the profile aws needs besides serving.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_audit::{Reader, Verified, verify};
use fhirpool_authz::{Principal, ReadAccess, TenantId};
use fhirpool_indexer::lambda::LambdaPorts;
use fhirpool_indexer::{Indexer, RebuildPorts, RedrivePorts, rebuild, redrive as take_letters};

use super::serve::wait_for_signal;
use super::{Failure, Settings};
use crate::assembly::aws::{Node, Services};
use crate::config::{Config, Profile};
use crate::{telemetry, tenants};

/// What to do, with which settings.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArguments {
    /// Only says what is missing; fails if anything is
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: Settings,
}

/// How to follow the stream, with which settings.
#[derive(Debug, clap::Args)]
pub(super) struct IndexerArguments {
    /// Runs as a Lambda function that is handed the stream's events: without leases, so searches do not wait for it, and without
    /// the sweeper
    #[arg(long)]
    lambda: bool,
    #[command(flatten)]
    settings: Settings,
}

/// How much to take, with which settings.
#[derive(Debug, clap::Args)]
pub(super) struct RedriveArguments {
    /// Changes to take at most
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn migrate(arguments: MigrateArguments) -> Result<ExitCode, Failure> {
    let config = resolve(arguments.settings)?;
    in_runtime(&config, async {
        let services = Services::connect(&config).await?;
        if arguments.check {
            let missing = services.missing().await?;
            for clause in &missing {
                println!("{clause}");
            }
            println!("{} things are missing", missing.len());
            return Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let applied = services.migrate().await?;
        for number in &applied {
            println!("applied migration {number}");
        }
        println!("{} migrations applied; the services are as this version needs them", applied.len());
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn indexer(arguments: IndexerArguments) -> Result<ExitCode, Failure> {
    let config = resolve(arguments.settings)?;
    in_runtime(&config, async {
        let metrics = crate::assembly::serve_metrics(&config).await?;
        let (services, node) = connect(&config).await?;
        if arguments.lambda {
            let ports = LambdaPorts {
                decoder: Arc::new(super::lambda::FeedDecoder(Arc::clone(&node.feed))),
                log: Arc::clone(&node.log) as _,
                writer: Arc::clone(&services.search) as _,
                letters: Arc::clone(&services.letters) as _,
                extraction: node.extraction,
            };
            super::lambda::run(&ports, &node.indexer_settings).await?;
            return Ok(ExitCode::SUCCESS);
        }
        println!("indexing");
        Indexer::run(node.indexer_ports(&services), node.indexer_settings.clone(), async {
            if let Err(cause) = wait_for_signal().await {
                tracing::error!(%cause, "signals cannot be waited for");
            }
        })
        .await;
        drop(metrics);
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn redrive(arguments: RedriveArguments) -> Result<ExitCode, Failure> {
    let config = resolve(arguments.settings)?;
    in_runtime(&config, async {
        let (services, node) = connect(&config).await?;
        let ports = RedrivePorts {
            letters: Arc::clone(&services.letters) as _,
            feed: Arc::clone(&node.feed) as _,
            writer: Arc::clone(&services.search) as _,
            extraction: node.extraction,
        };
        let redriven = take_letters(&ports, arguments.limit).await?;
        println!("{} changes indexed, {} left in the queue", redriven.done, redriven.kept);
        Ok(if redriven.kept == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

pub(super) fn reindex(settings: Settings) -> Result<ExitCode, Failure> {
    let config = resolve(settings)?;
    in_runtime(&config, async {
        let (services, node) = connect(&config).await?;
        let ports = RebuildPorts {
            rebuild: Arc::clone(&services.search) as _,
            writer: Arc::clone(&services.search) as _,
            feed: Arc::clone(&node.feed) as _,
            log: Arc::clone(&node.log) as _,
            letters: Arc::clone(&services.letters) as _,
            extraction: node.extraction,
            watermarks: node.watermarks,
            clock: node.clock,
            tenants: kept_tenants(&services).await?,
        };
        let rebuilt = rebuild(&ports, &node.indexer_settings).await?;
        println!("read {} resources; the old index held {}, the new one holds {}", rebuilt.read, rebuilt.old, rebuilt.new);
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn rotate_keys(settings: Settings) -> Result<ExitCode, Failure> {
    let config = resolve(settings)?;
    in_runtime(&config, async {
        let services = Services::connect(&config).await?;
        services.check().await?;
        let known = kept_tenants(&services).await?;
        if config.tenants().next().is_none() {
            return Err("tenant: found none; allowed: at least one".into());
        }
        for tenant in config.tenants() {
            if !known.contains(&tenant) {
                return Err(format!("tenant: found {tenant}; allowed: one that the server knows").into());
            }
            let epoch = services.keys.rotate(&tenant).await?;
            println!("tenant {tenant} has key {} now", epoch.0);
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn verify_audit(settings: Settings) -> Result<ExitCode, Failure> {
    let config = resolve(settings)?;
    in_runtime(&config, async {
        let services = Services::connect(&config).await?;
        if config.tenants().next().is_none() {
            return Err("tenant: found none; allowed: at least one".into());
        }
        let reader = Reader::new(Arc::new(services.audit_log()), Arc::clone(&services.keys) as _);
        let mut is_sound = true;
        for tenant in config.tenants() {
            let access = ReadAccess::authorize_audit(&Principal::operator(tenant.clone()), &tenant)?;
            let verified = verify(&reader, &access).await?;
            for problem in &verified.problems {
                println!("{tenant}: {problem}");
            }
            let Verified { blocks, records, chains, problems } = verified;
            println!("{tenant}: {records} records in {blocks} blocks of {chains} chains checked, {} problems", problems.len());
            is_sound &= problems.is_empty();
        }
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// These commands have a meaning in the profile aws alone, so it need not be named.
fn resolve(settings: Settings) -> Result<Config, Failure> {
    let config = Config::resolve_for(Profile::Aws, settings.given, settings.config.as_deref())?;
    match config.profile {
        Profile::Aws => Ok(config),
        Profile::Embedded => {
            Err("profile: found embedded; allowed: aws, since the data folder of the profile embedded needs no such thing".into())
        }
    }
}

/// The tenants whose resources are there.
async fn kept_tenants(services: &Services) -> Result<Vec<TenantId>, Failure> {
    let records = services.tenants.registry().list().await?;
    Ok(records.into_iter().filter(|record| record.state.is_kept()).map(|record| record.id).collect())
}

async fn connect(config: &Config) -> Result<(Services, Node), Failure> {
    let services = Services::connect(config).await?;
    services.check().await?;
    services.tenants.refresh().await?;
    // It ends with the process. Servers remove tenants.
    tenants::watch(&services.tenants, Duration::from_millis(config.tenant_refresh_ms), |_| {});
    let node = Node::new(config, &services, None);
    Ok((services, node))
}

fn in_runtime(config: &Config, work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let telemetry = telemetry::install(config)?;
        let result = work.await;
        telemetry.finish().await;
        result
    })
}
