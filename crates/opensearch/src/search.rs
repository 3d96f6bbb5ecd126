//! The port of searching: pages and totals.

use async_trait::async_trait;
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::VersionId;
use fhirpool_search::{Clause, Position, SortBy, SortTarget, TypeSearch};
use fhirpool_storage::{Candidate, CandidateIndex, CandidatePage, Result, SearchRequest, StorageError, TotalMode};
use serde_json::{Value, json};

use crate::OpenSearch;
use crate::fields::{ID, PLACE};
use crate::names::{TypeNames, key_at};
use crate::picture::{Hit, Lost, Picture, Seen};
use crate::query::{any_of, clauses};
use crate::related::{Related, unknown_place};
use crate::schema::WINDOW;
use crate::text;

/// Clauses of one query; the cluster allows 1,024.
const CLAUSES_MAX: usize = 900;

#[async_trait]
impl CandidateIndex for OpenSearch {
    #[tracing::instrument(name = "opensearch_search", skip_all, fields(tenant = %access.tenant()))]
    async fn candidates(&self, access: &ReadAccess, request: &SearchRequest) -> Result<CandidatePage> {
        if request.parts.iter().any(|part| !access.allows(part.resource_type)) {
            return Err(StorageError::Denied);
        }
        // An index that is swapped for another meanwhile is asked no more: the other answers the whole search.
        for _ in 0..2 {
            let picture = Picture::new(self, access);
            let page = Search { index: self, access, request, picture: &picture }.page().await;
            picture.release().await;
            match page {
                Ok(page) => return Ok(page),
                Err(Lost::Failed(error)) => return Err(error),
                Err(Lost::Gone) => {}
            }
        }
        Err(StorageError::Unavailable("the index is not there: `fhirpool migrate` makes it".into()))
    }
}

struct Search<'a> {
    index: &'a OpenSearch,
    access: &'a ReadAccess,
    request: &'a SearchRequest,
    picture: &'a Picture<'a>,
}

/// Some of the hits and how many there are.
#[derive(Default)]
struct Portion {
    candidates: Vec<Candidate>,
    /// `None`: more than asked for, or not asked for.
    total: Option<u64>,
}

