//! Pages of candidates that hold in the picture of a search.

use std::collections::HashSet;

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::ResourceKey;
use fhirpool_search::Position;
use fhirpool_storage::{Candidate, Result, SearchHit, SearchPage, SearchRequest, StorageError, TotalMode, View};

use super::FreshIndex;
use super::check::{Suspect, matches_part};

/// Candidates are asked for so often to fill one page.
const ROUNDS_MAX: usize = 12;
/// So many at least, once some were dropped: many may have to be.
const REFILL_MIN: usize = 20;
/// And at most so many.
const REFILL_MAX: usize = 1_000;

impl FreshIndex {
    /// A page in the picture of a view. Pages continue behind a candidate's place as the index had it.
    pub(super) async fn fill(&self, access: &ReadAccess, request: &SearchRequest, view: View, caught_up: bool) -> Result<SearchPage> {
        let mut wanted = request.clone();
        let first = self.parts.candidates.candidates(access, &wanted).await?;
        let total = first.total;
        let mut page = SearchPage { view, hits: Vec::new(), more: false, total, caught_up };
        if request.limit == 0 {
            return Ok(page);
        }
        let mut candidates = first;
        let mut seen = HashSet::new();
        for round in 1.. {
            let behind = candidates.candidates.last().map(|candidate| candidate.position.clone());
            // One may come again behind its old place, if it has just moved there in the index.
            candidates.candidates.retain(|candidate| seen.insert(candidate.key.clone()));
            let held = self.hold(access, request, &page.view, candidates.candidates).await?;
            let missing = request.limit - page.hits.len();
            page.more = candidates.more || held.len() > missing;
            page.hits.extend(held.into_iter().take(missing));
            if page.hits.len() == request.limit || !page.more {
                break;
            }
            if round == ROUNDS_MAX {
                // A short page may promise more, an empty one has no place to continue behind.
                if page.hits.is_empty() {
                    return Err(StorageError::TooCostly("too much of what the search finds has just changed"));
                }
                break;
            }
            wanted = next_request(request, behind.or(wanted.after.take()), request.limit - page.hits.len(), round);
            candidates = self.parts.candidates.candidates(access, &wanted).await?;
        }
        metrics::histogram!("fhirpool_search_candidates").record(seen.len() as f64);
        Ok(page)
    }

    /// Those of the candidates that hold.
    async fn hold(&self, access: &ReadAccess, request: &SearchRequest, view: &View, candidates: Vec<Candidate>) -> Result<Vec<SearchHit>> {
        let keys: Vec<ResourceKey> = candidates.iter().map(|candidate| candidate.key.clone()).collect();
        let versions = self.read_live(access, view, &keys).await?;
        let mut held: Vec<Option<SearchHit>> = Vec::with_capacity(candidates.len());
        let (mut suspects, mut places) = (Vec::new(), Vec::new());
        for (candidate, stored) in candidates.into_iter().zip(versions) {
            let Some(stored) = stored else { continue };
            let Candidate { key, version, position } = candidate;
            if stored.version != version {
                places.push(held.len());
                suspects.push(Suspect { key: key.clone(), stored });
            }
            held.push(Some(SearchHit { key, position }));
        }
        if !suspects.is_empty() {
            metrics::counter!("fhirpool_search_rechecks_total").increment(suspects.len() as u64);
            let keys: Vec<ResourceKey> = suspects.iter().map(|suspect| suspect.key.clone()).collect();
            let entries = self.entries_of(access.tenant(), suspects).await?;
            for ((place, key), entries) in places.into_iter().zip(keys).zip(entries) {
                // Where it takes other resources to tell, the index's word stands.
                if matches_part(&request.parts, &key, &entries) == Ok(false) {
                    held[place] = None;
                }
            }
        }
        Ok(held.into_iter().flatten().collect())
    }
}

/// The request for what fills the page up.
fn next_request(request: &SearchRequest, after: Option<Position>, missing: usize, round: usize) -> SearchRequest {
    let limit = missing.max(REFILL_MIN << round.min(6)).min(REFILL_MAX);
    SearchRequest { after, limit, total: TotalMode::None, ..request.clone() }
}
