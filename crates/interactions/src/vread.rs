//! Version read (R4 http.html#vread).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, ServiceBase, Timestamp, VersionId};
use fhirpool_storage::View;

use crate::{Interactions, ReadOutcome, ReadRequest, Result};

/// `GET [base]/[type]/[id]/_history/[vid]`
#[derive(Debug, Clone)]
pub struct VersionReadRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// Which resource.
    pub key: ResourceKey,
    /// Which version, as the address has it.
    pub version: &'a str,
    /// The address's query, undecoded.
    pub query: &'a str,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
}

impl Interactions {
    /// A certain version. One that is a delete is [`crate::ErrorKind::Gone`].
    pub async fn vread(&self, access: &ReadAccess, request: VersionReadRequest<'_>) -> Result<ReadOutcome> {
        let VersionReadRequest { base, key, version, query, if_none_match, if_modified_since } = request;
        let reach = self.reach(access, base);
        reach.check(key.resource_type)?;
        // What is no version id of ours names no version.
        let found = match VersionId::parse(version) {
            Some(version) => self.store.read_version(access, &key, version).await?,
            None => None,
        };
        let found = reach.keep(&key, found).await?;
        self.answer_read(found, ReadRequest { base, key, query, if_none_match, if_modified_since })
    }

    /// As [`Interactions::vread`], of what a view holds: a version that was committed later is not there.
    pub(crate) async fn vread_in(&self, access: &ReadAccess, view: &View, request: VersionReadRequest<'_>) -> Result<ReadOutcome> {
        let VersionReadRequest { base, key, version, query, if_none_match, if_modified_since } = request;
        let reach = self.reach(access, base);
        reach.check(key.resource_type)?;
        let newest = self.store.read_many(access, view, std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        let found = match (VersionId::parse(version), newest) {
            (Some(version), Some(newest)) if version == newest.version => Some(newest),
            (Some(version), Some(newest)) if version < newest.version => self.store.read_version(access, &key, version).await?,
            _ => None,
        };
        let found = reach.keep(&key, found).await?;
        self.answer_read(found, ReadRequest { base, key, query, if_none_match, if_modified_since })
    }
}
