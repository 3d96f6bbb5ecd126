//! [`LocalContent`]: content in files of a data folder, sealed, with URLs that this server serves itself.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_storage::{
    ContentInfo, ContentName, ContentStore, ContentStream, KeyRing, Result, SignedAddress, SignedContent, StorageError, Upload,
    UploadOutcome, UploadTerms,
};
use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;

use crate::object::ObjectName;
use crate::seal::{self, Head, Opener, Sealer};
use crate::signing::{Granted, NowSeconds, Signing};

mod files;
mod purge;
#[cfg(test)]
mod tests;
mod url_key;

use files::{Files, NewFile};

/// Settings of [`LocalContent`].
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The folder, which is made where it is not there.
    pub folder: PathBuf,
    /// An upload of more bytes is refused, whatever its URL allows.
    pub length_max: u64,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read or written.
    #[error("the content folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The key of URLs is not whole.
    #[error("the key of signed URLs in the content folder is damaged: remove the file, which ends the URLs that are out")]
    Damaged,
}

/// Content in files.
pub struct LocalContent {
    files: Arc<Files>,
    signing: Signing,
    keys: Arc<dyn KeyRing>,
}

impl std::fmt::Debug for LocalContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalContent").field("files", &self.files).finish_non_exhaustive()
    }
}

/// How many sealed bytes are read at once.
const PIECE_LENGTH: usize = 128 << 10;

impl LocalContent {
    /// Opens the folder. One process has it at a time: its caller holds the data folder's lock.
    pub fn open(settings: &LocalSettings, keys: Arc<dyn KeyRing>, now: Arc<NowSeconds>) -> std::result::Result<Self, OpenError> {
        let files = Files::open(&settings.folder)?;
        let signing = Signing::new(&url_key::load_or_create(&settings.folder)?, now, settings.length_max);
        Ok(Self { files: Arc::new(files), signing, keys })
    }

    /// Takes an upload into a file that is not there yet for anyone else.
    async fn receive(&self, granted: &Granted, mut bytes: ContentStream) -> Result<Received> {
        let (Granted { access, object, terms, .. }, length_max) = (granted, self.signing.length_max());
        let tenant = access.tenant();
        let (mut sealer, head) = Sealer::begin(&*self.keys, tenant, object, &terms.content_type).await?;
        let mut file = NewFile::create(&self.files).await?;
        let (mut out, mut length) = (head, 0_u64);
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            length += piece.len() as u64;
            if length > terms.length.unwrap_or(length_max).min(length_max) {
                return Ok(Received::Refused(match terms.length {
                    Some(announced) if announced <= length_max => UploadOutcome::OtherLength,
                    _ => UploadOutcome::TooLarge(length_max),
                }));
            }
            sealer.push(&piece, &mut out);
            file.write(&out).await?;
            out.clear();
        }
        if terms.length.is_some_and(|announced| announced != length) {
            return Ok(Received::Refused(UploadOutcome::OtherLength));
        }
        sealer.finish(&mut out);
        file.write(&out).await?;
        Ok(Received::Whole(file))
    }
}

enum Received {
    Whole(NewFile),
    Refused(UploadOutcome),
}

#[async_trait]
impl ContentStore for LocalContent {
    async fn sign_upload(&self, access: &WriteAccess, name: &ContentName, terms: &UploadTerms) -> Result<String> {
        let object = ObjectName::to_write(access, name)?;
        self.signing.upload_url(&object, terms)
    }

    async fn sign_download(&self, access: &ReadAccess, name: &ContentName, info: &ContentInfo, ttl_s: u32) -> Result<String> {
        let object = ObjectName::to_read(access, name)?;
        self.signing.download_url(&object, info, ttl_s)
    }

    async fn info(&self, access: &ReadAccess, name: &ContentName) -> Result<Option<ContentInfo>> {
        let object = ObjectName::to_read(access, name)?;
        let Some(opened) = self.files.read(&object).await? else { return Ok(None) };
        Ok(Some(info_of(&opened.head, opened.length)?))
    }

