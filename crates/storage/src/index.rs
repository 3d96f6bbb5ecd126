//! The port of search.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::ResourceKey;
use fhirpool_search::{Position, TypeSearch};

use crate::{Result, View};

/// A page of a search.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The types sought, by name, each with the same sort length.
    pub parts: Arc<[TypeSearch]>,
    /// Only what comes behind this in the order.
    pub after: Option<Position>,
    /// At most so many hits; 0 asks for the total alone.
    pub limit: usize,
    /// How to count.
    pub total: TotalMode,
    /// Evaluate in this picture; `None`: the newest.
    pub view: Option<View>,
    /// What the answer must know of.
    pub freshness: Freshness,
}

/// What a search must know of. An index that is never behind its store knows of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Whatever the index knows already.
    Eventual,
    /// What was acknowledged to the same client (subject and application) before the search began; after a bounded wait the page
    /// says that it may lack some.
    #[default]
    OwnWrites,
    /// What was acknowledged to anyone of the tenant before the search began; bounded likewise.
    Tenant,
    /// The same, and an answer that may lack some is [`crate::StorageError::Unavailable`]: what conditional criteria need.
    Exact,
}

/// How to count all matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalMode {
    /// Not at all.
    None,
    /// Exactly if there are at most so many, else not at all.
    UpTo(u64),
    /// Exactly, whatever it costs under the store's limits.
    Accurate,
}

/// Hits in order.
#[derive(Clone)]
pub struct SearchPage {
    /// The picture they were found in: read them there.
    pub view: View,
    /// The hits.
    pub hits: Vec<SearchHit>,
    /// Whether more come behind them.
    pub more: bool,
    /// All matches, as far as [`TotalMode`] asked and allowed.
    pub total: Option<u64>,
    /// Whether the index had caught up with what [`SearchRequest::freshness`] asks for.
    pub caught_up: bool,
}

/// One hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The resource.
    pub key: ResourceKey,
    /// Its place in the order.
    pub position: Position,
}

/// Finds resources.
///
/// Contract: answers as [`fhirpool_search`] defines, in its order; never a resource of another tenant or of a type that the
/// access does not allow (one that is sought outright may be [`crate::StorageError::Denied`]); exceeding a limit is
/// [`crate::StorageError::TooCostly`], never a shorter answer.
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// A page of hits.
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage>;
}

/// Finds resources by what the store itself keeps, without an index: exactly, and at once.
///
/// Contract: what is given holds every resource that a committed version in the store, or one that is being written, makes match;
/// it may hold others.
#[async_trait]
pub trait ExactLookup: Send + Sync {
    /// Everything that may match; `None`: the store cannot tell for such criteria, or there are too many.
    async fn lookup(&self, access: &ReadAccess, search: &TypeSearch) -> Result<Option<Vec<ResourceKey>>>;
}
