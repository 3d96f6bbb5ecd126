//! Searches that look at everything.

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{ResourceKey, ResourceType};
use fhirpool_search::{IndexEntry, Related, TypeSearch, Undecided, matches, position, reference_value};

use super::{Resource, Tenant, version_is_put};
use crate::{Result, SearchHit, SearchPage, SearchRequest, StorageError, TotalMode, View};

/// All hits of one type, in order: all there are, or all that an access covers.
pub(super) fn all(tenant: &Tenant, access: Option<&ReadAccess>, search: &TypeSearch) -> Result<Vec<SearchHit>> {
    let mut hits = Vec::new();
    let picture = &Picture { tenant, access };
    for resource in picture.of_type(search) {
        let there = matches(&search.filter, &resource.key, &resource.entries, picture);
        if there.map_err(|Undecided| StorageError::Unavailable("everything is at hand".into()))? {
            hits.push(SearchHit { key: resource.key.clone(), position: position(&resource.key, &resource.entries, &search.sort) });
        }
    }
    hits.sort_by(|one, other| one.position.compare(&other.position, &search.sort));
    Ok(hits)
}

pub(super) fn page(tenant: &Tenant, access: &ReadAccess, request: &SearchRequest, view: View) -> Result<SearchPage> {
    let mut hits = Vec::new();
    for part in request.parts.iter() {
        hits.extend(all(tenant, Some(access), part)?);
    }
    let sort = request.parts.first().map_or(&[][..], |part| &part.sort);
    hits.sort_by(|one, other| one.position.compare(&other.position, sort));
    let count = hits.len() as u64;
    let total = match request.total {
        TotalMode::None => None,
        TotalMode::UpTo(most) => (count <= most).then_some(count),
        TotalMode::Accurate => Some(count),
    };
    if let Some(after) = &request.after {
        hits.retain(|hit| hit.position.compare(after, sort).is_gt());
    }
    let more = hits.len() > request.limit;
    hits.truncate(request.limit);
    Ok(SearchPage { view, hits, more, total, caught_up: true })
}

/// A tenant's resources as an access sees them.
struct Picture<'a> {
    tenant: &'a Tenant,
    access: Option<&'a ReadAccess>,
}

impl<'a> Picture<'a> {
    fn covers(&self, resource_type: ResourceType) -> bool {
        self.access.is_none_or(|access| access.allows(resource_type))
    }

    fn of_type(&self, search: &TypeSearch) -> impl Iterator<Item = &'a Resource> {
        let number = search.resource_type.number();
        let range = (number, String::new())..=(number, "~".to_owned());
        let of_type = self.covers(search.resource_type).then(|| self.tenant.resources.range(range)).into_iter().flatten();
        of_type.map(|(_, resource)| &**resource).filter(|resource| version_is_put(resource))
    }
}

impl Related for Picture<'_> {
    fn holds_for(&self, target: &ResourceKey, search: &TypeSearch) -> std::result::Result<bool, Undecided> {
        match self.tenant.resource(target).filter(|resource| version_is_put(resource) && self.covers(target.resource_type)) {
            Some(resource) => matches(&search.filter, target, &resource.entries, self),
            None => Ok(false),
        }
    }

    fn is_referred_to(
        &self,
        target: &ResourceKey,
        parameter: ParameterNumber,
        source: &TypeSearch,
    ) -> std::result::Result<bool, Undecided> {
        let sought = IndexEntry { parameter, value: reference_value(target) };
        for resource in self.of_type(source).filter(|resource| resource.entries.contains(&sought)) {
            if matches(&source.filter, &resource.key, &resource.entries, self)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
