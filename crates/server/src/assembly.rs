//! Puts the parts together.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_api::ApiState;
use fhirpool_authz::{LocalIssuer, LocalKeyError, TenantId, TokenRequest, TokenVerifier};
use fhirpool_embedded::{EmbeddedStore, KeyRingError, LocalKeyRing, OpenError, Ports};
use fhirpool_fhir::Definitions;
use fhirpool_interactions::{
    CapabilityCache, Clock, Interactions, Limits, PageTokens, Randomness, SystemClock, SystemRandomness, UuidV7Ids,
};
use fhirpool_search::Extractors;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError};
use crate::control::Control;
use crate::listen::Listen;
use crate::{issuer, tls};

/// Why a server does not start: a sentence for whoever started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A tenant cannot be made known to the store.
    #[error("the store does not take the tenant {0}: {1}")]
    Tenant(TenantId, fhirpool_storage::StorageError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The issuer's key cannot be used.
    #[error(transparent)]
    Issuer(#[from] LocalKeyError),
    /// The address is taken or not this machine's.
    #[error("listen: found {0} ({1}); allowed: a free address of this machine")]
    Listen(SocketAddr, std::io::Error),
    /// A file of the data folder cannot be used.
    #[error("data: {0}; allowed: a folder that this user may write")]
    Data(std::io::Error),
}

/// A running server. Dropping it leaves it running until the runtime ends; [`Server::stop`] drains it.
pub struct Server {
    address: SocketAddr,
    https: bool,
    issuer: Arc<LocalIssuer>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    control: Control,
}

/// The parts below HTTP.
pub(crate) struct Parts {
    pub store: Arc<EmbeddedStore>,
    pub extractors: Arc<Extractors>,
    pub definitions: Arc<Definitions>,
}

impl Server {
    /// Starts everything on the configured folder and address.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let tls = match config.tls_certificate.as_os_str().is_empty() {
            true => None,
            false => Some(tls::acceptor(&config.tls_certificate, &config.tls_key)?),
        };
        make_data_folder(&config.data).map_err(StartError::Data)?;
        // Making a key takes about as long as making a store: the two are done side by side. A key that another process has
        // made meanwhile is taken over.
        let (folder, audience) = (config.data.clone(), config.token_audience.clone());
        let issuer = tokio::task::spawn_blocking(move || issuer::load_or_create(&folder, &audience));
        let parts = open_parts(&config)?;
        for tenant in config.tenants() {
            parts.store.register_tenant(&tenant).await.map_err(|cause| StartError::Tenant(tenant, cause))?;
        }
        let issuer = Arc::new(issuer.await.expect("making a key does not panic, and nobody aborts it")?);
        let listener = TcpListener::bind(config.listen).await.map_err(|cause| StartError::Listen(config.listen, cause))?;
        let address = listener.local_addr().map_err(|cause| StartError::Listen(config.listen, cause))?;
        let control = Control::start(&config.data, Arc::clone(&parts.store)).map_err(StartError::Data)?;
        let state = api_state(&config, parts, &issuer)?;
        let router = fhirpool_api::router(Arc::new(state));
        let (stop, stopped) = oneshot::channel();
        let https = tls.is_some();
        let task = tokio::spawn(Listen::new(&config, router, tls).run(listener, async {
            // A sender that is dropped means the same as one that sends.
            let _ = stopped.await;
        }));
        Ok(Self { address, https, issuer, stop, task, control })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.https { "https" } else { "http" }, self.address)
    }

    /// A token of its own issuer.
    pub fn token(&self, request: &TokenRequest) -> Result<String, LocalKeyError> {
        self.issuer.issue(request, issuer::now())
    }

    /// Takes no more connections, lets requests under way finish within the drain time, closes the store.
    pub async fn stop(self) {
        // The task ends by itself only if it has failed; then there is nothing left to stop.
        let _ = self.stop.send(());
        if let Err(cause) = self.task.await {
            tracing::error!(%cause, "the accept loop had ended before");
        }
        self.control.stop().await;
    }
}

/// Opens the store of a folder with what it is built on.
pub(crate) fn open_parts(config: &Config) -> Result<Parts, StartError> {
    let definitions = Definitions::r4();
    let extractors = Arc::new(Extractors::new(Arc::clone(&definitions)));
    let keys = Arc::new(LocalKeyRing::open(&config.data)?);
    let now = Arc::new(|| SystemClock.now());
    let settings = fhirpool_embedded::Settings {
        cache_bytes: config.block_cache_bytes,
        search: fhirpool_embedded::SearchSettings {
            cache_bytes: config.posting_cache_bytes,
            list_length_max: config.search_ids_max as usize,
            ..fhirpool_embedded::SearchSettings::default()
        },
        ..fhirpool_embedded::Settings::default()
    };
    let store = EmbeddedStore::open(&config.data, settings, Ports { keys, extractors: Arc::clone(&extractors), now })?;
    Ok(Parts { store: Arc::new(store), extractors, definitions })
}

fn api_state(config: &Config, parts: Parts, issuer: &LocalIssuer) -> Result<ApiState, StartError> {
    let clock = Arc::new(SystemClock);
    let limits = Limits {
        depth_max: config.json_depth_max as usize,
        bundle_entries_max: config.bundle_entries_max as usize,
        page_size_default: config.page_size_default as usize,
        page_size_max: config.page_size_max as usize,
        includes_max: config.include_count_max as usize,
        ..Limits::default()
    };
    let key = page_token_key(&config.data).map_err(StartError::Data)?;
    let interactions = Interactions {
        index: Arc::clone(&parts.store) as _,
        store: parts.store,
        definitions: parts.definitions,
        extractors: parts.extractors,
        ids: Arc::new(UuidV7Ids::new(clock.clone())),
        clock,
        limits: Arc::new(limits),
        page_tokens: PageTokens::new(&key, Arc::new(SystemRandomness::default())),
        capability_cache: CapabilityCache::default(),
    };
    let settings = fhirpool_api::Settings {
        base_url: Some(config.base_url.clone()).filter(|url| !url.is_empty()),
        https: !config.tls_certificate.as_os_str().is_empty(),
        default_tenant: TenantId::parse(&config.default_tenant),
        trusted_proxies: config.trusted_proxy.clone(),
        cors_origins: config.cors_origin.clone(),
        body_bytes_max: config.body_bytes_max as usize,
        url_bytes_max: config.url_bytes_max as usize,
        header_bytes_max: config.header_bytes_max as usize,
        request_time_max: Duration::from_secs(config.request_seconds_max),
        issuer_url: issuer.issuer().url,
    };
    let verifier = Arc::new(TokenVerifier::new(vec![issuer.issuer()]));
    Ok(ApiState { interactions, verifier, settings, is_ready: Box::new(|| true) })
}

/// Only its owner may look into the folder.
pub(crate) fn make_data_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The key that seals page links; made on first start. Losing it only ends the links that are out.
fn page_token_key(data: &Path) -> std::io::Result<[u8; 32]> {
    let path = data.join("page-token.key");
    let mut key = [0; 32];
    match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => file.read_exact(&mut key)?,
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            SystemRandomness::default().fill(&mut key);
            let unfinished = path.with_extension("unfinished");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::rename(unfinished, path)?;
        }
        Err(cause) => return Err(cause),
    }
    Ok(key)
}
