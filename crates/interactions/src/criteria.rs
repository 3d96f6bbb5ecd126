//! Criteria of conditional interactions and references: read, and looked up.

use std::sync::Arc;

use fhirpool_authz::{Interaction, ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceType, ServiceBase};
use fhirpool_search::TypeSearch;
use fhirpool_search::parse::{self, Options, Scope};
use fhirpool_search::{Summary, Total};
use fhirpool_storage::{Assumption, Freshness, SearchRequest, TotalMode, View};

use crate::access::refusal;
use crate::parameters::decode;
use crate::{InteractionError, Interactions, Result};

impl Interactions {
    /// Reads criteria for resources of a type: those among them that the access may search for. They come as a bare query, with `Type?` ahead, or as a whole address (R4
    /// http.html#ccreate and what clients make of it).
    pub(crate) fn criteria(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        resource_type: ResourceType,
        text: &str,
    ) -> Result<Arc<TypeSearch>> {
        let searching = access.reading(Interaction::Search);
        let reach = self.reach(&searching, base);
        reach.check(resource_type)?;
        let parameters = decode(bare_query(resource_type, text)?)?;
        let options = Options { base, handling: parse::Handling::Strict, limits: self.limits.query.clone(), now: self.clock.now() };
        let query = parse::parse(&self.definitions, &Scope::Type(resource_type), &parameters, &options)?;
        let [part] = &*query.parts else {
            return Err(InteractionError::bad_request("the criteria must be for one type"));
        };
        if part.filter.is_empty() {
            return Err(InteractionError::bad_request("a conditional interaction needs criteria"));
        }
        let only_criteria = part.sort.is_empty()
            && query.count.is_none()
            && query.total == Total::Unspecified
            && query.summary == Summary::False
            && query.elements.is_empty()
            && query.includes.is_empty()
            && query.revincludes.is_empty()
            && query.page.is_none();
        if !only_criteria {
            return Err(InteractionError::bad_request(
                "the criteria of a conditional interaction hold a parameter of results, such as _count",
            ));
        }
        reach.narrow(part.clone()).map(Arc::new).ok_or_else(|| refusal(resource_type))
    }

    /// The first two resources that match in a view.
    pub(crate) async fn find(&self, access: &ReadAccess, view: &View, criteria: &Arc<TypeSearch>) -> Result<Assumption> {
        self.find_some(access, view, criteria, 2).await
    }

    /// As [`Interactions::find`], with more of them.
    pub(crate) async fn find_some(&self, access: &ReadAccess, view: &View, criteria: &Arc<TypeSearch>, limit: usize) -> Result<Assumption> {
        let request = SearchRequest {
            parts: Arc::from([TypeSearch::clone(criteria)]),
            after: None,
            limit,
            total: TotalMode::None,
            view: Some(view.clone()),
            freshness: Freshness::Exact,
        };
        let page = self.index.search(access, &request).await?;
        let found = page.hits.into_iter().map(|hit| hit.key.id).collect();
        Ok(Assumption { search: criteria.clone(), found, sequence: view.sequence })
    }
}

/// The query of criteria, whatever stands ahead of it.
fn bare_query(resource_type: ResourceType, text: &str) -> Result<&str> {
    let text = text.trim();
    match text.split_once('?') {
        // A question mark behind an equals sign belongs to a value.
        Some((ahead, query)) if !ahead.contains('=') => {
            let name = ahead.rsplit('/').next().unwrap_or(ahead);
            if !name.is_empty() && name != resource_type.name() {
                return Err(InteractionError::bad_request(format!("the criteria are not for {resource_type}")));
            }
            Ok(query)
        }
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn criteria_come_bare_with_a_type_or_as_an_address() {
        let patient = ResourceType::parse("Patient").unwrap();
        for text in ["a=b|c", "?a=b|c", "Patient?a=b|c", "/Patient?a=b|c", "http://host/tenant/x/Patient?a=b|c"] {
            assert_eq!(bare_query(patient, text).unwrap(), "a=b|c", "{text}");
        }
        assert_eq!(bare_query(patient, "a=http://x?y").unwrap(), "a=http://x?y");
        assert!(bare_query(patient, "Observation?a=b").is_err());
    }
}
