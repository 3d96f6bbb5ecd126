//! [`ServedS3Content`]: content in a bucket, of which the server itself serves the URLs.
//!
//! What comes by them is sealed under the tenant's key on its way, and lies under a name that no URL of S3 leads to. So the name
//! tells the form, and content that came the other way, before the setting was changed, is found as well. Bytes pass the server
//! a few pieces at a time: S3 takes them no slower than clients send them, and gives them no faster than clients take them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_storage::{
    ContentInfo, ContentName, ContentStore, ContentStream, Result, SignedAddress, SignedContent, StorageError, Upload, UploadOutcome,
    UploadTerms,
};
use futures_util::{StreamExt, stream};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::client::{failure, is_missing, unhurried};
use super::{S3Content, version_of};
use crate::object::ObjectName;
use crate::seal::{self, Head, Opener, Sealer};
use crate::signing::{Granted, KEY_LENGTH, NowSeconds, Signing};

/// Where clients up- and download content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At S3; what lies there sealed, at the server.
    S3,
    /// At the server.
    Server,
}

/// Content in a bucket, and the server's own URLs to it.
pub struct ServedS3Content {
    s3: Arc<S3Content>,
    signing: Signing,
    delivery: Delivery,
}

impl std::fmt::Debug for ServedS3Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedS3Content").field("s3", &self.s3).field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// What is sealed has no versions of the bucket's.
const SEALED: &str = "sealed";
/// Pieces that wait for S3.
const PIECES_AHEAD: usize = 2;

impl ServedS3Content {
    /// Over a bucket. The key of URLs is that of all nodes; no upload through the server may have more than so many bytes.
    pub fn new(s3: Arc<S3Content>, url_key: &[u8; KEY_LENGTH], now: Arc<NowSeconds>, length_max: u64, delivery: Delivery) -> Self {
        Self { s3, signing: Signing::new(url_key, now, length_max), delivery }
    }

    async fn sealed_info(&self, object: &ObjectName) -> Result<Option<ContentInfo>> {
        let found = self.s3.sealed_info(&object.sealed()?).await?;
        Ok(found.map(|info| ContentInfo { object_version: SEALED.to_owned(), ..info }))
    }
}

#[async_trait]
impl ContentStore for ServedS3Content {
    async fn sign_upload(&self, access: &WriteAccess, name: &ContentName, terms: &UploadTerms) -> Result<String> {
        match self.delivery {
            Delivery::S3 => self.s3.sign_upload(access, name, terms).await,
            Delivery::Server => self.signing.upload_url(&ObjectName::to_write(access, name)?, terms),
        }
    }

    async fn sign_download(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, ttl_s: u32) -> Result<String> {
        if self.delivery == Delivery::S3 && info.object_version != SEALED {
            return self.s3.sign_download(access, name, info, ttl_s).await;
        }
        self.signing.download_url(&ObjectName::to_read(access, name)?, info, ttl_s)
    }

    async fn info(&self, access: &ReadAccess, name: &ContentName) -> Result<Option<ContentInfo>> {
        let object = ObjectName::to_read(access, name)?;
        match (name, self.delivery) {
            (ContentName::Body(_), _) => self.s3.info(access, name).await,
            (ContentName::Binary { .. }, Delivery::S3) => match self.s3.info(access, name).await? {
                Some(info) => Ok(Some(info)),
                None => self.sealed_info(&object).await,
            },
            (ContentName::Binary { .. }, Delivery::Server) => match self.sealed_info(&object).await? {
                Some(info) => Ok(Some(info)),
                None => self.s3.info(access, name).await,
            },
        }
    }

    async fn put(&self, access: &WriteAccess, name: &ContentName, content_type: &str, bytes: Bytes) -> Result<ContentInfo> {
        self.s3.put(access, name, content_type, bytes).await
    }

    async fn get(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, length_max: u64) -> Result<Option<Bytes>> {
        if info.object_version != SEALED {
            return self.s3.get(access, name, info, length_max).await;
        }
        self.s3.get_sealed(access.tenant(), &ObjectName::to_read(access, name)?.sealed()?, length_max).await
    }

    async fn delete(&self, access: &WriteAccess, name: &ContentName) -> Result<()> {
        self.s3.delete(access, name).await?;
        match name {
            ContentName::Binary { .. } => self.s3.delete_versions(&ObjectName::to_write(access, name)?.sealed()?).await,
            ContentName::Body(_) => Ok(()),
        }
    }
}

#[async_trait]
impl SignedContent for ServedS3Content {
    async fn upload(&self, address: &SignedAddress<'_>, upload: Upload<'_>) -> Result<UploadOutcome> {
        let Granted { access, name, object, terms } = match self.signing.check_upload(address, &upload)? {
            Ok(granted) => granted,
            Err(outcome) => return Ok(outcome),
        };
        // S3 must be told the length ahead of the bytes.
        let Some(length) = terms.length.or(upload.length) else { return Ok(UploadOutcome::LengthUnknown) };
        if self.info(access.as_read(), &name).await?.is_some() {
            return Ok(UploadOutcome::AlreadyThere);
        }
        self.s3.put_stream(access.tenant(), &object.sealed()?, &terms.content_type, length, upload.bytes).await
    }

