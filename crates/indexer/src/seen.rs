//! Views that keep what was read in them.
//!
//! A search reads its candidates to check them, and whoever asked reads the hits again in the search's view. The view is the
//! same, so what it shows is too: it is read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_authz::{ReadAccess, TenantId};
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{ResourceStore, Result, StoredVersion, View};

/// The handle of such a view.
struct Seen {
    tenant: TenantId,
    inner: View,
    versions: Mutex<HashMap<ResourceKey, Option<StoredVersion>>>,
}

/// Lets a view keep what is read in it.
pub(crate) fn keeping(access: &ReadAccess, inner: View) -> View {
    let sequence = inner.sequence;
    View { sequence, handle: Arc::new(Seen { tenant: access.tenant().clone(), inner, versions: Mutex::default() }) }
}

/// Reads in a view, which may be one that keeps.
pub(crate) async fn read_many(
    store: &dyn ResourceStore,
    access: &ReadAccess,
    view: &View,
    keys: &[ResourceKey],
) -> Result<Vec<Option<StoredVersion>>> {
    let Ok(seen) = view.handle.clone().downcast::<Seen>() else { return store.read_many(access, view, keys).await };
    // What an access does not cover is the store's to refuse.
    let is_covered = seen.tenant == *access.tenant() && keys.iter().all(|key| access.allows(key.resource_type));
    if !is_covered {
        return store.read_many(access, &seen.inner, keys).await;
    }
    let kept: Vec<Option<Option<StoredVersion>>> = {
        let versions = seen.versions.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| versions.get(key).cloned()).collect()
    };
    let missing: Vec<ResourceKey> = keys.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(key, _)| key.clone()).collect();
    if missing.is_empty() {
        return Ok(kept.into_iter().map(Option::flatten).collect());
    }
    let mut read = store.read_many(access, &seen.inner, &missing).await?.into_iter();
    let mut versions = seen.versions.lock().unwrap_or_else(PoisonError::into_inner);
    let versions = keys.iter().zip(kept).map(|(key, kept)| match kept {
        Some(kept) => kept,
        None => {
            let version = read.next().flatten();
            versions.insert(key.clone(), version.clone());
            version
        }
    });
    Ok(versions.collect())
}