    async fn put(&self, access: &WriteAccess, name: &ContentName, content_type: &str, bytes: Bytes) -> Result<ContentInfo> {
        let object = ObjectName::to_write(access, name)?;
        let sealed = seal::seal(&*self.keys, access.tenant(), &object, content_type, &bytes).await?;
        let mut file = NewFile::create(&self.files).await?;
        file.write(&sealed).await?;
        file.replace(&object).await?;
        Ok(ContentInfo { object_version: String::new(), length: bytes.len() as u64, content_type: content_type.to_owned() })
    }

    async fn get(&self, access: &ReadAccess, name: &ContentName, _info: &ContentInfo, length_max: u64) -> Result<Option<Bytes>> {
        let object = ObjectName::to_read(access, name)?;
        let Some(opened) = self.files.read(&object).await? else { return Ok(None) };
        let length = opened.head.clear_length(opened.length)?;
        if length > length_max {
            return Err(StorageError::TooCostly("the content is larger than allowed"));
        }
        let mut opener = Opener::begin(&*self.keys, access.tenant(), &object, &opened.head).await?;
        let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let (mut file, mut sealed) = (opened.file, opened.ahead);
        while !sealed.is_empty() {
            opener.push(&sealed, &mut out)?;
            sealed = read_piece(&mut file, sealed).await?;
        }
        opener.finish(&mut out)?;
        Ok(Some(out.into()))
    }

    async fn delete(&self, access: &WriteAccess, name: &ContentName) -> Result<()> {
        self.files.remove(&ObjectName::to_write(access, name)?).await
    }
}

#[async_trait]
impl SignedContent for LocalContent {
    async fn upload(&self, address: &SignedAddress<'_>, upload: Upload<'_>) -> Result<UploadOutcome> {
        let granted = match self.signing.check_upload(address, &upload)? {
            Ok(granted) => granted,
            Err(outcome) => return Ok(outcome),
        };
        if self.files.read(&granted.object).await?.is_some() {
            return Ok(UploadOutcome::AlreadyThere);
        }
        match self.receive(&granted, upload.bytes).await? {
            Received::Refused(outcome) => Ok(outcome),
            Received::Whole(file) => Ok(if file.add(&granted.object).await? { UploadOutcome::Stored } else { UploadOutcome::AlreadyThere }),
        }
    }

    async fn download(&self, address: &SignedAddress<'_>) -> Result<Option<(ContentInfo, ContentStream)>> {
        let Granted { object, terms, .. } = self.signing.check_download(address)?;
        let Some(opened) = self.files.read(&object).await? else { return Ok(None) };
        let info = ContentInfo { content_type: terms.content_type, ..info_of(&opened.head, opened.length)? };
        let opener = Opener::begin(&*self.keys, address.tenant, &object, &opened.head).await?;
        let sealed = stream::try_unfold((opened.file, opened.ahead), async |(mut file, piece)| {
            if piece.is_empty() {
                return Ok(None);
            }
            let next = read_piece(&mut file, Vec::new()).await?;
            Ok(Some((Bytes::from(piece), (file, next))))
        });
        Ok(Some((info, seal::opened(opener, Box::pin(sealed)))))
    }
}

fn info_of(head: &Head, sealed_length: u64) -> Result<ContentInfo> {
    let length = head.clear_length(sealed_length)?;
    Ok(ContentInfo { object_version: String::new(), length, content_type: head.content_type.clone() })
}

/// The next bytes of a file, in the room of the last; none at its end.
async fn read_piece(file: &mut tokio::fs::File, mut room: Vec<u8>) -> Result<Vec<u8>> {
    room.resize(PIECE_LENGTH, 0);
    let read = file.read(&mut room).await.map_err(|error| unavailable(&error))?;
    room.truncate(read);
    Ok(room)
}

fn unavailable(error: &std::io::Error) -> StorageError {
    StorageError::Unavailable(format!("content file: {error}"))
}
