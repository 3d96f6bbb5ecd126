//! Binary (R4 binary.html): where content lies, and how it goes in and out.
//!
//! | a Binary that was written | its content | a read as JSON gives |
//! |---|---|---|
//! | with `data`, or as raw bytes | in the resource; over [`crate::Limits::binary_inline_bytes_max`] set aside, sealed | `data` |
//! | with `contentType` alone | what the client PUTs to the `presignedPutUrl` of the answer | `presignedGetUrl`; 404 until it is there |
//!
//! Each version has content of its own. An update without `data` announces new content, whatever the version before had; that
//! one stays as it was. A patch keeps the content, unless it changes `data` or `contentType`. A delete removes none: earlier
//! versions can still be read.
//!
//! Content is set aside before the commit and removed again if the commit is known to have failed. A process that ends between
//! the two leaves an object that no version names; it goes with its tenant.
//!
//! Searches and histories show a Binary without content that lies elsewhere, tagged `SUBSETTED` where they leave `data` out;
//! so do the entries of Bundles, except that they give `presignedGetUrl`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fhirpool_authz::{Principal, ReadAccess, WriteAccess};
use fhirpool_fhir::{Issue, IssueCode, ResourceKey};
use fhirpool_storage::{
    ChangeContent, Commit, CommitOutcome, Content, ContentInfo, ContentName, Method, StorageError, StoredVersion, UploadTerms,
};
use tokio::task::JoinSet;

use crate::read::json_of;
use crate::{Effect, ErrorKind, InteractionError, Interactions, ReadOutcome, Representation, Result, WriteOutcome};

mod text;

pub use text::EMPTY_DATA_MEMBER;
use text::{Facts, Place};
pub(crate) use text::{after_patch, listed, without_urls};

/// Objects that one commit puts at once.
const PUTS_AT_ONCE: usize = 8;

/// Whether it is a Binary.
pub(crate) fn is_binary(key: &ResourceKey) -> bool {
    key.resource_type.name() == "Binary"
}

/// Whether a version's content is uploaded by the client: what a read of it gives changes without a new version.
pub(crate) fn is_uploaded(key: &ResourceKey, version: &StoredVersion) -> bool {
    let Content::Resource(body) = &version.content else { return false };
    is_binary(key) && Facts::of_text(&body.text).is_some_and(|facts| matches!(facts.place, Place::Uploaded(_)))
}

impl Interactions {
    /// Commits, with the content of Binaries set aside where it is too large for the store.
    pub(crate) async fn commit_with_content(
        &self,
        access: &WriteAccess,
        mut commit: Commit,
    ) -> std::result::Result<CommitOutcome, CommitFailure> {
        let aside = self.set_aside(access, &mut commit).await.map_err(CommitFailure::Refused)?;
        let outcome = self.store.commit(access, commit).await;
        // Where the store cannot say what became of the commit, a version may rest on it.
        if matches!(outcome, Ok(CommitOutcome::PreconditionFailed { .. } | CommitOutcome::Stale) | Err(StorageError::Busy)) {
            self.discard(access, &aside).await;
        }
        outcome.map_err(CommitFailure::Storage)
    }

    /// Puts large data into the content store and its place into the resource. Gives the objects that were put.
    async fn set_aside(&self, access: &WriteAccess, commit: &mut Commit) -> Result<Vec<ContentName>> {
        let mut waiting = Vec::new();
        for (index, change) in commit.changes.iter().enumerate() {
            let ChangeContent::Put { body, .. } = &change.content else { continue };
            if is_binary(&change.key) {
                if change.method != Method::Patch {
                    text::check_own_marker(&body.text)?;
                }
                if body.text.len() > self.limits.binary_inline_bytes_max {
                    waiting.push(index);
                }
            }
        }
        let mut names = Vec::new();
        let mut running = JoinSet::new();
        let mut waiting = waiting.into_iter();
        let mut refused = None;
        loop {
            while running.len() < PUTS_AT_ONCE
                && refused.is_none()
                && let Some(index) = waiting.next()
            {
                let ChangeContent::Put { body, .. } = &commit.changes[index].content else { continue };
                let (this, access, body) = (self.clone(), access.clone(), body.clone());
                let name = format!("binary/{}", self.ids.next_id());
                running.spawn(async move {
                    let length_min = this.limits.binary_inline_bytes_max;
                    let split = this.work(body.text.len(), move |_| Ok(text::set_data_aside(&body, &name, length_min))).await?;
                    let Some(split) = split else { return Ok::<_, InteractionError>(None) };
                    let object = ContentName::Body(split.name);
                    this.content.put(&access, &object, &split.content_type, split.data.into()).await?;
                    Ok(Some((index, object, split.body)))
                });
            }
            match running.join_next().await {
                None => break,
                Some(Ok(Ok(None))) => {}
                Some(Ok(Ok(Some((index, object, new_body))))) => {
                    names.push(object);
                    if let ChangeContent::Put { body, .. } = &mut commit.changes[index].content {
                        *body = new_body;
                    }
                }
                Some(Ok(Err(error))) => refused = Some(error),
                Some(Err(error)) => refused = Some(InteractionError { internal: Some(error.to_string()), ..failed() }),
            }
        }
        match refused {
            None => Ok(names),
            Some(error) => {
                self.discard(access, &names).await;
                Err(error)
            }
        }
    }

