//! What readers and the committer share.

use std::sync::{Arc, PoisonError, RwLock};

use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_search::Extractors;
use fhirpool_storage::{Result, StorageError};

use crate::faults::Faults;
use crate::picture::Picture;
use crate::search::{SearchCache, SearchSettings};
use crate::tenants::Tenants;
use crate::turns::Permits;

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What readers and the committer share.
pub(crate) struct Shared {
    published: RwLock<Option<Arc<Picture>>>,
    pub(crate) tenants: Tenants,
    pub(crate) extractors: Arc<Extractors>,
    pub(crate) now: Now,
    pub(crate) search_cache: SearchCache,
    pub(crate) search_settings: SearchSettings,
    /// A permit for each long search that may run; tenants take turns.
    pub(crate) long_searches: Arc<Permits<TenantId>>,
    pub(crate) faults: Faults,
}

impl Shared {
    /// Nothing is published yet.
    pub(crate) fn new(extractors: Arc<Extractors>, now: Now, search_settings: SearchSettings) -> Self {
        Self {
            published: RwLock::default(),
            tenants: Tenants::default(),
            extractors,
            now,
            search_cache: SearchCache::new(search_settings.cache_bytes),
            long_searches: Arc::new(Permits::new(search_settings.long_searches_max)),
            search_settings,
            faults: Faults::default(),
        }
    }

    /// The newest picture.
    pub(crate) fn picture(&self) -> Result<Arc<Picture>> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner).clone();
        published.ok_or_else(|| StorageError::Unavailable("the database is being opened again".into()))
    }

    /// Shows a picture to all readers, or that there is none now.
    pub(crate) fn publish(&self, picture: Option<Arc<Picture>>) {
        let replaced = std::mem::replace(&mut *self.published.write().unwrap_or_else(PoisonError::into_inner), picture);
        // Closing a snapshot is work, which readers need not wait for.
        drop(replaced);
    }
}