impl Search<'_> {
    fn sort(&self) -> &[SortBy] {
        self.request.parts.first().map_or(&[], |part| &part.sort)
    }

    /// How many to ask for: one more than the page holds, to know whether there is one.
    fn wanted(&self) -> usize {
        match self.request.limit {
            0 => 0,
            limit => limit.saturating_add(1),
        }
    }

    async fn page(&self) -> Seen<CandidatePage> {
        let needs_related = |part: &TypeSearch| part.filter.iter().any(Clause::needs_related);
        if self.request.parts.iter().any(needs_related) || self.wanted() > WINDOW {
            self.picture.hold().await?;
        }
        let queries = self.queries().await?;
        if queries.len() > 1 {
            self.picture.hold().await?;
        }
        let mut whole = Portion { candidates: Vec::new(), total: Some(0) };
        for query in queries {
            let portion = self.portion(&query).await?;
            whole.total = whole.total.zip(portion.total).map(|(one, other)| one + other);
            whole.candidates.extend(portion.candidates);
        }
        whole.candidates.sort_by(|one, other| one.position.compare(&other.position, self.sort()));
        let more = whole.candidates.len() > self.request.limit;
        whole.candidates.truncate(self.request.limit);
        let total = match self.request.total {
            TotalMode::None => None,
            TotalMode::UpTo(most) if !self.is_of_whole_types() => whole.total.filter(|total| *total <= most),
            TotalMode::UpTo(_) | TotalMode::Accurate => whole.total,
        };
        Ok(CandidatePage { candidates: whole.candidates, more, total })
    }

    /// Whether there is no filter: then totals are exact whatever they are, as the embedded index has them at no cost.
    fn is_of_whole_types(&self) -> bool {
        self.request.parts.iter().all(|part| part.filter.is_empty())
    }

    /// Queries that together find everything, each once, and are each small enough for the cluster.
    async fn queries(&self) -> Seen<Vec<Value>> {
        let related = Related::new(self.index, self.access, self.picture);
        let mut groups: Vec<(usize, Vec<Value>)> = Vec::new();
        for part in self.request.parts.iter() {
            let query = related.compile(part, 0).await?;
            let count = clauses(&query);
            match groups.last_mut() {
                Some((sum, queries)) if *sum + count <= CLAUSES_MAX => {
                    *sum += count;
                    queries.push(query);
                }
                _ => groups.push((count, vec![query])),
            }
        }
        Ok(groups.into_iter().map(|(_, queries)| any_of(queries)).collect())
    }

    /// The first hits of a query behind the place where the page begins.
    async fn portion(&self, query: &Value) -> Seen<Portion> {
        let (sort, wanted) = (self.order()?, self.wanted());
        let mut portion = Portion::default();
        let mut after = self.request.after.as_ref().map(|position| self.search_after(position)).transpose()?;
        let mut counted = self.counted();
        loop {
            let size = (wanted - portion.candidates.len()).min(WINDOW);
            let mut body = json!({
                "size": size,
                "_source": false,
                "version": true,
                "track_total_hits": counted,
                "query": query,
                "sort": sort,
            });
            if let Some(after) = after.take().filter(|_| size > 0) {
                body["search_after"] = after;
            }
            let hits = self.picture.search("search", body).await?.hits;
            if counted != json!(false) {
                portion.total = hits.total.filter(|total| total.relation == "eq").map(|total| total.value);
                counted = json!(false);
            }
            let is_full = size > 0 && hits.hits.len() == size;
            after = hits.hits.last().map(|hit| json!(hit.sort));
            for hit in hits.hits {
                portion.candidates.push(self.candidate(hit).ok_or_else(unknown_place)?);
            }
            if !is_full || portion.candidates.len() >= wanted {
                return Ok(portion);
            }
        }
    }

    /// Up to how many the cluster is to count.
    fn counted(&self) -> Value {
        match self.request.total {
            TotalMode::None => json!(false),
            TotalMode::UpTo(most) if !self.is_of_whole_types() => json!(most.saturating_add(1).min(i32::MAX as u64)),
            TotalMode::UpTo(_) | TotalMode::Accurate => json!(true),
        }
    }

    /// The order, with the place at its end.
    fn order(&self) -> Seen<Value> {
        let mut order = Vec::new();
        for by in self.sort() {
            let direction = if by.descending { "desc" } else { "asc" };
            order.push(match by.target {
                SortTarget::Id => json!({ID: {"order": direction}}),
                SortTarget::Parameter(parameter) => {
                    let unsorted = || StorageError::Unavailable("the index does not sort by this parameter".into());
                    let field = self.index.fields().sort(parameter).ok_or_else(unsorted)?;
                    let mode = if by.descending { "max" } else { "min" };
                    json!({field: {"order": direction, "mode": mode, "missing": "_last"}})
                }
            });
        }
        order.push(json!({PLACE: {"order": "asc"}}));
        Ok(Value::Array(order))
    }

    fn search_after(&self, position: &Position) -> Seen<Value> {
        let keys = position.keys.iter().map(|key| key.as_deref().map_or(Value::Null, |key| text::of_bytes(key).into()));
        let place = TypeNames::to_read(self.access, position.resource_type)?.place(&position.id);
        Ok(keys.chain([place.into()]).collect())
    }

    fn candidate(&self, hit: Hit) -> Option<Candidate> {
        let (place, keys) = hit.sort.split_last()?;
        let (key, id) = key_at(self.access, place.as_deref()?)?;
        let mut bytes = Vec::with_capacity(keys.len());
        for key in keys {
            bytes.push(match key {
                Some(key) => Some(text::bytes_of(key)?),
                None => None,
            });
        }
        let position = Position { keys: bytes, resource_type: key.resource_type, id };
        Some(Candidate { key, version: VersionId(hit.version), position })
    }
}
