//! Puts the parts together.

mod audit;
#[cfg(feature = "aws")]
pub(crate) mod aws;
#[cfg(feature = "embedded")]
pub(crate) mod embedded;
mod parts;

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_api::{ApiState, NodeQuotas};
use fhirpool_audit::AuditTrail;
use fhirpool_authz::{Launch, LocalIssuer, LocalKeyError, TenantId, TokenRequest, TokenVerifier};
use fhirpool_interactions::{
    CapabilityCache, Clock, Interactions, Limits, PageTokens, Randomness, SystemClock, SystemRandomness, UuidV7Ids,
};
use fhirpool_storage::tenants::{TenantDirectory, TenantState, register_tenant};
use fhirpool_storage::{AuditLog, KeyRing};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::parts::Parts;
pub(crate) use self::parts::Stop;
use crate::config::{Config, ConfigError, Profile};
use crate::listen::Listen;
use crate::observed::{ObservedIndex, ObservedStore};
use crate::stored_quota::LimitedStore;
use crate::telemetry::metrics;
use crate::{access, expiry, issuer, tenants, tls};

/// Why a server does not start: a sentence for whoever started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store does not open.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Store(#[from] fhirpool_embedded::OpenError),
    /// A tenant cannot be made known to the store.
    #[error("the store does not take the tenant {0}: {1}")]
    Tenant(TenantId, fhirpool_storage::StorageError),
    /// The registry of tenants does not answer.
    #[error("the registry of tenants: {0}")]
    Registry(fhirpool_storage::StorageError),
    /// The keys cannot be used.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Keys(#[from] fhirpool_embedded::KeyRingError),
    /// A service of the profile aws does not answer as it should.
    #[cfg(feature = "aws")]
    #[error("{0}")]
    Service(fhirpool_storage::StorageError),
    /// The services are not as this version needs them.
    #[cfg(feature = "aws")]
    #[error("the services are not as this version needs them: {0}. `fhirpool migrate` with the same settings makes them so")]
    NotMigrated(String),
    /// The folder of contents cannot be used.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Content(#[from] fhirpool_binary::OpenError),
    /// Issuers elsewhere cannot be asked for their keys.
    #[error("access_file: {0}; allowed: a machine with certificates that https can rest on")]
    Issuers(fhirpool_issuers::FetchError),
    /// The issuer's key cannot be used.
    #[error(transparent)]
    Issuer(#[from] LocalKeyError),
    /// The file of the audit cannot be written.
    #[error("audit_sink_file: {0}; allowed: a file that this user may write")]
    AuditSink(std::io::Error),
    /// The address is taken or not this machine's.
    #[error("{0}: found {1} ({2}); allowed: a free address of this machine")]
    Listen(&'static str, SocketAddr, std::io::Error),
    /// A file of the data folder cannot be used.
    #[error("data: {0}; allowed: a folder that this user may write")]
    Data(std::io::Error),
}

/// A running server. Dropping it leaves it running until the runtime ends; [`Server::stop`] drains it.
pub struct Server {
    https: bool,
    issuer: Option<Arc<LocalIssuer>>,
    requests: Listening,
    metrics: Option<Listening>,
    /// Keep the keys of issuers elsewhere and what is known of tenants fresh, take up deletions, and remove what has expired.
    watching: Vec<JoinHandle<()>>,
    audit: Option<AuditTrail>,
    keys: Arc<dyn KeyRing>,
    audit_log: Arc<dyn AuditLog>,
    /// How long a stop waits for what is under way.
    drain_time_max: Duration,
    stop_parts: Stop,
}

/// An accept loop under way; ends when it is dropped.
pub(crate) struct Listening {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts everything as configured.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let tls = match config.tls_certificate.as_os_str().is_empty() {
            true => None,
            false => Some(tls::acceptor(&config.tls_certificate, &config.tls_key)?),
        };
        let access_file = access::load(&config.access_file)?;
        if config.profile == Profile::Embedded || config.local_issuer {
            make_data_folder(&config.data).map_err(StartError::Data)?;
        }
        // Making a key takes about as long as making a store: the two are done side by side. A key that another process has
        // made meanwhile is taken over.
        let (folder, audience, local_issuer) = (config.data.clone(), config.token_audience.clone(), config.local_issuer);
        let issuer = tokio::task::spawn_blocking(move || local_issuer.then(|| issuer::load_or_create(&folder, &audience)).transpose());
        // Ahead of the parts: they may have to know where they are reached, and look up handles of metrics. Connections wait in
        // the kernel's queue meanwhile.
        let requests = Bound::new("listen", config.listen).await?;
        let metrics = serve_metrics(&config).await?;
        let own_url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, requests.address);
        let mut parts = open(&config, &own_url).await?;
        let issuer = issuer.await.expect("making a key does not panic, and nobody aborts it")?.map(Arc::new);
        if issuer.is_none() && access_file.issuers.is_empty() {
            tracing::warn!(
                "no issuer of tokens is configured: every request that needs a token is refused; for trials, local_issuer accepts \
                 the tokens of `fhirpool token`"
            );
        }
        let access = access::Access::new(&access_file, issuer.as_deref().map(LocalIssuer::issuer), config.addresses())?;
        let (verifier, quotas) = (Arc::clone(&access.verifier), Arc::clone(&access.quotas));
        let (index, stored_bytes) = (Arc::clone(&parts.index), Arc::clone(&parts.stored_bytes));
        parts.store = Arc::new(LimitedStore::new(parts.store, index, stored_bytes, Arc::clone(&quotas)));
        let stop_parts = std::mem::replace(&mut parts.stop, Box::new(|| Box::pin(async {})));
        let https = tls.is_some();
        let says = access::capability_cache(&access_file, !config.cors_origin.is_empty());
        let of_tenants = Arc::clone(&verifier);
        parts.tenants.on_change(Box::new(move |tenant, state| {
            tracing::info!(%tenant, state = state.name(), "a tenant's state has changed");
            of_tenants.forget_tenant(tenant);
        }));
        let watching_issuers = access.watch_issuers();
        parts.tenants.on_access(Box::new(move |tenant, json| access.set_tenant(tenant, json))).await;
        let administration = Arc::clone(&parts.administration);
        let on_deleting = move |tenant: &TenantId| administration.begin_removal(tenant);
        let watching_tenants = tenants::watch(&parts.tenants, Duration::from_millis(config.tenant_refresh_ms), on_deleting);
        let expiry = expiry::Ports {
            tenants: Arc::clone(&parts.tenants),
            log: Arc::clone(&parts.audit_log),
            keys: Arc::clone(&parts.keys),
            duties: Arc::clone(parts.administration.duties()),
        };
        let watching_logs = expiry::watch(expiry, config.audit_days);
        let watching = [watching_issuers, watching_tenants].into_iter().chain(watching_logs).collect();
        let quotas = match parts.quota_leases.take() {
            Some(leases) => NodeQuotas::shared(quotas, leases, random_seed()),
            None => NodeQuotas::alone(quotas),
        };
        let (keys, audit_log) = (Arc::clone(&parts.keys), Arc::clone(&parts.audit_log));
        let audit = audit::start(&config, Arc::clone(&audit_log), Arc::clone(&keys))?;
        if let Some(audit) = &audit {
            parts.administration.set_audit(audit.clone());
        }
        let state = api_state(&config, parts, issuer.as_deref(), verifier, says, quotas, audit.clone());
        let router = fhirpool_api::router(Arc::new(state));
        let requests = requests.serve(Listen::new(&config, router, tls));
        let drain_time_max = Duration::from_secs(config.drain_seconds_max);
        Ok(Self { https, issuer, requests, metrics, watching, audit, keys, audit_log, drain_time_max, stop_parts })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.requests.address
    }

    /// Where it serves metrics, if it does.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.https { "https" } else { "http" }, self.address())
    }

    /// A token of its own issuer; `None` where it has none.
    pub fn token(&self, request: &TokenRequest) -> Option<Result<String, LocalKeyError>> {
        self.launched_token(request, &Launch::default())
    }

    /// The same, with the context of a SMART launch.
    pub fn launched_token(&self, request: &TokenRequest, launch: &Launch) -> Option<Result<String, LocalKeyError>> {
        self.issuer.as_ref().map(|issuer| issuer.issue_launched(request, launch, issuer::now()))
    }

    /// A token of its own issuer for the administration of tenants; `None` where it has none.
    pub fn admin_token(&self, subject: &str, ttl_s: u32) -> Option<Result<String, LocalKeyError>> {
        self.issuer.as_ref().map(|issuer| issuer.issue_admin(subject, ttl_s, issuer::now()))
    }

    /// The tenants' keys as this process knows them.
    pub fn key_ring(&self) -> &Arc<dyn KeyRing> {
        &self.keys
    }

    /// The logs of accesses. Where this process notes accesses, nobody else may append to them.
    pub fn audit_log(&self) -> &Arc<dyn AuditLog> {
        &self.audit_log
    }

    /// Takes no more connections, lets requests under way finish within the drain time, closes the parts.
    pub async fn stop(self) {
        self.requests.stop().await;
        for watching in self.watching {
            watching.abort();
            // It ends with the abort, and lets go of the store.
            let _ = watching.await;
        }
        if let Some(metrics) = self.metrics {
            metrics.stop().await;
        }
        if let Some(audit) = self.audit
            && !audit.close(self.drain_time_max.max(Duration::from_secs(1))).await
        {
            tracing::error!("records of accesses that were not kept by the end of the drain time are lost");
        }
        (self.stop_parts)().await;
    }
}

