//! The server's own issuer, whose key lies in the data folder.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fhirpool_authz::{LocalIssuer, LocalKey, LocalKeyError};

/// `iss` of its tokens: a name, since the server may be reached by several addresses.
const ISSUER: &str = "urn:fhirpool:local";

fn key_path(data: &Path) -> PathBuf {
    data.join("issuer.pem")
}

/// The issuer of a folder; its key is made on the first start.
pub(crate) fn load_or_create(data: &Path, audience: &str) -> Result<LocalIssuer, LocalKeyError> {
    Ok(LocalIssuer::new(LocalKey::load_or_create(&key_path(data))?, ISSUER, audience))
}

/// The issuer of a folder that has been served before.
pub(crate) fn load(data: &Path, audience: &str) -> Result<LocalIssuer, String> {
    let path = key_path(data);
    let key = LocalKey::load(&path)
        .map_err(|cause| format!("data: no usable issuer key at {} ({cause}); allowed: a folder that fhirpool serves", path.display()))?;
    Ok(LocalIssuer::new(key, ISSUER, audience))
}

/// Seconds since 1970-01-01T00:00:00Z.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
