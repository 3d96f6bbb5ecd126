//! The ports of large bytes: the content of Binary resources, and bodies too large for the store.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceId, VersionId};
use futures_util::Stream;

use crate::Result;

/// What an object is the content of. The tenant is the access's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ContentName {
    /// The bytes of a Binary, by the version of the resource that announced them. Clients up- and download them by signed URLs.
    Binary {
        /// The Binary's id.
        id: ResourceId,
        /// The version.
        version: VersionId,
    },
    /// What the server itself has set aside, such as a stored value that is too large for the store: an opaque name, of letters,
    /// digits, `-`, `_` and single `/` between them, at most 512. Sealed under the tenant's key, and never the aim of a URL.
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
/// its terms. No method reaches an object of another tenant. A signed URL is absolute, or begins with `/` and is below the
/// tenant's base, where [`SignedContent`] serves it.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// A URL that a client may PUT the bytes to; [`crate::StorageError::Denied`] for what is no Binary's.
    async fn sign_upload(&self, access: &WriteAccess, name: &ContentName, terms: &UploadTerms) -> Result<String>;

    /// A URL that a client may GET the bytes from, of one object version; [`crate::StorageError::Denied`] for what is no Binary's.
    async fn sign_download(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, ttl_s: u32) -> Result<String>;

    /// What is there; of the first object version where there are several. `None`: nothing yet.
    async fn info(&self, access: &ReadAccess, name: &ContentName) -> Result<Option<ContentInfo>>;

    /// Stores bytes.
    async fn put(&self, access: &WriteAccess, name: &ContentName, content_type: &str, bytes: Bytes) -> Result<ContentInfo>;

    /// Reads the bytes of an object version, at most so many: [`crate::StorageError::TooCostly`] where there are more.
    async fn get(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, length_max: u64) -> Result<Option<Bytes>>;

    /// Removes every version of the object.
    async fn delete(&self, access: &WriteAccess, name: &ContentName) -> Result<()>;
}

/// Bytes that come piece by piece. An error ends them.
pub type ContentStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A URL that [`ContentStore`] has signed, as a client has sent it: `[base]/$content/Binary/<id>/<version>?<query>`.
#[derive(Debug, Clone)]
pub struct SignedAddress<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// The Binary.
    pub id: ResourceId,
    /// Its version.
    pub version: VersionId,
    /// Terms and signature, undecoded.
    pub query: &'a str,
}

/// What a client sends to such a URL.
pub struct Upload<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The bytes.
    pub bytes: ContentStream,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOutcome {
    /// It is on stable storage.
    Stored,
    /// There was content already, which stays.
    AlreadyThere,
    /// There are more than this many bytes.
    TooLarge(u64),
    /// There are not as many bytes as were announced.
    OtherLength,
    /// How many bytes there are must be said ahead of them.
    LengthUnknown,
}

/// Serves the signed URLs where the server itself does.
///
/// Contract: the signature is the right to do it, and [`crate::StorageError::Denied`] the answer where it does not fit method,
/// tenant, object, terms or time. Nothing is kept of an upload that is not stored as a whole.
#[async_trait]
pub trait SignedContent: Send + Sync {
    /// Takes the bytes that are PUT.
    async fn upload(&self, address: &SignedAddress<'_>, upload: Upload<'_>) -> Result<UploadOutcome>;

    /// Gives the bytes that are asked for by GET; `None`: there are none.
    async fn download(&self, address: &SignedAddress<'_>) -> Result<Option<(ContentInfo, ContentStream)>>;
}
