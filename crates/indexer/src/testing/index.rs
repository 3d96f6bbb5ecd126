//! An index that finds what was applied only after a refresh.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{ResourceKey, ResourceType, VersionId};
use fhirpool_search::{IndexEntry, Related, TypeSearch, Undecided, matches, position, reference_value};
use fhirpool_storage::{
    Candidate, CandidateIndex, CandidatePage, IndexDocument, IndexOutcome, IndexRebuild, IndexWriter, Result, SearchRequest, TotalMode,
};

use super::Faults;

/// Of each resource the version, and its entries unless it is a tombstone.
type Documents = HashMap<(TenantId, ResourceKey), (VersionId, Option<Arc<[IndexEntry]>>)>;

pub(crate) struct MemoryIndex {
    faults: Arc<Faults>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    applied: Documents,
    found: Arc<Documents>,
    rebuilt: Option<Documents>,
    refused: HashSet<ResourceKey>,
}

impl MemoryIndex {
    pub(super) fn new(faults: Arc<Faults>) -> Self {
        Self { faults, state: Mutex::default() }
    }

    /// Refuses a resource from now on, or takes it again.
    pub(crate) fn refuse(&self, key: &ResourceKey, refuse: bool) {
        let refused = &mut self.state.lock().unwrap().refused;
        if refuse {
            refused.insert(key.clone());
        } else {
            refused.remove(key);
        }
    }

    /// The version that is found of a resource, and its entries.
    pub(crate) fn found(&self, tenant: &TenantId, key: &ResourceKey) -> Option<(VersionId, Option<Arc<[IndexEntry]>>)> {
        self.state.lock().unwrap().found.get(&(tenant.clone(), key.clone())).cloned()
    }

    /// Loses everything.
    pub(crate) fn lose(&self) {
        let mut state = self.state.lock().unwrap();
        state.applied.clear();
        state.found = Arc::default();
    }
}

fn apply(documents: &mut Documents, refused: &HashSet<ResourceKey>, document: &IndexDocument) -> IndexOutcome {
    if refused.contains(&document.key) {
        return IndexOutcome::Refused("refused by the test".into());
    }
    let held = documents.entry((document.access.tenant().clone(), document.key.clone())).or_insert((VersionId(0), None));
    if held.0 < document.version {
        *held = (document.version, document.entries.as_deref().map(Into::into));
    }
    IndexOutcome::Applied
}

#[async_trait]
impl IndexWriter for MemoryIndex {
    async fn apply(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>> {
        self.faults.strike("apply").await?;
        let outcomes = {
            let State { applied, rebuilt, refused, .. } = &mut *self.state.lock().unwrap();
            let mut both = |document: &IndexDocument| {
                if let Some(rebuilt) = rebuilt {
                    apply(rebuilt, refused, document);
                }
                apply(applied, refused, document)
            };
            documents.iter().map(&mut both).collect()
        };
        self.faults.strike("apply, done").await?;
        Ok(outcomes)
    }

    async fn refresh(&self) -> Result<()> {
        self.faults.strike("refresh").await?;
        let mut state = self.state.lock().unwrap();
        state.found = Arc::new(state.applied.clone());
        Ok(())
    }
}

#[async_trait]
impl IndexRebuild for MemoryIndex {
    async fn begin(&self) -> Result<()> {
        self.state.lock().unwrap().rebuilt = Some(Documents::new());
        Ok(())
    }

    async fn backfill(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>> {
        let State { rebuilt, refused, .. } = &mut *self.state.lock().unwrap();
        let rebuilt = rebuilt.as_mut().expect("a rebuild was begun");
        Ok(documents.iter().map(|document| apply(rebuilt, refused, document)).collect())
    }

    async fn counts(&self, access: &WriteAccess) -> Result<(u64, u64)> {
        let state = self.state.lock().unwrap();
        let is_live = |(key, held): (&(TenantId, ResourceKey), &(VersionId, Option<_>))| key.0 == *access.tenant() && held.1.is_some();
        let count = |documents: &Documents| documents.iter().filter(|(key, held)| is_live((key, held))).count() as u64;
        Ok((count(&state.applied), count(state.rebuilt.as_ref().expect("a rebuild was begun"))))
    }

    async fn swap(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.applied = state.rebuilt.take().expect("a rebuild was begun");
        state.found = Arc::new(state.applied.clone());
        Ok(())
    }

    async fn abort(&self) -> Result<()> {
        self.state.lock().unwrap().rebuilt = None;
        Ok(())
    }
}

#[async_trait]
impl CandidateIndex for MemoryIndex {
    async fn candidates(&self, access: &ReadAccess, request: &SearchRequest) -> Result<CandidatePage> {
        let found = self.state.lock().unwrap().found.clone();
        let picture = Picture { found: &found, access };
        let mut candidates = Vec::new();
        for part in request.parts.iter() {
            for (key, version, entries) in picture.of_type(part.resource_type) {
                if matches(&part.filter, key, entries, &picture).expect("everything is at hand") {
                    candidates.push(Candidate { key: key.clone(), version, position: position(key, entries, &part.sort) });
                }
            }
        }
        let sort = request.parts.first().map_or(&[][..], |part| &part.sort);
        candidates.sort_by(|one, other| one.position.compare(&other.position, sort));
        let count = candidates.len() as u64;
        let total = match request.total {
            TotalMode::None => None,
            TotalMode::UpTo(most) => (count <= most).then_some(count),
            TotalMode::Accurate => Some(count),
        };
        if let Some(after) = &request.after {
            candidates.retain(|candidate| candidate.position.compare(after, sort).is_gt());
        }
        let more = candidates.len() > request.limit;
        candidates.truncate(request.limit);
        Ok(CandidatePage { candidates, more, total })
    }
}

struct Picture<'a> {
    found: &'a Documents,
    access: &'a ReadAccess,
}

impl<'a> Picture<'a> {
    fn live(&self, key: &ResourceKey) -> Option<&'a [IndexEntry]> {
        self.found.get(&(self.access.tenant().clone(), key.clone()))?.1.as_deref()
    }

    fn of_type(&self, resource_type: ResourceType) -> impl Iterator<Item = (&'a ResourceKey, VersionId, &'a [IndexEntry])> {
        let (tenant, covered) = (self.access.tenant().clone(), self.access.allows(resource_type));
        let of_type = self.found.iter().filter(move |((of, key), _)| covered && *of == tenant && key.resource_type == resource_type);
        of_type.filter_map(|((_, key), (version, entries))| Some((key, *version, entries.as_deref()?)))
    }
}

impl Related for Picture<'_> {
    fn holds_for(&self, target: &ResourceKey, search: &TypeSearch) -> std::result::Result<bool, Undecided> {
        match self.live(target).filter(|_| self.access.allows(target.resource_type)) {
            Some(entries) => matches(&search.filter, target, entries, self),
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
        for (key, _, entries) in self.of_type(source.resource_type).filter(|(_, _, entries)| entries.contains(&sought)) {
            if matches(&source.filter, key, entries, self)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
