//! From stored versions to what an index is told of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_fhir::json::{Document, Limits};
use fhirpool_fhir::{ResourceKey, ServiceBase};
use fhirpool_search::{Extractors, IndexEntry};
use fhirpool_storage::{Content, IndexDocument, StoredVersion};

/// A tenant's base URLs: absolute references below them are local. Indexers are no part of a request and cannot know under which
/// address the server was reached.
pub type TenantBase = Arc<dyn Fn(&TenantId) -> ServiceBase + Send + Sync>;

/// Makes index entries of stored versions.
#[derive(Clone)]
pub struct Extraction {
    extractors: Arc<Extractors>,
    base: TenantBase,
}

/// Why a version cannot be indexed; holds no patient data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unindexable {
    /// The stored text is no JSON.
    #[error("the stored body is not JSON")]
    NotJson,
    /// A fault of the extractors.
    #[error("extracting the index entries panicked")]
    Panicked,
}

/// Stored bodies were read under limits of their own; this one keeps only to the parser's.
const DEPTH_MAX: usize = 1_000;

impl Extraction {
    /// By these definitions and base URLs.
    pub fn new(extractors: Arc<Extractors>, base: TenantBase) -> Self {
        Self { extractors, base }
    }

    /// The entries of a version, `_lastUpdated` among them; `None`: it is a tombstone.
    pub(crate) fn entries(
        &self,
        tenant: &TenantId,
        key: &ResourceKey,
        stored: &StoredVersion,
    ) -> Result<Option<Vec<IndexEntry>>, Unindexable> {
        let Content::Resource(body) = &stored.content else { return Ok(None) };
        let base = (self.base)(tenant);
        let extract = || {
            let document = Document::parse_with(body.text.clone().into_bytes(), &Limits { depth_max: DEPTH_MAX });
            let document = document.map_err(|_| Unindexable::NotJson)?;
            let mut entries = self.extractors.entries(key.resource_type, document.root(), &base);
            entries.push(self.extractors.last_updated_entry(stored.last_updated));
            Ok(Some(entries))
        };
        // A fault on one resource must not stop all that comes behind it in its shard.
        catch_unwind(AssertUnwindSafe(extract)).unwrap_or(Err(Unindexable::Panicked))
    }

    /// What an index is told of a version.
    pub(crate) fn document(&self, access: &WriteAccess, key: &ResourceKey, stored: &StoredVersion) -> Result<IndexDocument, Unindexable> {
        let entries = self.entries(access.tenant(), key, stored)?;
        Ok(IndexDocument { access: access.clone(), key: key.clone(), version: stored.version, last_updated: stored.last_updated, entries })
    }
}

/// Roughly the bytes that extracting a version looks at.
pub(crate) fn bytes_of(stored: &StoredVersion) -> usize {
    match &stored.content {
        Content::Resource(body) => body.text.len(),
        Content::Deleted => 0,
    }
}
