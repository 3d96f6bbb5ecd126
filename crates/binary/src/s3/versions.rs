//! The versions of an object.

use std::sync::atomic::Ordering;

use fhirpool_storage::{Result, StorageError};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::S3Content;
use super::client::{failure, is_missing, is_not_implemented};
use crate::object::ObjectName;

/// Pages of a thousand versions that are looked at; an upload URL is good for minutes.
const PAGES_MAX: usize = 100;
/// Versions that are removed at once.
const REMOVALS: usize = 8;

/// An object's first version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Its id.
    Version(String),
    /// There is no version.
    Nothing,
    /// The endpoint does not know versions.
    Unversioned,
}

/// A version or delete marker.
struct Found {
    id: String,
    /// Nanoseconds since 1970.
    modified: i128,
    is_marker: bool,
}

impl S3Content {
    /// The oldest version of an object.
    pub(super) async fn first_version(&self, object: &ObjectName) -> Result<First> {
        let Some(found) = self.versions(object).await? else { return Ok(First::Unversioned) };
        // Newest first, as S3 lists them: of two at the same time the later in the list is the older.
        let versions = found.into_iter().filter(|version| !version.is_marker).rev();
        Ok(versions.min_by_key(|version| version.modified).map_or(First::Nothing, |version| First::Version(version.id)))
    }

    /// Removes every version of an object.
    pub(super) async fn delete_versions(&self, object: &ObjectName) -> Result<()> {
        match self.versions(object).await? {
            None => self.delete_version(object, None).await,
            Some(found) => {
                let removals = stream::iter(found).map(|version| self.delete_version(object, Some(version.id)));
                removals.buffer_unordered(REMOVALS).try_collect().await
            }
        }
    }

    async fn delete_version(&self, object: &ObjectName, version: Option<String>) -> Result<()> {
        let request = self.client.delete_object().bucket(self.bucket()).key(object.as_str()).set_version_id(version);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(failure("DeleteObject", &error)),
        }
    }

    /// All versions and delete markers; `None` where the endpoint does not know versions.
    async fn versions(&self, object: &ObjectName) -> Result<Option<Vec<Found>>> {
        if !self.has_versions() {
            return Ok(None);
        }
        let (mut found, mut next_key, mut next_version) = (Vec::new(), None, None);
        for _ in 0..PAGES_MAX {
            let request = self.client.list_object_versions().bucket(self.bucket()).prefix(object.as_str());
            let page = match request.set_key_marker(next_key).set_version_id_marker(next_version).send().await {
                Ok(page) => page,
                Err(error) if is_not_implemented(&error) => {
                    self.has_no_versions.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                Err(error) => return Err(failure("ListObjectVersions", &error)),
            };
            // The prefix is also that of longer names, which come behind.
            let is_own = |key: Option<&str>| key == Some(object.as_str());
            found.extend(page.versions().iter().filter(|version| is_own(version.key())).map(|version| Found {
                id: version.version_id().unwrap_or_default().to_owned(),
                modified: version.last_modified().map_or(0, |time| time.as_nanos()),
                is_marker: false,
            }));
            found.extend(page.delete_markers().iter().filter(|marker| is_own(marker.key())).map(|marker| Found {
                id: marker.version_id().unwrap_or_default().to_owned(),
                modified: 0,
                is_marker: true,
            }));
            let goes_on = page.is_truncated() == Some(true) && is_own(page.next_key_marker());
            if !goes_on {
                return Ok(Some(found));
            }
            (next_key, next_version) = (page.next_key_marker, page.next_version_id_marker);
        }
        Err(StorageError::TooCostly("the object has too many versions"))
    }
}
