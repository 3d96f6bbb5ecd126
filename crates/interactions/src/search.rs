//! Search (R4 http.html#search, search.html).

use std::sync::Arc;

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{ResourceKey, ResourceType, ServiceBase};
use fhirpool_search::parse::{self, Options, PAGE_PARAMETER, Scope, decode_query, encode_query};
use fhirpool_search::{Clause, Position, Query, Total, TypeSearch};
use fhirpool_storage::{Freshness, SearchPage, SearchRequest, TotalMode, View};

use crate::page_token::Page;
use crate::reach::Reach;
use crate::{BundleOutcome, Handling, InteractionError, Interactions, Result};

mod answer;
mod everything;
mod include;
mod position;

use answer::{Answer, Links};
pub use everything::EverythingRequest;

/// What is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchScope {
    /// One type: `[base]/[type]?…`
    Type(ResourceType),
    /// All types, or those of `_type`: `[base]?…`
    Tenant,
    /// A compartment: `[base]/Patient/[id]/[type]?…`, all types with `*` for the type.
    Compartment {
        /// Whose.
        owner: ResourceKey,
        /// Of which type; `None`: of all.
        resource_type: Option<ResourceType>,
    },
}

/// `GET …?[query]` or `POST …/_search`
#[derive(Debug, Clone)]
pub struct SearchInteraction<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// What is searched.
    pub scope: SearchScope,
    /// The query, undecoded; for `POST …/_search` the address's query and the form joined by `&`.
    pub query: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
    /// What the answer must know of.
    pub freshness: Freshness,
}

/// A search before its parameters are read.
struct Asked<'a> {
    base: &'a ServiceBase,
    /// The address below the base, without its query.
    address: String,
    scope: Scope,
    query: &'a str,
    handling: Handling,
    freshness: Freshness,
}

/// A search that was understood and is allowed.
#[derive(Debug)]
pub(crate) struct PreparedSearch {
    /// The address below the base, without its query.
    address: String,
    query: Query,
    /// The page asked for; `None`: the first.
    page: Option<(String, Page, Position)>,
    freshness: Freshness,
}

impl Interactions {
    /// A page of matches with what they include.
    pub async fn search(&self, access: &ReadAccess, request: SearchInteraction<'_>) -> Result<BundleOutcome> {
        let base = request.base;
        let search = self.prepare_search(access, request)?;
        self.run_search(access, base, &search, None).await
    }

    /// Reads a search and checks that it is allowed.
    pub(crate) fn prepare_search(&self, access: &ReadAccess, request: SearchInteraction<'_>) -> Result<PreparedSearch> {
        let SearchInteraction { base, scope, query, handling, freshness } = request;
        let (address, scope) = match scope {
            SearchScope::Type(resource_type) => (resource_type.to_string(), Scope::Type(resource_type)),
            SearchScope::Tenant => (String::new(), Scope::System),
            SearchScope::Compartment { owner, resource_type } => {
                let types = resource_type.map_or("*", ResourceType::name);
                (format!("{owner}/{types}"), Scope::Compartment { owner, resource_type })
            }
        };
        let asked = Asked { base, address, scope, query, handling, freshness };
        self.prepare_with(access, asked, |scope, text, options| Ok(parse::parse(&self.definitions, scope, &decode_query(text)?, options)?))
    }

