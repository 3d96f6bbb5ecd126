//! The plain reading: every resource is tested by itself, then all are sorted.

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey};
use fhirpool_search::{IndexEntry, Position, Related, TypeSearch, Undecided, matches, position, reference_target};
use fhirpool_storage::{SearchHit, SearchRequest, TotalMode};

use super::memory::Snapshot;
use crate::search::Found;

pub(super) fn search(snapshot: &Snapshot, request: &SearchRequest) -> Found {
    let sort = &request.parts[0].sort;
    let mut places: Vec<Position> = request.parts.iter().flat_map(|part| places_of(snapshot, part)).collect();
    places.sort_by(|one, other| one.compare(other, sort));
    let total = places.len() as u64;
    let total = match request.total {
        TotalMode::None => None,
        TotalMode::Accurate => Some(total),
        TotalMode::UpTo(max) => {
            let is_whole =
                request.parts.iter().filter(|part| snapshot.types.contains(part.resource_type)).all(|part| part.filter.is_empty());
            (is_whole || total <= max).then_some(total)
        }
    };
    if let Some(after) = &request.after {
        places.retain(|place| place.compare(after, sort).is_gt());
    }
    let more = places.len() > request.limit && request.limit > 0;
    places.truncate(request.limit);
    let hits = places.into_iter().map(|position| {
        let key = ResourceKey::new(position.resource_type, ResourceId::from(&position.id));
        SearchHit { key, position }
    });
    Found { hits: hits.collect(), more, total }
}

fn places_of(snapshot: &Snapshot, part: &TypeSearch) -> Vec<Position> {
    let resources = snapshot.state.resources.iter().map(|((resource_type, id), entries)| {
        let key = ResourceKey::new(*resource_type, ResourceId::from(id));
        (key, entries)
    });
    let found = resources.filter(|(key, entries)| snapshot.holds(key, entries, part).unwrap());
    found.map(|(key, entries)| position(&key, entries, &part.sort)).collect()
}

impl Snapshot {
    fn holds(&self, key: &ResourceKey, entries: &[IndexEntry], search: &TypeSearch) -> Result<bool, Undecided> {
        let may_be = key.resource_type == search.resource_type && self.types.contains(key.resource_type);
        Ok(may_be && matches(&search.filter, key, entries, self)?)
    }
}

impl Related for Snapshot {
    fn holds_for(&self, target: &ResourceKey, search: &TypeSearch) -> Result<bool, Undecided> {
        match self.state.resources.get(&(target.resource_type, OrderedId::from(&target.id))) {
            Some(entries) => self.holds(target, entries, search),
            None => Ok(false),
        }
    }

    fn is_referred_to(&self, target: &ResourceKey, parameter: ParameterNumber, source: &TypeSearch) -> Result<bool, Undecided> {
        for ((resource_type, id), entries) in &self.state.resources {
            let key = ResourceKey::new(*resource_type, ResourceId::from(id));
            let of_parameter = |entry: &&IndexEntry| entry.parameter == parameter;
            let refers = entries.iter().filter(of_parameter).any(|entry| reference_target(&entry.value).as_ref() == Some(target));
            if refers && self.holds(&key, entries, source)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