    async fn discard(&self, access: &WriteAccess, names: &[ContentName]) {
        for name in names {
            if let Err(cause) = self.content.delete(access, name).await {
                // It goes with its tenant.
                tracing::warn!(%cause, "content that no version names was left behind");
            }
        }
    }

    /// The JSON of a Binary as a read gives it: with its `data`, or with the URL of what was uploaded.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where nothing was uploaded yet.
    pub async fn binary_json(&self, access: &ReadAccess, base: &str, found: Representation) -> Result<String> {
        let Some(facts) = Facts::of_text(&found.json) else { return Ok(found.json) };
        match &facts.place {
            Place::Inline => Ok(found.json),
            Place::Empty => Ok(text::without_marker(found.json)),
            Place::SetAside { .. } => {
                let bytes = self.bytes_at(access, &found, &facts).await?;
                self.work(bytes.len(), move |_| Ok(text::with_data(&found.json, &STANDARD.encode(&bytes)))).await
            }
            Place::Uploaded(_) => self.with_download_url(access, base, found, &facts).await,
        }
    }

    /// The type of a Binary's content, where a read can give it as it is: not of a resource that was shortened.
    pub fn binary_content_type(&self, found: &Representation) -> Option<String> {
        Facts::of_text(&found.json).filter(|facts| !facts.is_shortened).map(|facts| facts.content_type)
    }

    /// A read as an entry of a Bundle gives it.
    pub(crate) async fn as_entry(&self, access: &ReadAccess, base: &str, outcome: ReadOutcome) -> Result<ReadOutcome> {
        let found = match outcome {
            ReadOutcome::Found(found) if is_binary(&found.key) => found,
            outcome => return Ok(outcome),
        };
        let json = match Facts::of_text(&found.json) {
            Some(facts) if matches!(facts.place, Place::Uploaded(_)) => self.with_download_url(access, base, found.clone(), &facts).await?,
            _ => listed(found.json.clone()),
        };
        Ok(ReadOutcome::Found(Representation { json, ..found }))
    }

    /// The content of a Binary.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where nothing was uploaded yet.
    pub async fn binary_bytes(&self, access: &ReadAccess, found: &Representation) -> Result<Bytes> {
        let Some(facts) = Facts::of_text(&found.json) else { return Ok(Bytes::new()) };
        self.bytes_at(access, found, &facts).await
    }

    async fn bytes_at(&self, access: &ReadAccess, found: &Representation, facts: &Facts) -> Result<Bytes> {
        let length_max = self.limits.content_bytes_max;
        let (name, info) = match &facts.place {
            Place::Inline => return Ok(text::inline_data(&found.json).into()),
            Place::Empty => return Ok(Bytes::new()),
            Place::SetAside { name, length } => {
                let info = ContentInfo { object_version: String::new(), length: *length, content_type: facts.content_type.clone() };
                (ContentName::Body(name.clone()), info)
            }
            Place::Uploaded(version) => {
                let name = ContentName::Binary { id: found.key.id.clone(), version: version.unwrap_or(found.version) };
                let info = self.uploaded(access, &name).await?;
                (name, info)
            }
        };
        let length_max = length_max.max(info.length);
        match self.content.get(access, &name, &info, length_max).await? {
            Some(bytes) => Ok(bytes),
            None if matches!(name, ContentName::Binary { .. }) => Err(not_uploaded()),
            None => Err(InteractionError { internal: Some(format!("no content {name:?}")), ..failed() }),
        }
    }

    /// What was uploaded. More than is allowed is removed when it is met first.
    async fn uploaded(&self, access: &ReadAccess, name: &ContentName) -> Result<ContentInfo> {
        let Some(info) = self.content.info(access, name).await? else { return Err(not_uploaded()) };
        if info.length <= self.limits.content_bytes_max {
            return Ok(info);
        }
        let server = WriteAccess::authorize(&Principal::operator(access.tenant().clone()), access.tenant());
        self.content.delete(&server.map_err(|_| failed())?, name).await?;
        let text = format!(
            "what was uploaded for this Binary had {} bytes where {} are allowed, and was removed: update the Binary and upload again",
            info.length, self.limits.content_bytes_max
        );
        Err(InteractionError::of(ErrorKind::NotFound, text))
    }

