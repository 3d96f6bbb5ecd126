//! Histories of types and tenants.

use std::collections::VecDeque;

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{Timestamp, VersionId};
use fhirpool_storage::{HistoryEntry, HistoryPage, HistoryRequest, HistoryScope, Result, StorageError};

use super::read::Reader;
use super::segment::{Place, damaged};
use crate::concurrent::each;
use crate::cost::Operation;
use crate::store::Core;

const HISTORY: Operation = Operation("log_history");

/// A page looks at no more entries; if fewer than asked are found among them it is a short one.
const LOOKED_AT_MAX: usize = 20_000;
/// The same where it must be asked of each entry when it was replaced.
const ASKED_MAX: usize = 2_000;
/// Versions looked up at once.
const CHUNK_MAX: usize = 64;

impl Core {
    /// A page of a type's or a tenant's history, as far as the log holds it.
    pub(crate) async fn log_history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        let resource_type = match &request.scope {
            HistoryScope::Type(resource_type) => Some(*resource_type),
            HistoryScope::Tenant => None,
            HistoryScope::Instance(_) => return Err(StorageError::Unavailable("a resource's history is not told from the log".into())),
        };
        let after = match &request.after {
            Some(position) => Some(Place::of_position(position).ok_or_else(|| StorageError::Unavailable("no place in a history".into()))?),
            None => None,
        };
        let latest = request.at.map_or(Timestamp(i64::MAX), |(_, to)| to);
        let reader = Reader::new(&self.client, self.bodies.keys(), access, resource_type, after, latest, self.node.now());
        Page { core: self, access, request, reader, looked_at: 0, last: None }.find().await
    }
}

/// A page that is being put together.
struct Page<'a> {
    core: &'a Core,
    access: &'a ReadAccess,
    request: &'a HistoryRequest,
    reader: Reader<'a>,
    looked_at: usize,
    /// What was looked at last.
    last: Option<Place>,
}

/// What comes next.
enum Next {
    /// An entry that may belong to the page.
    Candidate(Place),
    /// Nothing that this page may still look at.
    TooMany,
    /// Nothing at all.
    End,
}

impl Page<'_> {
    async fn find(mut self) -> Result<HistoryPage> {
        let mut entries = Vec::new();
        loop {
            let mut chunk = VecDeque::new();
            let mut end = None;
            // One more than asked for tells whether there is another page.
            let missing = self.request.limit - entries.len();
            while chunk.len() < missing.min(CHUNK_MAX) && end.is_none() {
                match self.next().await? {
                    Next::Candidate(place) => chunk.push_back(place),
                    other => end = Some(other),
                }
            }
            let page = &self;
            let found = each(page.core.settings.concurrency, chunk.into_iter(), |place| Box::pin(page.entry(place))).await?;
            entries.extend(found.into_iter().flatten());
            let position = self.last.as_ref().map(Place::position);
            match end {
                Some(Next::End) => return Ok(HistoryPage { entries, next: None, total: None }),
                Some(_) => return Ok(HistoryPage { entries, next: position, total: None }),
                None if entries.len() < self.request.limit => {}
                None => {
                    let next = if matches!(self.next().await?, Next::End) { None } else { position };
                    return Ok(HistoryPage { entries, next, total: None });
                }
            }
        }
    }

    /// The next entry of the scope and span, as far as the log alone tells.
    async fn next(&mut self) -> Result<Next> {
        let most = if self.request.at.is_some() { ASKED_MAX } else { LOOKED_AT_MAX };
        while let Some((place, _)) = self.reader.next().await? {
            if self.request.since.is_some_and(|since| place.time() < since) {
                return Ok(Next::End);
            }
            if self.looked_at == most {
                return Ok(Next::TooMany);
            }
            self.looked_at += 1;
            self.last = Some(place.clone());
            let resource_type = place.resource_type()?;
            let in_scope = match &self.request.scope {
                HistoryScope::Type(wanted) => resource_type == *wanted,
                _ => true,
            };
            if in_scope && self.access.allows(resource_type) {
                return Ok(Next::Candidate(place));
            }
        }
        Ok(Next::End)
    }

    /// The version at a place, unless it was not current within the span asked for.
    async fn entry(&self, place: Place) -> Result<Option<HistoryEntry>> {
        let key = place.key()?;
        if let Some((from, _)) = self.request.at
            && place.time() <= from
        {
            // The log may not know yet what replaced it.
            let next = VersionId(place.version().0 + 1);
            let next = self.core.committed_version(HISTORY, self.access, &key, next).await?;
            if next.is_some_and(|next| next.last_updated <= from) {
                return Ok(None);
            }
        }
        let item = self.core.committed_version(HISTORY, self.access, &key, place.version()).await?;
        let item = item.ok_or_else(|| damaged("it names a version that is not there"))?;
        let version = self.core.bodies.open(self.access, &key, &item).await?;
        Ok(Some(HistoryEntry { key, version }))
    }
}
