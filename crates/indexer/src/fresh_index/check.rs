//! Holding what the store shows against a query.

use fhirpool_authz::{ReadAccess, TenantId};
use fhirpool_fhir::ResourceKey;
use fhirpool_search::{Alone, IndexEntry, TypeSearch, Undecided, matches};
use fhirpool_storage::{Content, Result, StorageError, StoredVersion, View};

use super::FreshIndex;
use crate::extraction::bytes_of;
use crate::seen;

/// A resource as the picture shows it, which must be looked at again.
pub(super) struct Suspect {
    pub(super) key: ResourceKey,
    pub(super) stored: StoredVersion,
}

/// Entries are made of so many bytes at once in the caller's task; of more, on a thread that may take its time.
const INLINE_BYTES_MAX: usize = 64 * 1024;

impl FreshIndex {
    /// The newest versions in the picture; tombstones and what was never there are `None`.
    pub(super) async fn read_live(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let versions = seen::read_many(&*self.parts.store, access, view, keys).await?;
        Ok(versions.into_iter().map(|version| version.filter(|version| version.content != Content::Deleted)).collect())
    }

    /// The entries of each; a version that gives none because it cannot be read is an error, since what a search would have to
    /// say of it is not known.
    pub(super) async fn entries_of(&self, tenant: &TenantId, suspects: Vec<Suspect>) -> Result<Vec<Vec<IndexEntry>>> {
        let bytes: usize = suspects.iter().map(|suspect| bytes_of(&suspect.stored)).sum();
        let (extraction, tenant) = (self.parts.extraction.clone(), tenant.clone());
        let extract = move || -> Result<Vec<Vec<IndexEntry>>> {
            let entries = |suspect: &Suspect| extraction.entries(&tenant, &suspect.key, &suspect.stored);
            let entries = suspects.iter().map(|suspect| entries(suspect).map(Option::unwrap_or_default));
            entries.map(|entries| entries.map_err(|error| StorageError::Damaged(error.to_string()))).collect()
        };
        if bytes <= INLINE_BYTES_MAX {
            return extract();
        }
        let extracted = tokio::task::spawn_blocking(extract).await;
        extracted.unwrap_or_else(|error| Err(StorageError::Unavailable(error.to_string())))
    }
}

/// Whether a resource with these entries is what one of the parts seeks.
pub(super) fn matches_part(parts: &[TypeSearch], key: &ResourceKey, entries: &[IndexEntry]) -> std::result::Result<bool, Undecided> {
    let mut undecided = false;
    for part in parts.iter().filter(|part| part.resource_type == key.resource_type) {
        match matches(&part.filter, key, entries, &Alone) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(Undecided) => undecided = true,
        }
    }
    if undecided { Err(Undecided) } else { Ok(false) }
}
