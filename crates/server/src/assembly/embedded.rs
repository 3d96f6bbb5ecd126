//! The profile embedded: one store in a data folder is everything.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use fhirpool_binary::{LocalContent, LocalSettings};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports, SearchSettings, Settings};
use fhirpool_fhir::Definitions;
use fhirpool_interactions::{Clock, Randomness, SystemClock, SystemRandomness};
use fhirpool_search::Extractors;

use fhirpool_storage::KeyRing;
use fhirpool_storage::tenants::{DirectorySettings, PurgeTenant, TenantDirectory};

use super::StartError;
use super::parts::Parts;
use crate::administration::{Administration, Settling};
use crate::config::Config;
use crate::control::Control;
use crate::duties::Duties;

/// Where content lies in the data folder.
const CONTENT_FOLDER: &str = "content";

/// Opens the store of the data folder, which is there.
pub(super) async fn open(config: &Config) -> Result<Parts, StartError> {
    let definitions = Definitions::r4();
    let extractors = Arc::new(Extractors::new(Arc::clone(&definitions)));
    let keys = Arc::new(LocalKeyRing::open(&config.data)?);
    let content = LocalSettings { folder: config.data.join(CONTENT_FOLDER), length_max: config.body_bytes_max };
    let (content_keys, now) = (Arc::clone(&keys) as _, Arc::new(|| SystemClock.now()));
    let ring: Arc<dyn KeyRing> = Arc::clone(&keys) as _;
    let settings = Settings {
        cache_bytes: config.block_cache_bytes,
        search: SearchSettings {
            cache_bytes: config.posting_cache_bytes,
            list_length_max: config.search_ids_max as usize,
            ..SearchSettings::default()
        },
        ..Settings::default()
    };
    let audit_keys = Arc::clone(&keys) as _;
    let store = Arc::new(EmbeddedStore::open(&config.data, settings, Ports { keys, extractors: Arc::clone(&extractors), now })?);
    // Behind the store, whose lock keeps other processes out of the folder.
    let content = Arc::new(LocalContent::open(&content, content_keys, Arc::new(|| SystemClock.now().0.div_euclid(1000)))?);
    // All of the process comes in here: whoever is let in is under way already when the tenant is closed.
    let settling = Settling { under_way: super::request_time_max(config), ..Settling::default() };
    let (tenants, administration) = administer(&store, &content, ring, settling);
    super::register_tenants(config, &tenants).await?;
    let page_token_key = page_token_key(&config.data).map_err(StartError::Data)?;
    let control = Control::start(&config.data, Arc::clone(&store), Arc::clone(&administration)).map_err(StartError::Data)?;
    let removing = Arc::clone(&administration);
    Ok(Parts {
        administration,
        tenants,
        index: Arc::clone(&store) as _,
        audit_log: Arc::clone(&store) as _,
        keys: audit_keys,
        stored_bytes: Arc::clone(&store) as _,
        store,
        content: Arc::clone(&content) as _,
        signed_content: Some(content),
        definitions,
        extractors,
        page_token_key,
        quota_leases: None,
        is_ready: Box::new(|| true),
        stop: Box::new(move || {
            Box::pin(async move {
                removing.stop();
                control.stop().await;
            })
        }),
    })
}

/// What administers the tenants of a data folder that no server has open.
pub(crate) async fn administration(config: &Config) -> Result<Arc<Administration>, StartError> {
    let keys = Arc::new(LocalKeyRing::open(&config.data)?);
    let extractors = Arc::new(Extractors::new(Definitions::r4()));
    let ports = Ports { keys: Arc::clone(&keys) as _, extractors, now: Arc::new(|| SystemClock.now()) };
    let store = Arc::new(EmbeddedStore::open(&config.data, Settings::default(), ports)?);
    let content = LocalSettings { folder: config.data.join(CONTENT_FOLDER), length_max: config.body_bytes_max };
    let content = LocalContent::open(&content, Arc::clone(&keys) as _, Arc::new(|| SystemClock.now().0.div_euclid(1000)))?;
    let audit = super::audit::start_for_command(config, Arc::clone(&store) as _, Arc::clone(&keys) as _)?;
    let (directory, administration) = administer(&store, &Arc::new(content), keys, Settling::default());
    audit.into_iter().for_each(|trail| administration.set_audit(trail));
    directory.refresh().await.map_err(StartError::Registry)?;
    Ok(administration)
}

fn administer(
    store: &Arc<EmbeddedStore>,
    content: &Arc<LocalContent>,
    keys: Arc<dyn KeyRing>,
    settling: Settling,
) -> (Arc<TenantDirectory>, Arc<Administration>) {
    let directory = Arc::new(TenantDirectory::new(Arc::clone(store) as _, DirectorySettings::default()));
    let ring = Arc::clone(&keys);
    directory.on_change(Box::new(move |tenant, _| ring.forget(tenant)));
    let parts: Vec<Arc<dyn PurgeTenant>> = vec![Arc::clone(store) as _, Arc::clone(content) as _];
    (Arc::clone(&directory), Administration::new(directory, keys, parts, settling, Arc::new(Duties::alone())))
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
