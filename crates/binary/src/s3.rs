//! [`S3Content`]: content in a bucket; [`ServedS3Content`]: the same, where clients come to the server for it.
//!
//! What a client uploads by URL lies there as it was sent, under the bucket's own encryption; what the server puts there is
//! sealed under the tenant's key, also what clients send through it. The bucket keeps versions, and the first version of an object is the one that counts: whoever
//! uses an upload URL again changes nothing. Where the endpoint has no versions (some local stacks) the object is what it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_storage::{ContentInfo, ContentName, ContentStore, KeyRing, Result, StorageError, UploadTerms};

use crate::object::ObjectName;
use crate::seal;

mod bucket;
mod client;
mod purge;
mod served;
mod versions;

pub use client::S3Settings;
use client::{failure, is_missing};
pub use served::{Delivery, ServedS3Content};

/// Sealing adds this much at most: a head, and a tag for each chunk.
const SEAL_ROOM: u64 = 2048;

/// Content in a bucket.
pub struct S3Content {
    client: Client,
    /// Signs URLs for the address by which clients reach S3.
    signer: Client,
    settings: S3Settings,
    keys: Arc<dyn KeyRing>,
    /// Whether the endpoint has said that it does not know versions.
    has_no_versions: AtomicBool,
}

impl std::fmt::Debug for S3Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Content").field("bucket", &self.settings.bucket).finish_non_exhaustive()
    }
}

impl S3Content {
    /// The content of a bucket, which need not be there yet; credentials come from the environment.
    pub async fn open(settings: S3Settings, keys: Arc<dyn KeyRing>) -> Self {
        let (client, signer) = client::clients(&settings).await;
        Self { client, signer, settings, keys, has_no_versions: AtomicBool::new(false) }
    }

    fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    /// What one version of an object is; of the newest where none is named.
    async fn head(&self, object: &ObjectName, version: Option<&str>) -> Result<Option<ContentInfo>> {
        let request = self.client.head_object().bucket(self.bucket()).key(object.as_str()).set_version_id(version.map(str::to_owned));
        match request.send().await {
            Ok(found) => Ok(Some(ContentInfo {
                object_version: version.unwrap_or_default().to_owned(),
                length: found.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
                content_type: found.content_type.unwrap_or_default(),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failure("HeadObject", &error)),
        }
    }

    /// What an object of the server's own is, by its clear bytes. Such have names of their own: there is no second version.
    async fn sealed_info(&self, object: &ObjectName) -> Result<Option<ContentInfo>> {
        let Some(info) = self.head(object, None).await? else { return Ok(None) };
        // The head tells the content type; it is short, and the object as a whole is read right after by most callers.
        let range = format!("bytes=0-{}", seal::HEAD_LENGTH_MIN + seal::CONTENT_TYPE_BYTES_MAX - 1);
        let request = self.client.get_object().bucket(self.bucket()).key(object.as_str()).range(range);
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(failure("GetObject", &error)),
        };
        let ahead = collect(found.body, SEAL_ROOM).await?;
        let head = seal::Head::read(&ahead)?.ok_or_else(|| seal::damaged("it is cut off"))?;
        Ok(Some(ContentInfo { length: head.clear_length(info.length)?, content_type: head.content_type, ..info }))
    }

    /// The clear bytes of an object of the server's own.
    async fn get_sealed(&self, tenant: &TenantId, object: &ObjectName, length_max: u64) -> Result<Option<Bytes>> {
        let Some(body) = self.get_object(object, None).await? else { return Ok(None) };
        let sealed = collect(body, length_max.saturating_add(length_max / 1024).saturating_add(SEAL_ROOM)).await?;
        let clear = seal::open(&*self.keys, tenant, object, &sealed).await?;
        if clear.len() as u64 > length_max { Err(too_large()) } else { Ok(Some(clear)) }
    }

    async fn get_object(&self, object: &ObjectName, version: Option<String>) -> Result<Option<ByteStream>> {
        match self.client.get_object().bucket(self.bucket()).key(object.as_str()).set_version_id(version).send().await {
            Ok(found) => Ok(Some(found.body)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failure("GetObject", &error)),
        }
    }

    fn has_versions(&self) -> bool {
        !self.has_no_versions.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl ContentStore for S3Content {
    async fn sign_upload(&self, access: &WriteAccess, name: &ContentName, terms: &UploadTerms) -> Result<String> {
        let object = ObjectName::to_write(access, name)?;
        let request = self.signer.put_object().bucket(self.bucket()).key(object.for_url()?).content_type(&terms.content_type);
        let length = terms.length.map(i64::try_from).transpose().map_err(|_| StorageError::TooCostly("the upload is too large"))?;
        let signed = request.set_content_length(length).presigned(presigning(terms.ttl_s)?).await;
        Ok(signed.map_err(|error| failure("presigning", &error))?.uri().to_owned())
    }

    async fn sign_download(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, ttl_s: u32) -> Result<String> {
        let object = ObjectName::to_read(access, name)?;
        let request = self.signer.get_object().bucket(self.bucket()).key(object.for_url()?);
        let request = request.set_version_id(version_of(info)).response_content_type(&info.content_type);
        let signed = request.presigned(presigning(ttl_s)?).await;
        Ok(signed.map_err(|error| failure("presigning", &error))?.uri().to_owned())
    }

    async fn info(&self, access: &ReadAccess, name: &ContentName) -> Result<Option<ContentInfo>> {
        let object = ObjectName::to_read(access, name)?;
        if object.is_body() {
            return self.sealed_info(&object).await;
        }
        match self.first_version(&object).await? {
            versions::First::Version(version) => self.head(&object, Some(&version)).await,
            versions::First::Nothing => Ok(None),
            versions::First::Unversioned => self.head(&object, None).await,
        }
    }

    async fn put(&self, access: &WriteAccess, name: &ContentName, content_type: &str, bytes: Bytes) -> Result<ContentInfo> {
        let object = ObjectName::to_write(access, name)?;
        let length = bytes.len() as u64;
        let stored = match object.is_body() {
            true => seal::seal(&*self.keys, access.tenant(), &object, content_type, &bytes).await?,
            false => bytes,
        };
        let request = self.client.put_object().bucket(self.bucket()).key(object.as_str()).content_type(content_type);
        let done = request.body(ByteStream::from(stored)).send().await.map_err(|error| failure("PutObject", &error))?;
        Ok(ContentInfo { object_version: done.version_id.unwrap_or_default(), length, content_type: content_type.to_owned() })
    }

    async fn get(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, length_max: u64) -> Result<Option<Bytes>> {
        let object = ObjectName::to_read(access, name)?;
        if object.is_body() {
            return self.get_sealed(access.tenant(), &object, length_max).await;
        }
        match self.get_object(&object, version_of(info)).await? {
            Some(body) => Ok(Some(collect(body, length_max).await?)),
            None => Ok(None),
        }
    }

    async fn delete(&self, access: &WriteAccess, name: &ContentName) -> Result<()> {
        self.delete_versions(&ObjectName::to_write(access, name)?).await
    }
}

fn version_of(info: &ContentInfo) -> Option<String> {
    Some(info.object_version.clone()).filter(|version| !version.is_empty())
}

fn presigning(ttl_s: u32) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(Duration::from_secs(u64::from(ttl_s)))
        .map_err(|_| StorageError::TooCostly("a signed URL is good for a week at most"))
}

fn too_large() -> StorageError {
    StorageError::TooCostly("the content is larger than allowed")
}

/// All bytes of a body, at most so many.
async fn collect(mut body: ByteStream, length_max: u64) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| StorageError::Unavailable(format!("S3 GetObject: {error}")))?;
        if (all.len() + piece.len()) as u64 > length_max {
            return Err(too_large());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
