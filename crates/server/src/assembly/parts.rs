//! What a profile gives: the parts below HTTP.

use std::pin::Pin;
use std::sync::Arc;

use fhirpool_fhir::Definitions;
use fhirpool_search::Extractors;
use fhirpool_storage::tenants::TenantDirectory;
use fhirpool_storage::{AuditLog, ContentStore, KeyRing, QuotaLeases, ResourceStore, SearchIndex, SignedContent, StoredBytes};

use crate::administration::Administration;

/// The parts below HTTP.
pub(crate) struct Parts {
    /// Does what operators want with tenants, and removes them.
    pub administration: Arc<Administration>,
    /// How tenants stand; read once by now.
    pub tenants: Arc<TenantDirectory>,
    pub store: Arc<dyn ResourceStore>,
    pub index: Arc<dyn SearchIndex>,
    pub content: Arc<dyn ContentStore>,
    /// Serves the URLs that `content` signs, where the server itself does.
    pub signed_content: Option<Arc<dyn SignedContent>>,
    /// The log of accesses, and the tenants' keys that it is sealed with.
    pub audit_log: Arc<dyn AuditLog>,
    pub keys: Arc<dyn KeyRing>,
    pub definitions: Arc<Definitions>,
    pub extractors: Arc<Extractors>,
    /// Seals page links. Nodes that share their stores share it.
    pub page_token_key: [u8; 32],
    /// Counts what tenants store.
    pub stored_bytes: Arc<dyn StoredBytes>,
    /// Where nodes share rates; `None`: there is one node.
    pub quota_leases: Option<Arc<dyn QuotaLeases>>,
    /// Whether requests can be served now.
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    /// Ends what the parts do by themselves.
    pub stop: Stop,
}

/// Called once, when no request is under way any more.
pub(crate) type Stop = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;
