//! Forgetting a tenant's objects.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use fhirpool_authz::WriteAccess;
use fhirpool_storage::tenants::PurgeTenant;
use fhirpool_storage::{Result, StorageError};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::S3Content;
use super::client::{failure, is_missing, is_not_implemented};
use crate::object::prefix_of;

/// Objects that are removed beside each other.
const REMOVALS: usize = 16;
/// Pages of a thousand that one purge looks at.
const PAGES_MAX: usize = 1_000_000;

/// An object and one of its versions, where the endpoint has any.
type Version = (String, Option<String>);

#[async_trait]
impl PurgeTenant for S3Content {
    /// Every version and delete marker; what a client still has a URL to is gone as well.
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        let prefix = prefix_of(access.tenant());
        let mut removed = 0;
        // What is removed is not on the next first page.
        for _ in 0..PAGES_MAX {
            let page = self.first_page(&prefix).await?;
            if page.is_empty() {
                return Ok(vec![("objects", removed)]);
            }
            removed += page.len() as u64;
            let removals = stream::iter(page).map(|version| self.remove(version));
            removals.buffer_unordered(REMOVALS).try_collect::<()>().await?;
        }
        Err(StorageError::TooCostly("the objects of a tenant"))
    }
}

impl S3Content {
    async fn first_page(&self, prefix: &str) -> Result<Vec<Version>> {
        if self.has_versions() {
            match self.client.list_object_versions().bucket(self.bucket()).prefix(prefix).send().await {
                Ok(page) => {
                    let named = |key: Option<&str>, version: Option<&str>| Some((key?.to_owned(), version.map(str::to_owned)));
                    let versions = page.versions().iter().filter_map(|version| named(version.key(), version.version_id()));
                    let markers = page.delete_markers().iter().filter_map(|marker| named(marker.key(), marker.version_id()));
                    return Ok(versions.chain(markers).collect());
                }
                Err(error) if is_not_implemented(&error) => self.has_no_versions.store(true, Ordering::Relaxed),
                Err(error) => return Err(failure("ListObjectVersions", &error)),
            }
        }
        let page = self.client.list_objects_v2().bucket(self.bucket()).prefix(prefix).send().await;
        let page = page.map_err(|error| failure("ListObjectsV2", &error))?;
        Ok(page.contents().iter().filter_map(|object| Some((object.key()?.to_owned(), None))).collect())
    }

    async fn remove(&self, (key, version): Version) -> Result<()> {
        match self.client.delete_object().bucket(self.bucket()).key(key).set_version_id(version).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(failure("DeleteObject", &error)),
        }
    }
}
