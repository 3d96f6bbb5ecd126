//! Search over an index that learns of changes later.
//!
//! The index only proposes: what it gives is read from the store in the picture of the search, and what has changed since the
//! index heard of it is held against the query anew. What matches only since then is found once the index knows; for what
//! the client itself has written, the search waits.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::ReadAccess;
use fhirpool_storage::{
    CandidateIndex, ExactLookup, Freshness, ResourceStore, Result, SearchIndex, SearchPage, SearchRequest, StorageError,
};

use crate::{Extraction, Recency, seen};

mod check;
mod exact;
mod page;

/// What a [`FreshIndex`] is made of.
pub struct FreshIndexParts {
    /// Proposes.
    pub candidates: Arc<dyn CandidateIndex>,
    /// Decides.
    pub store: Arc<dyn ResourceStore>,
    /// Finds by what the store itself keeps.
    pub lookup: Arc<dyn ExactLookup>,
    /// Waits.
    pub recency: Arc<Recency>,
    /// Makes the entries of what has changed.
    pub extraction: Extraction,
}

/// The port of search over an index and a store.
pub struct FreshIndex {
    parts: FreshIndexParts,
}

impl FreshIndex {
    /// Of these parts.
    pub fn new(parts: FreshIndexParts) -> Self {
        Self { parts }
    }
}

#[async_trait]
impl SearchIndex for FreshIndex {
    async fn search(&self, access: &ReadAccess, request: &SearchRequest) -> Result<SearchPage> {
        if request.parts.iter().any(|part| !access.allows(part.resource_type)) {
            return Err(StorageError::Denied);
        }
        let store = &self.parts.store;
        if request.freshness == Freshness::Exact {
            // The picture first: what the answer rests on must not be older than it.
            let view = match &request.view {
                Some(view) => view.clone(),
                None => store.view(access).await?,
            };
            let arrival = self.parts.recency.clock.now();
            if let Some(page) = self.look_up(access, request, &view).await? {
                return Ok(page);
            }
            if !self.parts.recency.wait(access, Freshness::Exact, arrival).await {
                return Err(StorageError::Unavailable("the index has not caught up in time".into()));
            }
            return self.fill(access, request, view, true).await;
        }
        let caught_up = self.parts.recency.wait(access, request.freshness, self.parts.recency.clock.now()).await;
        // The picture last: the closer it is to the index's, the less has changed between the two.
        let view = match &request.view {
            Some(view) => view.clone(),
            None => seen::keeping(access, store.view(access).await?),
        };
        self.fill(access, request, view, caught_up).await
    }
}
