//! The ports of an index that stands apart from the store and learns of changes later.
//!
//! Such an index knows resources as they were; what searches give is checked against the store by whoever composes the two.

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_search::{IndexEntry, Position};

use crate::{Result, SearchRequest};

/// A resource that the index holds for a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The resource.
    pub key: ResourceKey,
    /// The version that the index knows.
    pub version: VersionId,
    /// Its place in the order, as of that version.
    pub position: Position,
}

/// Candidates in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CandidatePage {
    /// At most as many as the request's limit.
    pub candidates: Vec<Candidate>,
    /// Whether more come behind them.
    pub more: bool,
    /// All that match in the index, as far as the request asked and allowed.
    pub total: Option<u64>,
}

/// Finds resources as an index knows them.
///
/// Contract: as [`crate::SearchIndex`], of the versions that were applied and refreshed; the request's view and freshness are not
/// looked at. One answer is of one picture of the index.
#[async_trait]
pub trait CandidateIndex: Send + Sync {
    /// A page of candidates.
    async fn candidates(&self, access: &ReadAccess, request: &SearchRequest) -> Result<CandidatePage>;
}

/// What an index is told of a committed version.
#[derive(Debug, Clone)]
pub struct IndexDocument {
    /// Whose it is.
    pub access: WriteAccess,
    /// The resource.
    pub key: ResourceKey,
    /// The version.
    pub version: VersionId,
    /// When it was committed.
    pub last_updated: Timestamp,
    /// Its entries, `_lastUpdated` among them; `None`: it is a tombstone.
    pub entries: Option<Vec<IndexEntry>>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOutcome {
    /// The index holds it, or one of a later version.
    Applied,
    /// The index will never take it; the text is for the dead letter.
    Refused(String),
}

/// Tells an index of changes.
///
/// Contract: a document of an older version than the index holds changes nothing, whenever and how often it comes. What is
/// acknowledged is kept, and found after the next [`IndexWriter::refresh`].
#[async_trait]
pub trait IndexWriter: Send + Sync {
    /// Applies documents; outcomes in their order. An error: it is not known which were applied; to be tried again.
    async fn apply(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>>;

    /// Makes everything applied before this call findable.
    async fn refresh(&self) -> Result<()>;
}

/// Builds an index anew beside the one that answers, while that goes on being written and searched.
///
/// Contract: from [`IndexRebuild::begin`] on, until the swap or the end, [`IndexWriter::apply`] and [`IndexWriter::refresh`] on every
/// node are of both; a document that the new index refuses is refused. No search looks at the new index before
/// [`IndexRebuild::swap`], and each looks at just one.
#[async_trait]
pub trait IndexRebuild: Send + Sync {
    /// Makes the new index, empty. Returns when no node writes to the old one alone any more. A rebuild that was left half done is
    /// ended first.
    async fn begin(&self) -> Result<()>;

    /// As [`IndexWriter::apply`], to the new index alone.
    async fn backfill(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>>;

    /// How many resources (tombstones aside) the old and the new index hold of the access's tenant, both refreshed.
    async fn counts(&self, access: &WriteAccess) -> Result<(u64, u64)>;

    /// Lets searches go to the new index from now on, in one step, and removes the old one.
    async fn swap(&self) -> Result<()>;

    /// Removes the new index; what there was stays. Also where there is none.
    async fn abort(&self) -> Result<()>;
}
