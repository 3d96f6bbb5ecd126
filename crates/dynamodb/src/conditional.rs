//! Criteria, decided exactly.
//!
//! Every writer of a resource leaves a look-up for each of its identifiers before the version itself, so what the look-ups name
//! holds every resource with that identifier. They are never trusted: each resource is read strongly and the whole criteria are
//! evaluated on it. Criteria that name ids need no look-up. All others are for the index, which must have caught up.

use std::collections::{BTreeSet, HashSet};

use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};
use fhirpool_search::{Alone, Clause, IndexEntry, TypeSearch, Undecided as NeedsOthers, ValueTest, is_token, matches};
use fhirpool_storage::{
    Assumption, Change, ChangeContent, Content, Freshness, Result, SearchRequest, StorageError, StoredVersion, TotalMode,
};

use crate::client::{Condition, Query, SortRange, Table};
use crate::commit::current::{Current, current};
use crate::concurrent::each;
use crate::cost::Operation;
use crate::item::{TransactionId, VersionItem, key, text};
use crate::keys::{Access, DIGEST_BYTES, LOOKUP_PREFIX, Partition, PartitionKey, SORT};
use crate::store::Core;
use crate::transaction::Undecided;

const LOOKUP_WRITE: Operation = Operation("lookup_write");
const LOOKUP_READ: Operation = Operation("lookup_read");

/// Criteria with more identifiers are for the index.
const IDENTIFIERS_MAX: usize = 64;
/// Where more resources may match, the index tells.
const CANDIDATES_MAX: usize = 1_000;

type Digest = [u8; DIGEST_BYTES];

/// What is to be thought of an assumption.
pub(crate) enum Verdict {
    /// The criteria still give the same.
    Holds,
    /// They do not.
    Stale,
    /// It takes the end of this transaction to tell.
    Blocked(Undecided),
}

/// What the transaction that asks has staged itself; it does not count.
pub(crate) struct Staged<'a> {
    pub transaction: TransactionId,
    /// Resources that had no version before.
    pub created: HashSet<&'a ResourceKey>,
}

/// Whether an assumption holds now.
pub(crate) async fn verify(core: &Core, access: &WriteAccess, assumption: &Assumption, own: Option<&Staged<'_>>) -> Result<Verdict> {
    let search = &*assumption.search;
    if let Some(candidates) = lookup(core, access, search).await? {
        let mut matching = HashSet::new();
        let mut known = true;
        let judged = each(core.settings.concurrency, candidates.iter(), |key| Box::pin(judge(core, access, search, key, own))).await?;
        for (key, judgement) in candidates.iter().zip(judged) {
            match judgement {
                Judgement::Matches => {
                    matching.insert(&key.id);
                }
                Judgement::Differs => {}
                Judgement::NeedsOthers => known = false,
                Judgement::Blocked(by) => return Ok(Verdict::Blocked(by)),
            }
        }
        if known {
            return Ok(verdict(assumption, &matching));
        }
    }
    ask_index(core, access, assumption).await
}

fn verdict(assumption: &Assumption, matching: &HashSet<&ResourceId>) -> Verdict {
    let same = matching.len() == assumption.found.len() && assumption.found.iter().all(|id| matching.contains(id));
    if same { Verdict::Holds } else { Verdict::Stale }
}

async fn ask_index(core: &Core, access: &WriteAccess, assumption: &Assumption) -> Result<Verdict> {
    let Some(index) = core.index.get() else {
        return Err(StorageError::Unavailable("these criteria need an index, and there is none".into()));
    };
    let request = SearchRequest {
        parts: [TypeSearch::clone(&assumption.search)].into(),
        after: None,
        limit: assumption.found.len() + 1,
        total: TotalMode::None,
        view: None,
        freshness: Freshness::Exact,
    };
    let page = index.search(access.as_read(), &request).await?;
    let matching: HashSet<&ResourceId> = page.hits.iter().map(|hit| &hit.key.id).collect();
    Ok(if page.more { Verdict::Stale } else { verdict(assumption, &matching) })
}

/// What criteria make of one resource.
enum Judgement {
    Matches,
    Differs,
    /// It takes other resources to tell.
    NeedsOthers,
    Blocked(Undecided),
}

async fn judge(core: &Core, access: &WriteAccess, search: &TypeSearch, key: &ResourceKey, own: Option<&Staged<'_>>) -> Result<Judgement> {
    if own.is_some_and(|own| own.created.contains(key)) {
        return Ok(Judgement::Differs);
    }
    let newest = match current(core, access, key, own.map(|own| own.transaction)).await? {
        Current::Known(base) => base.newest,
        Current::Blocked(by) => return Ok(Judgement::Blocked(by)),
    };
    let Some(newest) = newest.filter(|newest| !newest.deleted) else { return Ok(Judgement::Differs) };
    let version = core.bodies.open(access.as_read(), key, &newest).await?;
    let entries = entries(core, access.tenant(), key, &version)?;
    Ok(match matches(&search.filter, key, &entries, &Alone) {
        Ok(true) => Judgement::Matches,
        Ok(false) => Judgement::Differs,
        Err(NeedsOthers) => Judgement::NeedsOthers,
    })
}

/// All entries of a stored version; none of a tombstone.
fn entries(core: &Core, tenant: &TenantId, key: &ResourceKey, version: &StoredVersion) -> Result<Vec<IndexEntry>> {
    let Content::Resource(body) = &version.content else { return Ok(Vec::new()) };
    let document = Document::parse(body.text.as_str()).map_err(|_| StorageError::Damaged("a stored body is no JSON".into()))?;
    let mut entries = core.extractors.entries(key.resource_type, document.root(), &(core.base)(tenant));
    entries.push(core.extractors.last_updated_entry(version.last_updated));
    Ok(entries)
}

