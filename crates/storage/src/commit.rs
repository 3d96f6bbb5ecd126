//! What a commit is.

use std::sync::Arc;

use fhirpool_fhir::{ResourceBody, ResourceId, ResourceKey, Timestamp, VersionId};
use fhirpool_search::{IndexEntry, TypeSearch};

/// Changes that happen together, and what they were prepared on.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// At least one; no key twice.
    pub changes: Vec<Change>,
    /// Criteria that were evaluated while preparing, and must still give the same.
    pub assumptions: Vec<Assumption>,
}

/// One new version.
#[derive(Debug, Clone)]
pub struct Change {
    /// Of which resource.
    pub key: ResourceKey,
    /// What the client did.
    pub method: Method,
    /// What must hold at the moment of the commit.
    pub precondition: Precondition,
    /// The new content.
    pub content: ChangeContent,
}

/// What made a version, as history tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// POST: created under an id of the server's.
    Post = 1,
    /// PUT: updated, or created under an id of the client's.
    Put = 2,
    /// DELETE.
    Delete = 3,
    /// PATCH.
    Patch = 4,
}

/// What must hold of the newest committed version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no version at all, not even a deleted one.
    NeverExisted,
    /// It is this one and not a tombstone (`If-Match`).
    Version(VersionId),
    /// It is this one, tombstone or not; `None`: there is none (what a prepared change was made from).
    Unchanged(Option<VersionId>),
}

/// A version's content.
#[derive(Debug, Clone)]
pub enum ChangeContent {
    /// A resource with its index entries, `_lastUpdated` aside, which the store adds.
    Put {
        /// The resource.
        body: ResourceBody,
        /// Its entries.
        entries: Vec<IndexEntry>,
    },
    /// A tombstone. Where there is no version, or a tombstone already, nothing happens.
    Delete,
}

/// Criteria and what they gave. A store may take the caller's word for what they gave at that sequence, and look only at what was
/// committed since; it may call one [`CommitOutcome::Stale`] whose criteria gave something else in between.
#[derive(Debug, Clone)]
pub struct Assumption {
    /// The criteria; `sort` is empty.
    pub search: Arc<TypeSearch>,
    /// The first ids found, in order; complete up to their number + 1: where one more matches, the assumption does not hold.
    pub found: Vec<ResourceId>,
    /// [`crate::View::sequence`] at which they were evaluated.
    pub sequence: u64,
}

/// What became of a commit. Everything but `Committed` means that nothing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All changes are on stable storage.
    Committed {
        /// The time of all of them.
        last_updated: Timestamp,
        /// In the order of the changes.
        changes: Vec<ChangeOutcome>,
    },
    /// A precondition does not hold.
    PreconditionFailed {
        /// The first such change.
        change: usize,
        /// The newest version and whether it is a tombstone; `None`: there is none.
        current: Option<(VersionId, bool)>,
    },
    /// An assumption no longer holds: prepare again.
    Stale,
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// The version made, or the newest one where a delete had nothing to do; `None` where there never was one.
    pub version: Option<VersionId>,
    /// Whether the resource was not there before (never, or deleted).
    pub created: bool,
}
