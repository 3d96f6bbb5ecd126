//! The inner searches of chains and `_has`: what they find becomes terms of the outer search.
//!
//! All are of the picture of the whole search, and each is made once. One that finds too much is an error, never cut.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{ResourceId, ResourceKey};
use fhirpool_search::{TypeSearch, reference_target};
use fhirpool_storage::StorageError;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::OpenSearch;
use crate::fields::PLACE;
use crate::names::TypeNames;
use crate::picture::{Picture, Seen};
use crate::schema::WINDOW;
use crate::text;

const TOO_MANY: StorageError = StorageError::TooCostly("a chain or _has leads through too many resources");

/// References of one page.
const REFERENCES: usize = 10_000;

/// By which parameter who refers.
type Referring = (ParameterNumber, TypeSearch);

/// What the inner searches of one search found.
pub(crate) struct Related<'a> {
    pub(crate) index: &'a OpenSearch,
    pub(crate) access: &'a ReadAccess,
    picture: &'a Picture<'a>,
    found: Mutex<HashMap<TypeSearch, Arc<[ResourceKey]>>>,
    referred_to: Mutex<HashMap<Referring, Arc<[ResourceKey]>>>,
}

impl<'a> Related<'a> {
    pub(crate) fn new(index: &'a OpenSearch, access: &'a ReadAccess, picture: &'a Picture<'a>) -> Self {
        Self { index, access, picture, found: Mutex::default(), referred_to: Mutex::default() }
    }

    /// What an inner search finds.
    pub(crate) async fn found(&self, search: &TypeSearch, depth: usize) -> Seen<Arc<[ResourceKey]>> {
        if let Some(found) = self.found.lock().await.get(search) {
            return Ok(found.clone());
        }
        let names = TypeNames::to_read(self.access, search.resource_type)?;
        let query = self.compile(search, depth).await?;
        let most = self.index.settings().related_max;
        let mut keys = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut body = json!({"size": WINDOW, "_source": false, "query": query, "sort": [{PLACE: "asc"}]});
            // The first page tells whether there are too many.
            body["track_total_hits"] = if after.is_none() { json!(most + 1) } else { json!(false) };
            if let Some(after) = after.take() {
                body["search_after"] = json!([after]);
            }
            let page = self.picture.search("related", body).await?.hits;
            if page.total.is_some_and(|total| total.value > most as u64) {
                return Err(TOO_MANY.into());
            }
            let is_full = page.hits.len() == WINDOW;
            for mut hit in page.hits {
                let place = hit.sort.pop().flatten().ok_or_else(unknown_place)?;
                let id = names.id_at(&place).ok_or_else(unknown_place)?;
                keys.push(ResourceKey::new(search.resource_type, ResourceId::from(&id)));
                after = Some(place);
            }
            if keys.len() > most {
                return Err(TOO_MANY.into());
            }
            if !is_full {
                break;
            }
        }
        let keys: Arc<[ResourceKey]> = keys.into();
        self.found.lock().await.insert(search.clone(), keys.clone());
        Ok(keys)
    }

    /// What the resources of an inner search refer to by the parameter, of whatever type.
    pub(crate) async fn referred_to(&self, parameter: ParameterNumber, source: &TypeSearch, depth: usize) -> Seen<Arc<[ResourceKey]>> {
        let subject = (parameter, source.clone());
        if let Some(found) = self.referred_to.lock().await.get(&subject) {
            return Ok(found.clone());
        }
        let unsorted = || StorageError::Unavailable("the index knows no references of this parameter".into());
        let field = self.index.fields().sort(parameter).ok_or_else(unsorted)?;
        let query = self.compile(source, depth).await?;
        let most = self.index.settings().related_max;
        let mut keys = HashSet::new();
        let mut after = Value::Null;
        loop {
            let mut references = json!({"size": REFERENCES, "sources": [{"r": {"terms": {"field": field}}}]});
            if !after.is_null() {
                references["after"] = after;
            }
            let body = json!({
                "size": 0,
                "track_total_hits": false,
                "query": query,
                "aggregations": {"references": {"composite": references}},
            });
            let mut answer = self.picture.search("related", body).await?.aggregations["references"].take();
            let buckets = answer["buckets"].as_array().ok_or_else(unknown_place)?;
            for bucket in buckets {
                let value = bucket["key"]["r"].as_str().and_then(text::bytes_of).ok_or_else(unknown_place)?;
                keys.extend(reference_target(&value));
            }
            if keys.len() > most {
                return Err(TOO_MANY.into());
            }
            let is_full = buckets.len() == REFERENCES;
            after = answer["after_key"].take();
            if !is_full || after.is_null() {
                break;
            }
        }
        let keys: Arc<[ResourceKey]> = keys.into_iter().collect();
        self.referred_to.lock().await.insert(subject, keys.clone());
        Ok(keys)
    }
}

/// The index holds something that was not written like this.
pub(crate) fn unknown_place() -> StorageError {
    StorageError::Damaged("the index gave a document that it was not told of".into())
}