/// Everything that may match criteria, committed or being written; `None`: it takes an index.
pub(crate) async fn lookup(core: &Core, access: &(impl Access + Sync), search: &TypeSearch) -> Result<Option<Vec<ResourceKey>>> {
    if search.filter.iter().any(Clause::needs_related) {
        return Ok(None);
    }
    let resource_type = search.resource_type;
    if let Some(ids) = ids_sought(search) {
        let ids: BTreeSet<&ResourceId> = ids.iter().collect();
        let keys = ids.into_iter().map(|id| ResourceKey::new(resource_type, id.clone()));
        return Ok(Some(keys.collect::<Vec<_>>()).filter(|keys| keys.len() <= CANDIDATES_MAX));
    }
    let Some(digests) = identifiers_sought(core, access.tenant(), search).await? else { return Ok(None) };
    let mut ids = BTreeSet::new();
    for digest in digests {
        let partition = PartitionKey::new(access, Partition::Identifier(resource_type, digest))?;
        let query = Query::data(&partition, SortRange::Prefix(LOOKUP_PREFIX.into()));
        let Some(items) = core.client.query_all(LOOKUP_READ, query, CANDIDATES_MAX).await? else { return Ok(None) };
        for item in items {
            let id = text(&item, SORT)?.strip_prefix(LOOKUP_PREFIX).and_then(ResourceId::parse);
            ids.insert(id.ok_or_else(|| crate::item::damaged(SORT))?);
        }
    }
    let keys: Vec<ResourceKey> = ids.into_iter().map(|id| ResourceKey::new(resource_type, id)).collect();
    Ok(Some(keys).filter(|keys| keys.len() <= CANDIDATES_MAX))
}

/// Whether criteria name the ids that may match.
pub(crate) fn names_ids(search: &TypeSearch) -> bool {
    ids_sought(search).is_some()
}

fn ids_sought(search: &TypeSearch) -> Option<&[ResourceId]> {
    search.filter.iter().find_map(|clause| match clause {
        Clause::Id(ids) => Some(ids.as_slice()),
        _ => None,
    })
}

/// Digests of identifiers of which a matching resource must have one; `None`: the criteria name none, or too many.
pub(crate) async fn identifiers_sought(core: &Core, tenant: &TenantId, search: &TypeSearch) -> Result<Option<Vec<Digest>>> {
    let Some(identifier) = identifier_parameter(core, search.resource_type) else { return Ok(None) };
    let values = search.filter.iter().filter_map(|clause| match clause {
        Clause::Matches { parameter, tests } if *parameter == identifier => whole_tokens(tests),
        _ => None,
    });
    let Some(values) = values.min_by_key(Vec::len).filter(|values| values.len() <= IDENTIFIERS_MAX) else { return Ok(None) };
    let digester = core.bodies.digester(tenant).await?;
    Ok(Some(values.into_iter().map(|value| digester.digest(&[value])).collect()))
}

/// The values that pass the tests, where each test is for whole tokens.
fn whole_tokens(tests: &[ValueTest]) -> Option<Vec<&[u8]>> {
    let ranges = tests.iter().flat_map(|test| test.ranges().iter().enumerate().map(move |(index, range)| (test, index, range)));
    ranges.map(|(test, index, range)| (test.is_single_value(index) && is_token(&range.from)).then_some(range.from.as_slice())).collect()
}

/// The identifiers among the entries of a change.
pub(crate) fn identifiers_of_change<'a>(core: &Core, change: &'a Change) -> impl Iterator<Item = &'a [u8]> {
    let entries = match &change.content {
        ChangeContent::Put { entries, .. } => entries.as_slice(),
        ChangeContent::Delete => &[],
    };
    identifiers(core, change.key.resource_type, entries)
}

fn identifiers<'a>(core: &Core, resource_type: ResourceType, entries: &'a [IndexEntry]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let identifier = identifier_parameter(core, resource_type);
    let sought = entries.iter().filter(move |entry| Some(entry.parameter) == identifier && is_token(&entry.value));
    sought.map(|entry| entry.value.as_slice())
}

fn identifier_parameter(core: &Core, resource_type: ResourceType) -> Option<ParameterNumber> {
    core.extractors.definitions().search_parameter(resource_type, "identifier").map(|parameter| parameter.number)
}

/// Digests of the identifiers of a stored version.
pub(crate) async fn stored_identifiers(
    core: &Core,
    access: &WriteAccess,
    key: &ResourceKey,
    item: &VersionItem,
) -> Result<HashSet<Digest>> {
    let version = core.bodies.open(access.as_read(), key, item).await?;
    let entries = entries(core, access.tenant(), key, &version)?;
    let digester = core.bodies.digester(access.tenant()).await?;
    Ok(identifiers(core, key.resource_type, &entries).map(|value| digester.digest(&[value])).collect())
}

/// Writes the look-ups of a resource. They stay, whatever becomes of the version.
pub(crate) async fn put_lookups(core: &Core, access: &WriteAccess, of: &ResourceKey, digests: &[Digest]) -> Result<()> {
    let puts = each(core.settings.concurrency, digests.iter(), |digest| {
        Box::pin(async move {
            let partition = PartitionKey::new(access, Partition::Identifier(of.resource_type, *digest))?;
            let item = key(&partition, format!("{LOOKUP_PREFIX}{}", of.id));
            core.client.put(LOOKUP_WRITE, Table::Data, &item, &Condition::None).await
        })
    });
    puts.await.map(|_| ())
}
