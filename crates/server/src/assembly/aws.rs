//! The profile aws: resources in DynamoDB, found by OpenSearch, large bytes in S3, keys under KMS.
//!
//! Nodes share nothing but these services; what one has to tell the others stands in the control table.

mod node;
mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fhirpool_binary::{Delivery, ServedS3Content};
use fhirpool_dynamodb::TenantItems;
use fhirpool_indexer::Indexer;
use fhirpool_interactions::{Clock, SystemClock};
use fhirpool_storage::Leases;
use fhirpool_storage::tenants::{DirectorySettings, PurgeTenant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use self::node::Node;
pub(crate) use self::services::Services;
use super::StartError;
use super::parts::Parts;
use crate::administration::{Administration, Settling};
use crate::config::{Config, ContentDelivery};
use crate::duties::Duties;

/// How often the store is asked whether it answers, and how long that may take.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
const LOOK_TIME_MAX: Duration = Duration::from_secs(5);

/// What a request takes from the door to its route.
const ADMITTED_MARGIN: Duration = Duration::from_millis(500);

/// The name of the secret that seals page links.
const PAGE_TOKENS: &str = "page-tokens";
/// The name of the one that signs URLs of content.
const CONTENT_URLS: &str = "content-urls";

/// Connects to services that are as this version needs them; `own_url` is where this server listens.
pub(crate) async fn open(config: &Config, own_url: &str) -> Result<Parts, StartError> {
    let services = Services::connect(config).await?;
    services.check().await?;
    super::register_tenants(config, &services.tenants).await?;
    let page_token_key = services.control.secret(PAGE_TOKENS).await.map_err(StartError::Service)?;
    if config.base_url.is_empty() {
        tracing::warn!(
            own_url,
            "base_url is not set: what is indexed takes absolute references for local only below this node's own address"
        );
    }
    let url_key = services.control.secret(CONTENT_URLS).await.map_err(StartError::Service)?;
    let content = Arc::new(served_content(config, &services, &url_key));
    let node = Node::new(config, &services, Some(own_url));
    let (stop, stopped) = watch::channel(false);
    let indexer = config.indexer.then(|| run_indexer(&node, &services, stopped.clone()));
    let answers = Arc::new(AtomicBool::new(true));
    let looking = tokio::spawn(look(Arc::new(services.control.clone()), Arc::clone(&answers)));
    let administration = administer(config, &services);
    let removing = Arc::clone(&administration);
    Ok(Parts {
        administration,
        tenants: Arc::clone(&services.tenants),
        store: Arc::clone(&node.marked) as _,
        index: Arc::clone(&node.index) as _,
        content: Arc::clone(&content) as _,
        audit_log: Arc::new(services.audit_log()),
        keys: Arc::clone(&services.keys) as _,
        // Whatever the setting is now, URLs that are out stay good.
        signed_content: Some(content),
        definitions: node.definitions,
        extractors: node.extractors,
        page_token_key,
        stored_bytes: Arc::new(services.control.clone()),
        quota_leases: Some(Arc::new(services.control.clone())),
        is_ready: Box::new(move || answers.load(Ordering::Relaxed)),
        stop: Box::new(move || {
            Box::pin(async move {
                removing.stop();
                looking.abort();
                // Nobody listens where there is no indexer.
                let _ = stop.send(true);
                if let Some(Err(cause)) = end(indexer).await {
                    tracing::error!(%cause, "the indexer had ended before");
                }
            })
        }),
    })
}

/// The content of Binary resources for clients.
fn served_content(config: &Config, services: &Services, url_key: &[u8; 32]) -> ServedS3Content {
    let delivery = match config.content_delivery {
        ContentDelivery::S3 => Delivery::S3,
        ContentDelivery::Server => Delivery::Server,
    };
    let now = Arc::new(|| SystemClock.now().0.div_euclid(1000));
    ServedS3Content::new(Arc::clone(&services.content), url_key, now, config.body_bytes_max, delivery)
}

/// What administers the tenants of the services.
pub(crate) async fn administration(config: &Config) -> Result<Arc<Administration>, StartError> {
    let services = Services::connect(config).await?;
    services.check().await?;
    services.tenants.refresh().await.map_err(StartError::Registry)?;
    let administration = administer(config, &services);
    let audit = super::audit::start_for_command(config, Arc::new(services.audit_log()), Arc::clone(&services.keys) as _)?;
    audit.into_iter().for_each(|trail| administration.set_audit(trail));
    Ok(administration)
}

fn administer(config: &Config, services: &Services) -> Arc<Administration> {
    let clocks = Duration::from_millis(config.clock_margin_ms);
    let admitted = DirectorySettings::default().stale_after + ADMITTED_MARGIN + clocks;
    let settling = Settling { admitted, under_way: super::request_time_max(config), uploads: uploads_time_max(config) };
    let duties = Arc::new(Duties::shared(Arc::new(services.control.clone())));
    Administration::new(Arc::clone(&services.tenants), Arc::clone(&services.keys) as _, parts_of_tenants(services), settling, duties)
}

/// How long after a request content may still come to S3 by a URL that it gave out. S3 looks at the time when an upload begins,
/// which then may take as long as one through the server.
fn uploads_time_max(config: &Config) -> Duration {
    match config.content_delivery {
        ContentDelivery::S3 => Duration::from_secs(config.content_url_seconds) + super::request_time_max(config),
        ContentDelivery::Server => Duration::ZERO,
    }
}

/// All that keeps something of tenants.
pub(crate) fn parts_of_tenants(services: &Services) -> Vec<Arc<dyn PurgeTenant>> {
    let items = TenantItems::new(services.dynamo.clone());
    vec![Arc::new(items), Arc::clone(&services.search) as _, Arc::clone(&services.content) as _]
}

async fn end(indexer: Option<JoinHandle<()>>) -> Option<Result<(), tokio::task::JoinError>> {
    match indexer {
        Some(indexer) => Some(indexer.await),
        None => None,
    }
}

fn run_indexer(node: &Node, services: &Services, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    let (ports, settings) = (node.indexer_ports(services), node.indexer_settings.clone());
    tokio::spawn(Indexer::run(ports, settings, async move {
        // A sender that is dropped means the same as one that sends.
        let _ = stopped.wait_for(|stop| *stop).await;
    }))
}

/// Keeps to whether the store answers. The other services are not asked: without them much can still be served, and a load
/// balancer that takes all nodes away would end that too.
async fn look(leases: Arc<dyn Leases>, answers: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let answered = tokio::time::timeout(LOOK_TIME_MAX, leases.list()).await.is_ok_and(|listed| listed.is_ok());
        if answers.swap(answered, Ordering::Relaxed) != answered {
            tracing::warn!(answered, "DynamoDB's answers have changed");
        }
    }
}