    async fn with_download_url(&self, access: &ReadAccess, base: &str, found: Representation, facts: &Facts) -> Result<String> {
        let Place::Uploaded(version) = facts.place else { return Ok(found.json) };
        if facts.is_shortened {
            return Ok(text::without_marker(found.json));
        }
        let name = ContentName::Binary { id: found.key.id, version: version.unwrap_or(found.version) };
        let uploaded = self.uploaded(access, &name).await?;
        let info = ContentInfo { content_type: facts.content_type.clone(), ..uploaded };
        let url = self.content.sign_download(access, &name, &info, self.limits.content_url_ttl_s).await?;
        let url = absolute(base, url);
        Ok(text::with_member(&text::without_marker(found.json), text::DOWNLOAD_URL, &url))
    }

    /// The outcome of a write as clients see it: a Binary that awaits its content comes with the URL to PUT it to. The content's
    /// length is bound by the URL where it is given. Does not fail, for the write is done.
    pub async fn complete_write(
        &self,
        access: &WriteAccess,
        base: &str,
        mut outcome: WriteOutcome,
        upload_length: Option<u64>,
    ) -> WriteOutcome {
        let (Some(key), Some(version)) = (outcome.key.as_ref().filter(|key| is_binary(key)).cloned(), outcome.version) else {
            return outcome;
        };
        let Some(json) = outcome.json.take() else { return outcome };
        let facts = Facts::of_text(&json);
        outcome.json = Some(match facts {
            Some(facts) if facts.place == Place::Uploaded(None) && outcome.effect != Effect::Matched => {
                let terms = UploadTerms { content_type: facts.content_type, length: upload_length, ttl_s: self.limits.content_url_ttl_s };
                let name = ContentName::Binary { id: key.id, version };
                match self.content.sign_upload(access, &name, &terms).await {
                    Ok(url) => text::with_member(&json, text::UPLOAD_URL, &absolute(base, url)),
                    Err(cause) => {
                        tracing::error!(%cause, "no upload URL could be signed");
                        let text = "no upload URL could be made: update the Binary for another";
                        outcome.issues.push(Issue::warning(IssueCode::Transient, text));
                        json
                    }
                }
            }
            _ => listed(json),
        });
        outcome
    }

    /// A Binary as a patch finds it: with its data in place, or with the name of what was uploaded, so that its content stays
    /// what it was.
    pub(crate) async fn patchable_binary(
        &self,
        access: &WriteAccess,
        key: &ResourceKey,
        current: Option<StoredVersion>,
    ) -> Result<Option<StoredVersion>> {
        let Some(mut current) = current else { return Ok(None) };
        if !is_binary(key) {
            return Ok(Some(current));
        }
        let (Some(json), Content::Resource(body)) = (json_of(&current), &mut current.content) else { return Ok(Some(current)) };
        let Some(facts) = Facts::of_text(&json) else { return Ok(Some(current)) };
        match facts.place {
            Place::SetAside { .. } => {
                let found = Representation { key: key.clone(), version: current.version, last_updated: current.last_updated, json };
                let bytes = self.bytes_at(access.as_read(), &found, &facts).await?;
                if bytes.len() > self.limits.patched_bytes_max {
                    let text = "the content is too large for a patch: update the Binary";
                    return Err(InteractionError::of(ErrorKind::TooLarge, text));
                }
                *body = text::body_with_data(body, &STANDARD.encode(&bytes));
            }
            Place::Uploaded(None) => *body = text::body_with_marker(body, &Place::Uploaded(Some(current.version))),
            Place::Inline | Place::Empty | Place::Uploaded(Some(_)) => {}
        }
        Ok(Some(current))
    }
}

/// Why a commit was not made, or is not known to have been.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// A Binary was refused, or its content could not be put; nothing was committed.
    Refused(InteractionError),
    /// The store.
    Storage(StorageError),
}

impl From<CommitFailure> for InteractionError {
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::Refused(error) => error,
            CommitFailure::Storage(error) => error.into(),
        }
    }
}

/// A URL below the tenant's base, at the one that the client has used.
fn absolute(base: &str, url: String) -> String {
    if url.starts_with('/') { format!("{base}{url}") } else { url }
}

fn not_uploaded() -> InteractionError {
    let text = "the content of this Binary has not been uploaded yet: PUT it to the presignedPutUrl that its creation or update gave; \
                once that has expired, an update gives another";
    InteractionError::of(ErrorKind::NotFound, text)
}

fn failed() -> InteractionError {
    InteractionError::of(ErrorKind::Internal, "the content of a Binary could not be worked on")
}
