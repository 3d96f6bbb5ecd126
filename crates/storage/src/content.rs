//! The port of large bytes: the content of Binary resources, and bodies too large for the store.

use async_trait::async_trait;
use bytes::Bytes;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceId, VersionId};

use crate::Result;

/// What an object is the content of. The tenant is the access's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ContentName {
    /// The bytes of a Binary, by the version of the resource that announced them.
    Binary {
        /// The Binary's id.
        id: ResourceId,
        /// The version.
        version: VersionId,
    },
    /// A stored version's value that is too large for the store: an opaque name of the store's own, of letters, digits, `-`, `_`, `/`.
    Body(String),
}

/// What an upload must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadTerms {
    /// Bound by the signature.
    pub content_type: String,
    /// Bound by the signature where it is known.
    pub length: Option<u64>,
    /// Seconds that the URL is good for.
    pub ttl_s: u32,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentInfo {
    /// Which of the object's versions; empty where the store keeps one only.
    pub object_version: String,
    /// Bytes.
    pub length: u64,
    /// As it was uploaded.
    pub content_type: String,
}

/// Keeps large bytes.
///
/// Contract: what `put` acknowledged is on stable storage. A signed URL opens just the object it was made for, for its time and
/// its terms. No method reaches an object of another tenant.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// A URL that a client may PUT the bytes to.
    async fn sign_upload(&self, access: &WriteAccess, name: &ContentName, terms: &UploadTerms) -> Result<String>;

    /// A URL that a client may GET the bytes from, of one object version.
    async fn sign_download(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, ttl_s: u32) -> Result<String>;

    /// What is there; of the first object version where there are several. `None`: nothing yet.
    async fn info(&self, access: &ReadAccess, name: &ContentName) -> Result<Option<ContentInfo>>;

    /// Stores bytes.
    async fn put(&self, access: &WriteAccess, name: &ContentName, content_type: &str, bytes: Bytes) -> Result<ContentInfo>;

    /// Reads bytes of an object version, at most so many: [`crate::StorageError::TooCostly`] where there are more.
    async fn get(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, length_max: u64) -> Result<Option<Bytes>>;

    /// Removes every version of the object.
    async fn delete(&self, access: &WriteAccess, name: &ContentName) -> Result<()>;
}
