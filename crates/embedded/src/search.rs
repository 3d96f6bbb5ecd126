//! Searching over posting keys: [`search`] is what is behind the port of search.
//!
//! | module | duty |
//! |---|---|
//! | `postings`, `stored` | what is read of the store, as a trait; reading it from a snapshot |
//! | `budget` | the limits of one search |
//! | `ids`, `column` | sorted lists of ids; values by resource |
//! | `cache`, `changes` | lists and columns kept between searches, and why they are exact |
//! | `reader` | reading for one search |
//! | `condition`, `evaluate` | from a filter to the ids it holds for |
//! | `order` | sorting and pages |
//!
//! A filter is evaluated to the whole list of its ids, since totals want it; all lists are in the order of ids, so that
//! intersecting them is one pass. What a clause needs is taken from a kept list, a short scan, a column or the entries of
//! each candidate, whichever is cheapest; what is spent on single looks counts towards building a list or column.
//!
//! Deliberately absent: what a value means, pages' tokens, reading the resources found.

mod budget;
mod cache;
mod changes;
mod column;
mod condition;
mod evaluate;
mod ids;
mod order;
mod postings;
mod reader;
mod stored;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpool_fhir::{ResourceId, ResourceKey};
use fhirpool_search::{Position, TypeSearch};
use fhirpool_storage::{Result, SearchHit, SearchRequest, TotalMode};

pub use budget::SearchSettings;
pub(crate) use cache::SearchCache;
use ids::IdRef;
pub(crate) use postings::Postings;
pub(crate) use stored::StoredPostings;

use crate::search::budget::Budget;
use crate::search::cache::Subject;
use crate::search::ids::IdList;
use crate::search::order::{FirstPlaces, Walk, place_by_id};
use crate::search::reader::Reader;

/// What a search found in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The hits of the page, in order.
    pub(crate) hits: Vec<SearchHit>,
    /// Whether more come behind them.
    pub(crate) more: bool,
    /// All matches, as far as asked and allowed.
    pub(crate) total: Option<u64>,
}

/// Evaluates a request in a snapshot, within the limits.
pub(crate) fn search<P: Postings>(postings: &P, cache: &SearchCache, settings: &SearchSettings, request: &SearchRequest) -> Result<Found> {
    find(&Reader::new(postings, cache, settings, Budget::new(settings)), request)
}

/// The same, if it takes so little that others may wait for it; `None`: it takes more.
pub(crate) fn search_briefly<P: Postings>(
    postings: &P,
    cache: &SearchCache,
    settings: &SearchSettings,
    request: &SearchRequest,
) -> Result<Option<Found>> {
    let reader = Reader::new(postings, cache, settings, Budget::brief(settings));
    match find(&reader, request) {
        Err(_) if reader.budget.is_outgrown() => Ok(None),
        found => found.map(Some),
    }
}

fn find<P: Postings>(reader: &Reader<'_, P>, request: &SearchRequest) -> Result<Found> {
    let mut parts: Vec<&TypeSearch> = request.parts.iter().filter(|part| reader.postings.allows(part.resource_type)).collect();
    parts.sort_by_key(|part| part.resource_type);
    let mut results = Vec::with_capacity(parts.len());
    for part in parts {
        let ids = match part.filter.is_empty() {
            true => None,
            false => Some(reader.evaluate(part.resource_type, &part.filter, None, 0)?),
        };
        results.push(PartResult { part, ids });
    }
    let total = total(reader, &results, request.total)?;
    let mut places = page(reader, &results, request)?;
    let more = places.len() > request.limit;
    places.truncate(request.limit);
    let hits = places.into_iter().map(|position| SearchHit { key: key_of(&position), position });
    Ok(Found { hits: hits.collect(), more, total })
}

/// What holds for a part of the request.
struct PartResult<'q> {
    part: &'q TypeSearch,
    /// `None`: all resources of the type, for want of a filter.
    ids: Option<Arc<IdList>>,
}

fn total<P: Postings>(reader: &Reader<'_, P>, results: &[PartResult<'_>], mode: TotalMode) -> Result<Option<u64>> {
    let max = match mode {
        TotalMode::None => return Ok(None),
        TotalMode::UpTo(max) => max,
        TotalMode::Accurate => u64::MAX,
    };
    let mut total = 0;
    for result in results {
        total += match &result.ids {
            Some(ids) => ids.len() as u64,
            None => reader.postings.count(result.part.resource_type)?,
        };
    }
    let is_of_counters = results.iter().all(|result| result.ids.is_none());
    Ok((is_of_counters || total <= max).then_some(total))
}

/// The places of the page, and one more where there is one.
fn page<P: Postings>(reader: &Reader<'_, P>, results: &[PartResult<'_>], request: &SearchRequest) -> Result<Vec<Position>> {
    let Some(first) = results.first().filter(|_| request.limit > 0) else { return Ok(Vec::new()) };
    let (length, after) = (request.limit.saturating_add(1), request.after.as_ref());
    let sort = &first.part.sort;
    if sort.is_empty() {
        return page_by_id(reader, results, after, length);
    }
    if let ([by], [result]) = (&**sort, results) {
        let walk = Walk { resource_type: result.part.resource_type, ids: result.ids.as_deref(), by, after, length };
        if let Some(places) = reader.walk(&walk)? {
            return Ok(places);
        }
    }
    let mut places = FirstPlaces::new(sort, after, length);
    for result in results {
        let resource_type = result.part.resource_type;
        let ids = match &result.ids {
            Some(ids) => ids.clone(),
            None => reader.whole_list(resource_type, Subject::All)?,
        };
        reader.offer_all(resource_type, &ids, &result.part.sort, &mut places)?;
    }
    Ok(places.finish())
}

fn page_by_id<P: Postings>(
    reader: &Reader<'_, P>,
    results: &[PartResult<'_>],
    after: Option<&Position>,
    length: usize,
) -> Result<Vec<Position>> {
    let mut places = Vec::new();
    for result in results {
        let resource_type = result.part.resource_type;
        let after = match after {
            Some(after) if resource_type < after.resource_type => continue,
            Some(after) if resource_type == after.resource_type => Some(IdRef::from(&after.id)),
            _ => None,
        };
        let wanted = length - places.len();
        match &result.ids {
            Some(ids) => {
                let start = after.map_or(0, |id| ids.seek(0, id) + usize::from(ids.contains(id)));
                places.extend(ids.iter_from(start).take(wanted).map(|id| place_by_id(resource_type, id.to_ordered())));
            }
            None => {
                reader.budget.spend(wanted as u64)?;
                reader.postings.ids(resource_type, after, &mut |id| {
                    places.push(place_by_id(resource_type, id.to_ordered()));
                    if places.len() == length { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
            }
        }
        if places.len() == length {
            break;
        }
    }
    Ok(places)
}

fn key_of(position: &Position) -> ResourceKey {
    ResourceKey::new(position.resource_type, ResourceId::from(&position.id))
}