    async fn download(&self, address: &SignedAddress<'_>) -> Result<Option<(ContentInfo, ContentStream)>> {
        let Granted { access, name, object, terms } = self.signing.check_download(address)?;
        let found = match self.s3.sealed_stream(address.tenant, &object.sealed()?).await? {
            Some(found) => Some(found),
            None => match self.s3.info(access.as_read(), &name).await? {
                Some(info) => self.s3.object_stream(&object, version_of(&info)).await?,
                None => None,
            },
        };
        Ok(found.map(|(length, bytes)| (ContentInfo { object_version: String::new(), length, content_type: terms.content_type }, bytes)))
    }
}

impl S3Content {
    /// Seals bytes on their way into an object that must not be there yet. There is nothing of it unless all came.
    async fn put_stream(
        &self,
        tenant: &TenantId,
        object: &ObjectName,
        content_type: &str,
        length: u64,
        bytes: ContentStream,
    ) -> Result<UploadOutcome> {
        let (sealer, head) = Sealer::begin(&*self.keys, tenant, object, content_type).await?;
        let sealed_length = seal::sealed_length(head.len(), length);
        let length_told = i64::try_from(sealed_length).map_err(|_| StorageError::TooCostly("the upload is too large"))?;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let body = ByteStream::new(SdkBody::from_body_1_x(Pieces { receiver, left: sealed_length }));
        let request = self.client.put_object().bucket(self.bucket()).key(object.as_str()).content_type(content_type);
        let request = request.content_length(length_told).if_none_match("*").body(body).customize().config_override(unhurried());
        let (sealed, put) = tokio::join!(seal_into(sealer, head, bytes, length, sender), request.send());
        if let Some(refused) = sealed? {
            return Ok(refused);
        }
        match put {
            Ok(_) => Ok(UploadOutcome::Stored),
            Err(error) if is_there(&error) => Ok(UploadOutcome::AlreadyThere),
            Err(error) => Err(failure("PutObject", &error)),
        }
    }

    /// The clear bytes of what was sealed, and how many they are.
    async fn sealed_stream(&self, tenant: &TenantId, object: &ObjectName) -> Result<Option<(u64, ContentStream)>> {
        let Some((sealed_length, mut sealed)) = self.object_stream(object, None).await? else { return Ok(None) };
        let mut ahead = Vec::new();
        let head = loop {
            if let Some(head) = Head::read(&ahead)? {
                break head;
            }
            let piece = sealed.next().await.ok_or_else(|| seal::damaged("it is cut off"))?;
            ahead.extend_from_slice(&piece?);
        };
        let opener = Opener::begin(&*self.keys, tenant, object, &head).await?;
        let first = Bytes::from(ahead).split_off(head.length());
        let rest = stream::iter([Ok(first)]).chain(sealed);
        Ok(Some((head.clear_length(sealed_length)?, seal::opened(opener, Box::pin(rest)))))
    }

    /// The bytes of an object as they lie there, and how many they are.
    async fn object_stream(&self, object: &ObjectName, version: Option<String>) -> Result<Option<(u64, ContentStream)>> {
        let request = self.client.get_object().bucket(self.bucket()).key(object.as_str()).set_version_id(version);
        let found = match request.customize().config_override(unhurried()).send().await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(failure("GetObject", &error)),
        };
        let length = found.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let bytes = stream::try_unfold(found.body, async |mut body| match body.next().await {
            Some(Ok(piece)) => Ok(Some((piece, body))),
            Some(Err(error)) => Err(StorageError::Unavailable(format!("S3 GetObject: {error}"))),
            None => Ok(None),
        });
        Ok(Some((length, Box::pin(bytes))))
    }
}

/// Seals bytes as they come and hands them on; what was wrong with them, if anything was. Where nobody takes them any more, S3 has
/// answered already, and says why.
async fn seal_into(
    mut sealer: Sealer,
    head: Vec<u8>,
    mut bytes: ContentStream,
    length: u64,
    sender: mpsc::Sender<Bytes>,
) -> Result<Option<UploadOutcome>> {
    let (mut out, mut seen) = (head, 0);
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        seen += piece.len() as u64;
        if seen > length {
            return Ok(Some(UploadOutcome::OtherLength));
        }
        sealer.push(&piece, &mut out);
        if !out.is_empty() && sender.send(std::mem::take(&mut out).into()).await.is_err() {
            return Ok(None);
        }
    }
    if seen < length {
        return Ok(Some(UploadOutcome::OtherLength));
    }
    sealer.finish(&mut out);
    // Whether it was taken, S3's answer tells.
    let _ = sender.send(out.into()).await;
    Ok(None)
}

/// Whether S3 says that there is such an object, or that somebody else is just making it.
fn is_there<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("PreconditionFailed" | "ConditionalRequestConflict"))
}

/// A body of a length that is known, in pieces that come by and by.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.receiver.poll_recv(context)) {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Ok(Frame::data(piece))
            }
            None => Err(std::io::Error::other("the upload ended early")),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
