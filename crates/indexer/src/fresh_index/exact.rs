//! Searches that the store answers by itself.

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::ResourceKey;
use fhirpool_search::position;
use fhirpool_storage::{Result, SearchHit, SearchPage, SearchRequest, TotalMode, View};

use super::FreshIndex;
use super::check::{Suspect, matches_part};

impl FreshIndex {
    /// The page by what the store itself keeps; `None` where it takes the index.
    pub(super) async fn look_up(&self, access: &ReadAccess, request: &SearchRequest, view: &View) -> Result<Option<SearchPage>> {
        let [part] = &*request.parts else { return Ok(None) };
        let Some(keys) = self.parts.lookup.lookup(access, part).await? else { return Ok(None) };
        let versions = self.read_live(access, view, &keys).await?;
        let found = keys.into_iter().zip(versions).filter_map(|(key, stored)| Some((key, stored?)));
        let suspects: Vec<Suspect> = found.map(|(key, stored)| Suspect { key, stored }).collect();
        let keys: Vec<ResourceKey> = suspects.iter().map(|suspect| suspect.key.clone()).collect();
        let entries = self.entries_of(access.tenant(), suspects).await?;
        let mut hits = Vec::new();
        for (key, entries) in keys.into_iter().zip(entries) {
            match matches_part(&request.parts, &key, &entries) {
                Ok(true) => hits.push(SearchHit { position: position(&key, &entries, &part.sort), key }),
                Ok(false) => {}
                // It takes other resources to tell, which only the index leads to.
                Err(_) => return Ok(None),
            }
        }
        hits.sort_by(|one, other| one.position.compare(&other.position, &part.sort));
        hits.dedup_by(|one, other| one.key == other.key);
        let count = hits.len() as u64;
        let total = match request.total {
            TotalMode::None => None,
            TotalMode::UpTo(most) => (count <= most).then_some(count),
            TotalMode::Accurate => Some(count),
        };
        if let Some(after) = &request.after {
            hits.retain(|hit| hit.position.compare(after, &part.sort).is_gt());
        }
        let more = request.limit > 0 && hits.len() > request.limit;
        hits.truncate(request.limit);
        Ok(Some(SearchPage { view: view.clone(), hits, more, total, caught_up: true }))
    }
}
