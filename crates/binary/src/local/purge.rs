//! Forgetting a tenant's files.

use std::io::ErrorKind;
use std::path::Path;

use async_trait::async_trait;
use fhirpool_authz::WriteAccess;
use fhirpool_storage::Result;
use fhirpool_storage::tenants::PurgeTenant;

use super::LocalContent;
use crate::object::prefix_of;

#[async_trait]
impl PurgeTenant for LocalContent {
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        let folder = self.files.folder().join(prefix_of(access.tenant()));
        let removed = super::files::in_background(move || {
            let removed = count(&folder)?;
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => super::files::sync_folder(&folder).map(|()| removed),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(removed),
                Err(error) => Err(error),
            }
        });
        Ok(vec![("objects", removed.await?)])
    }
}

/// Files below a folder, which need not be there.
fn count(folder: &Path) -> std::io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut files = 0;
    for entry in entries {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}
