//! Read (R4 http.html#read).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, ServiceBase, Timestamp};
use fhirpool_storage::{Content, StoredVersion, View};

use crate::binary::is_uploaded;
use crate::conditions::is_not_modified;
use crate::subset::Subset;
use crate::{ErrorKind, InteractionError, Interactions, ReadOutcome, Representation, Result, parameters};

/// `GET [base]/[type]/[id]`
#[derive(Debug, Clone)]
pub struct ReadRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// Which.
    pub key: ResourceKey,
    /// The address's query, undecoded: `_summary` and `_elements` count, `_format` and the like do not.
    pub query: &'a str,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
}

impl Interactions {
    /// The newest version of a resource. One that was deleted is [`ErrorKind::Gone`].
    pub async fn read(&self, access: &ReadAccess, request: ReadRequest<'_>) -> Result<ReadOutcome> {
        let reach = self.reach(access, request.base);
        reach.check(request.key.resource_type)?;
        let found = reach.keep(&request.key, self.store.read(access, &request.key).await?).await?;
        self.answer_read(found, request)
    }

    /// As [`Interactions::read`], in a certain view.
    pub(crate) async fn read_in(&self, access: &ReadAccess, view: &View, request: ReadRequest<'_>) -> Result<ReadOutcome> {
        let reach = self.reach(access, request.base);
        reach.check(request.key.resource_type)?;
        let found = self.store.read_many(access, view, std::slice::from_ref(&request.key)).await?.into_iter().next().flatten();
        self.answer_read(reach.keep(&request.key, found).await?, request)
    }

    /// What a read answers of the version found, as far as the access reaches it.
    pub(crate) fn answer_read(&self, found: Option<StoredVersion>, request: ReadRequest<'_>) -> Result<ReadOutcome> {
        let key = request.key;
        let Some(found) = found else {
            return Err(InteractionError::of(ErrorKind::NotFound, format!("there is no such {}", key.resource_type)));
        };
        let subset = subset_of(request.query)?;
        let StoredVersion { version, last_updated, .. } = found;
        let Some(json) = json_of(&found) else {
            return Err(InteractionError::of(ErrorKind::Gone, format!("the {} was deleted in version {version}", key.resource_type)));
        };
        // What was uploaded, and the URL of it, is not of the version that the client has.
        let is_kept = !is_uploaded(&key, &found);
        if is_not_modified(request.if_none_match, request.if_modified_since, version, last_updated)? && is_kept {
            return Ok(ReadOutcome::NotModified { version, last_updated });
        }
        let json = match subset {
            Subset::Whole => json,
            subset => subset.apply(&self.definitions, key.resource_type, &self.parse(json.into_bytes())?),
        };
        Ok(ReadOutcome::Found(Representation { key, version, last_updated, json }))
    }
}

/// A version's JSON as clients see it; `None` for a delete.
pub(crate) fn json_of(version: &StoredVersion) -> Option<String> {
    match &version.content {
        Content::Resource(body) => {
            let mut json = String::with_capacity(body.text.len() + 96);
            body.write(version.version, version.last_updated, &mut json);
            Some(json)
        }
        Content::Deleted => None,
    }
}

/// `_summary` and `_elements` of a read's address.
pub(crate) fn subset_of(query: &str) -> Result<Subset> {
    if query.is_empty() {
        return Ok(Subset::Whole);
    }
    let mut subset = Subset::Whole;
    for (name, value) in parameters::decode(query)? {
        subset = match name.as_str() {
            "_summary" => Subset::of_summary_code(&value)?,
            "_elements" => Subset::of_elements(value.split(',').map(str::to_owned).collect()),
            _ => return Err(parameters::unknown(&name)),
        };
    }
    Ok(subset)
}
