//! An index of a test's own and clients of it.

use std::sync::Arc;

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType, VersionId};
use fhirpool_opensearch::{OpenSearch, OpenSearchSettings};
use fhirpool_search::parse::Handling;
use fhirpool_search::testing::{BASE, NOW, read_query};
use fhirpool_search::{Extractors, Query};
use fhirpool_storage::conformance::extractors;
use fhirpool_storage::{CandidateIndex, CandidatePage, Freshness, IndexDocument, IndexOutcome, IndexWriter, SearchRequest, TotalMode};

pub(crate) fn settings() -> OpenSearchSettings {
    let url = std::env::var("FHIRPOOL_OPENSEARCH_URL").expect("start the local stack with cargo xtask stack up");
    OpenSearchSettings {
        shards: 1,
        replicas: 0,
        refresh_interval: None,
        targets_kept: std::time::Duration::from_millis(100),
        ..OpenSearchSettings::new(url, format!("test{:016x}", rand::random::<u64>()))
    }
}

/// An empty index, removed by [`remove`].
pub(crate) async fn index() -> OpenSearch {
    index_of(settings()).await
}

pub(crate) async fn index_of(settings: OpenSearchSettings) -> OpenSearch {
    let index = OpenSearch::new(settings, extractors().definitions()).unwrap();
    index.ensure().await.unwrap();
    index
}

/// A tenant's client.
pub(crate) struct Client {
    pub(crate) index: OpenSearch,
    pub(crate) read: ReadAccess,
    pub(crate) write: WriteAccess,
    pub(crate) extractors: Arc<Extractors>,
}

pub(crate) fn key(name: &str) -> ResourceKey {
    let (resource_type, id) = name.split_once('/').unwrap();
    ResourceKey::new(ResourceType::parse(resource_type).unwrap(), ResourceId::parse(id).unwrap())
}

impl Client {
    pub(crate) fn new(index: &OpenSearch, tenant: &str) -> Self {
        let tenant = TenantId::parse(tenant).unwrap();
        let principal = Principal::operator(tenant.clone());
        Self {
            index: index.clone(),
            read: ReadAccess::authorize(&principal, &tenant).unwrap(),
            write: WriteAccess::authorize(&principal, &tenant).unwrap(),
            extractors: extractors(),
        }
    }

    pub(crate) fn document(&self, json: &str, version: u64) -> IndexDocument {
        let document = Document::parse(json).unwrap();
        let root = document.root();
        let key = key(&format!("{}/{}", root.get_str("resourceType").unwrap(), root.get_str("id").unwrap()));
        let mut entries = self.extractors.entries(key.resource_type, root, &BASE);
        entries.push(self.extractors.last_updated_entry(NOW));
        IndexDocument { access: self.write.clone(), key, version: VersionId(version), last_updated: NOW, entries: Some(entries) }
    }

    pub(crate) fn tombstone(&self, name: &str, version: u64) -> IndexDocument {
        IndexDocument { access: self.write.clone(), key: key(name), version: VersionId(version), last_updated: NOW, entries: None }
    }

    /// Applies and refreshes.
    pub(crate) async fn apply(&self, documents: &[IndexDocument]) {
        let outcomes = self.index.apply(documents).await.unwrap();
        assert_eq!(outcomes, vec![IndexOutcome::Applied; documents.len()]);
        self.index.refresh().await.unwrap();
    }

    pub(crate) fn query(&self, text: &str) -> Query {
        read_query(self.extractors.definitions(), text, Handling::Strict).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub(crate) fn request(query: &Query, limit: usize, total: TotalMode) -> SearchRequest {
        SearchRequest { parts: query.parts.clone(), after: None, limit, total, view: None, freshness: Freshness::Eventual }
    }

    pub(crate) async fn page(&self, request: &SearchRequest) -> CandidatePage {
        self.index.candidates(&self.read, request).await.unwrap()
    }

    /// Everything a query finds, page by page.
    pub(crate) async fn all(&self, query: &Query, limit: usize) -> Vec<ResourceKey> {
        let mut request = Self::request(query, limit, TotalMode::None);
        let mut found = Vec::new();
        loop {
            let page = self.page(&request).await;
            assert!(page.candidates.len() == limit || !page.more, "a page that is not the last is full");
            request.after = page.candidates.last().map(|candidate| candidate.position.clone());
            found.extend(page.candidates.into_iter().map(|candidate| candidate.key));
            if !page.more {
                return found;
            }
        }
    }

    pub(crate) async fn names(&self, text: &str) -> Vec<String> {
        self.all(&self.query(text), 100).await.iter().map(ToString::to_string).collect()
    }
}