/// An address that is taken, and not served yet.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    async fn new(setting: &'static str, address: SocketAddr) -> Result<Self, StartError> {
        let refused = |cause| StartError::Listen(setting, address, cause);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }

    fn serve(self, listen: Listen) -> Listening {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(listen.run(self.listener, async {
            // A sender that is dropped means the same as one that sends.
            let _ = stopped.await;
        }));
        Listening { address: self.address, stop, task }
    }
}

impl Listening {
    async fn stop(self) {
        // The task ends by itself only if it has failed; then there is nothing left to stop.
        let _ = self.stop.send(());
        if let Err(cause) = self.task.await {
            tracing::error!(%cause, "the accept loop had ended before");
        }
    }
}

/// How long a request may take that was let in.
fn request_time_max(config: &Config) -> Duration {
    Duration::from_secs(config.request_seconds_max) + REQUEST_MARGIN
}

/// A request is ended a little later than its time, and what it had begun may take a moment.
const REQUEST_MARGIN: Duration = Duration::from_secs(1);

/// Makes the tenants that the settings name, and reads the registry.
async fn register_tenants(config: &Config, directory: &TenantDirectory) -> Result<(), StartError> {
    for tenant in config.tenants() {
        match register_tenant(&**directory.registry(), &tenant, SystemClock.now()).await {
            Ok(TenantState::Active) => {}
            // Other tenants are to be served nevertheless.
            Ok(state) => tracing::warn!(%tenant, state = state.name(), "a tenant that the settings name is not served"),
            Err(cause) => return Err(StartError::Tenant(tenant, cause)),
        }
    }
    directory.refresh().await.map_err(StartError::Registry)
}

