//! What the interactions on one resource take and give.

use fhirpool_fhir::{Issue, OperationOutcome, ResourceKey, Timestamp, VersionId};

use crate::Status;

/// `Prefer: return=…` (R4 http.html#ops).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Returning {
    /// No body.
    Minimal,
    /// The resource.
    Representation,
    /// An OperationOutcome.
    OperationOutcome,
}

/// `Prefer: handling=…`: what becomes of parameters that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Handling {
    /// They are errors.
    #[default]
    Strict,
    /// They are ignored, and absent from the self link.
    Lenient,
}

/// One version of a resource as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// The resource.
    pub key: ResourceKey,
    /// The version.
    pub version: VersionId,
    /// When it was committed.
    pub last_updated: Timestamp,
    /// The JSON, `meta` included.
    pub json: String,
}

/// What a read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The version.
    Found(Representation),
    /// The client has it already (`If-None-Match`, `If-Modified-Since`).
    NotModified {
        /// The version.
        version: VersionId,
        /// When it was committed.
        last_updated: Timestamp,
    },
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A resource came to be (or came back).
    Created,
    /// An existing resource has a new version.
    Updated,
    /// Nothing: a conditional create found what it would have made.
    Matched,
    /// The resource is deleted now, or was not there in the first place.
    Deleted,
}

/// What a write did and to which resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOutcome {
    /// What it did.
    pub effect: Effect,
    /// The resource; `None` where a conditional delete matched nothing.
    pub key: Option<ResourceKey>,
    /// The version made, or the newest one where nothing was done; `None` where there is none.
    pub version: Option<VersionId>,
    /// When that version was committed, where this is known.
    pub last_updated: Option<Timestamp>,
    /// The resource's JSON where [`Returning::Representation`] was asked for, and there is one.
    pub json: Option<String>,
    /// Warnings and notes.
    pub issues: Vec<Issue>,
}

impl WriteOutcome {
    /// The status code: 201, 200 or 204. A delete is 204, which has no body; `api` makes that 200 where the client asked for
    /// an OperationOutcome.
    pub fn status(&self) -> Status {
        match self.effect {
            Effect::Created => Status::CREATED,
            Effect::Updated | Effect::Matched => Status::OK,
            Effect::Deleted => Status::NO_CONTENT,
        }
    }

    /// `[base]/Type/id/_history/version`, for `Location`.
    pub fn location(&self, base: &str) -> Option<String> {
        let key = self.key.as_ref()?;
        Some(match self.version {
            Some(version) => format!("{base}/{key}/_history/{version}"),
            None => format!("{base}/{key}"),
        })
    }

    /// What [`Returning::OperationOutcome`] shows.
    pub fn operation_outcome(&self) -> OperationOutcome {
        let mut issues = self.issues.clone();
        if issues.is_empty() {
            issues.push(Issue::information(match self.effect {
                Effect::Created => "created",
                Effect::Updated => "updated",
                Effect::Matched => "a matching resource exists already; nothing was done",
                Effect::Deleted => "deleted, or not there",
            }));
        }
        OperationOutcome { issues }
    }
}

/// What an interaction that answers with a Bundle gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleOutcome {
    /// The Bundle's JSON.
    pub json: String,
}

/// A weak entity tag for a version: `W/"3"`.
pub fn entity_tag(version: VersionId) -> String {
    format!("W/\"{version}\"")
}