    /// Reads what is asked, with a reader of its parameters, and checks that it is allowed.
    fn prepare_with(
        &self,
        access: &ReadAccess,
        asked: Asked<'_>,
        read: impl Fn(&Scope, &str, &Options<'_>) -> Result<Query>,
    ) -> Result<PreparedSearch> {
        let Asked { base, address, scope, query, handling, freshness } = asked;
        let options = Options {
            base,
            handling: match handling {
                Handling::Strict => parse::Handling::Strict,
                Handling::Lenient => parse::Handling::Lenient,
            },
            limits: self.limits.query.clone(),
            now: self.clock.now(),
        };
        let read = |text: &str| read(&scope, text, &options);
        let mut query = read(query.trim_start_matches('?'))?;
        let mut page = None;
        if let Some(token) = query.page.take() {
            if query.self_parameters.iter().any(|(name, _)| name != "_count") {
                return Err(InteractionError::bad_request("a page link takes no further parameters"));
            }
            let count = query.count;
            let sealed = self.open_page(access, &address, &token)?;
            query = read(&sealed.query)?;
            query.count = count.or(query.count);
            let position = position::read(&sealed.position);
            let position = position.ok_or_else(|| InteractionError::bad_request("the page link is damaged"))?;
            page = Some((token, sealed, position));
        }
        narrow(&self.reach(access, base), &scope, &mut query)?;
        Ok(PreparedSearch { address, query, page, freshness })
    }

    /// Runs a search, in a certain view where one is given.
    pub(crate) async fn run_search(
        &self,
        access: &ReadAccess,
        base: &ServiceBase,
        search: &PreparedSearch,
        view: Option<View>,
    ) -> Result<BundleOutcome> {
        let query = &search.query;
        let page_size = query.count.map_or(self.limits.page_size_default, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let (limit, total) = match query.total {
            _ if query.only_counts() => (0, TotalMode::Accurate),
            _ if search.page.is_some() => (page_size, TotalMode::None),
            Total::None => (page_size, TotalMode::None),
            Total::Accurate => (page_size, TotalMode::Accurate),
            Total::Unspecified | Total::Estimate => (page_size, TotalMode::UpTo(self.limits.total_exact_max)),
        };
        let request = SearchRequest {
            parts: query.parts.clone(),
            after: search.page.as_ref().map(|(_, _, position)| position.clone()),
            limit: limit.min(self.limits.page_size_max),
            total,
            view,
            freshness: search.freshness,
        };
        let found = if query.parts.is_empty() { None } else { Some(self.index.search(access, &request).await?) };
        let total = match (&search.page, &found) {
            (Some((_, page, _)), _) => page.total,
            (None, Some(found)) => found.total,
            (None, None) => (query.total != Total::None).then_some(0),
        };
        let mut answer = Answer::default();
        if let Some(found) = &found {
            answer.behind = !found.caught_up;
            let reach = self.reach(access, base);
            answer.matches = self.read_hits(access, &reach, found).await?;
            if !query.includes.is_empty() || !query.revincludes.is_empty() {
                answer.included = self.included(access, &reach, base, &found.view, query, &answer.matches).await?;
            }
        }
        let next = found.filter(|found| found.more).and_then(|found| found.hits.into_iter().next_back());
        let links = self.links(access, base, search, total, next.map(|hit| hit.position));
        self.answer(base, query, total, links, answer).await
    }

    async fn read_hits(&self, access: &ReadAccess, reach: &Reach<'_>, page: &SearchPage) -> Result<Vec<answer::Entry>> {
        let keys: Vec<ResourceKey> = page.hits.iter().map(|hit| hit.key.clone()).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let versions = self.store.read_many(access, &page.view, &keys).await?;
        let mut entries = Vec::with_capacity(keys.len());
        for (key, version) in keys.into_iter().zip(versions) {
            // An index may be behind, and know a reference by another name: what is shown is judged as it is.
            let version = reach.keep(&key, version).await?;
            entries.extend(version.and_then(|version| answer::Entry::new(key, version)));
        }
        Ok(entries)
    }

    fn links(&self, access: &ReadAccess, base: &ServiceBase, search: &PreparedSearch, total: Option<u64>, next: Option<Position>) -> Links {
        let PreparedSearch { address, query, page, .. } = search;
        let at = if address.is_empty() { base.to_string() } else { format!("{base}/{address}") };
        let own_query = encode_query(&query.self_parameters);
        let first = if own_query.is_empty() { at.clone() } else { format!("{at}?{own_query}") };
        let next = next.map(|position| {
            let token = self.seal_page(access, address, &Page { query: own_query, total, position: position::write(&position) });
            page_link(&at, query.count, &token)
        });
        match page {
            None => Links { this: first, first: None, next },
            Some((token, ..)) => Links { this: page_link(&at, query.count, token), first: Some(first), next },
        }
    }
}

/// The address of a page. The page size stands in it, though it is sealed in the token too: a client that misses it (Medplum)
/// puts one of its own there.
fn page_link(at: &str, count: Option<u64>, token: &str) -> String {
    let count = count.map_or(String::new(), |count| format!("_count={count}&"));
    format!("{at}?{count}{PAGE_PARAMETER}={token}")
}

/// Narrows a search to what may be seen: every type it looks for and every one it leads through. One that names a type of which
/// nothing may be seen is refused; one over all types leaves such types out.
fn narrow(reach: &Reach<'_>, scope: &Scope, query: &mut Query) -> Result<()> {
    let names_types = matches!(scope, Scope::Type(_) | Scope::Compartment { resource_type: Some(_), .. })
        || query.self_parameters.iter().any(|(name, _)| name == "_type");
    if names_types {
        query.parts.iter().try_for_each(|part| reach.check(part.resource_type))?;
    }
    let mut types: Vec<ResourceType> = query.parts.iter().map(|part| part.resource_type).collect();
    query.parts.iter().flat_map(|part| &part.filter).for_each(|clause| clause.related_types(&mut types));
    if types.iter().any(|resource_type| reach.is_limited(*resource_type)) {
        query.parts = query.parts.iter().filter_map(|part| reach.narrow(part.clone())).collect::<Vec<_>>().into();
    }
    Ok(())
}

/// A search of one type by one clause, in no certain order.
fn plain_search(resource_type: ResourceType, clause: Clause) -> TypeSearch {
    TypeSearch { resource_type, filter: vec![clause], sort: Vec::new() }
}

/// A request for at most so many hits of these searches in a view.
fn plain_request(parts: Vec<TypeSearch>, limit: usize, view: &View) -> SearchRequest {
    SearchRequest {
        parts: Arc::from(parts),
        after: None,
        limit,
        total: TotalMode::None,
        view: Some(view.clone()),
        freshness: Freshness::Eventual,
    }
}