/// Installs the recorder of metrics and serves `/metrics` where that is set.
pub(crate) async fn serve_metrics(config: &Config) -> Result<Option<Listening>, StartError> {
    let Some(address) = config.metrics_address() else { return Ok(None) };
    let router = metrics::router(metrics::recorder(config));
    Ok(Some(Bound::new("metrics_listen", address).await?.serve(Listen::new(config, router, None))))
}

async fn open(config: &Config, own_url: &str) -> Result<Parts, StartError> {
    let parts = match config.profile {
        #[cfg(feature = "embedded")]
        Profile::Embedded => embedded::open(config).await?,
        #[cfg(not(feature = "embedded"))]
        Profile::Embedded => unreachable!("the settings were checked"),
        #[cfg(feature = "aws")]
        Profile::Aws => aws::open(config, own_url).await?,
        #[cfg(not(feature = "aws"))]
        Profile::Aws => unreachable!("the settings were checked, which hold no {own_url}"),
    };
    if config.metrics_address().is_none() && config.otlp_endpoint.is_empty() && config.profile == Profile::Embedded {
        // Nobody looks, and a read of the embedded store is too fast to be watched for nothing.
        return Ok(parts);
    }
    let store = Arc::new(ObservedStore::new(parts.store));
    let index = Arc::new(ObservedIndex::new(parts.index));
    Ok(Parts { store, index, ..parts })
}

fn api_state(
    config: &Config,
    parts: Parts,
    issuer: Option<&LocalIssuer>,
    verifier: Arc<TokenVerifier>,
    capability_cache: CapabilityCache,
    quotas: NodeQuotas,
    audit: Option<AuditTrail>,
) -> ApiState {
    let clock = Arc::new(SystemClock);
    let limits = Limits {
        depth_max: config.json_depth_max as usize,
        bundle_entries_max: config.bundle_entries_max as usize,
        page_size_default: config.page_size_default as usize,
        page_size_max: config.page_size_max as usize,
        includes_max: config.include_count_max as usize,
        binary_inline_bytes_max: config.binary_inline_bytes_max as usize,
        content_bytes_max: config.body_bytes_max,
        content_url_ttl_s: config.content_url_seconds as u32,
        ..Limits::default()
    };
    let interactions = Interactions {
        index: parts.index,
        store: parts.store,
        content: parts.content,
        definitions: parts.definitions,
        extractors: parts.extractors,
        ids: Arc::new(UuidV7Ids::new(clock.clone())),
        clock,
        limits: Arc::new(limits),
        page_tokens: PageTokens::new(&parts.page_token_key, Arc::new(SystemRandomness::default())),
        capability_cache,
    };
    let administration = parts.administration;
    let remove_tenant = Box::new(move |tenant: &TenantId| administration.begin_removal(tenant));
    let issuer = issuer.map(LocalIssuer::issuer);
    let settings = fhirpool_api::Settings {
        base_url: Some(config.base_url.clone()).filter(|url| !url.is_empty()),
        https: !config.tls_certificate.as_os_str().is_empty(),
        default_tenant: TenantId::parse(&config.default_tenant),
        addresses: config.addresses(),
        trusted_proxies: config.trusted_proxy.clone(),
        cors_origins: config.cors_origin.clone(),
        body_bytes_max: config.body_bytes_max as usize,
        url_bytes_max: config.url_bytes_max as usize,
        header_bytes_max: config.header_bytes_max as usize,
        request_time_max: Duration::from_secs(config.request_seconds_max),
        issuer_url: issuer.as_ref().map(|issuer| issuer.url.clone()).unwrap_or_default(),
        metrics_tenants_max: config.metrics_address().map(|_| config.metrics_tenants_max as usize),
    };
    ApiState {
        interactions,
        signed_content: parts.signed_content,
        verifier,
        tenants: parts.tenants,
        remove_tenant,
        quotas,
        audit,
        settings,
        is_ready: parts.is_ready,
    }
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    SystemRandomness::default().fill(&mut seed);
    u64::from_be_bytes(seed)
}

/// Only its owner may look into the folder.
pub(crate) fn make_data_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
