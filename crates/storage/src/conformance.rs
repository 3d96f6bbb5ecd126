//! The suite that every backend runs: what the contracts of the ports promise, as cases.
//!
//! A backend names a function that makes stores and calls [`store_conformance!`](crate::store_conformance) in its tests:
//!
//! ```text
//! async fn make(tenants: Vec<TenantId>) -> Stores { … }
//! fhirpool_storage::store_conformance!(crate::tests::make);
//! ```
//!
//! Each case gets an empty store of its own and panics where the store breaks a promise. Cases are functions here, so that
//! one more promise is one more function and one more name in the macro; a test of this crate finds those that were
//! forgotten there.
//!
//! Deliberately absent: crashes and faults, which each backend injects in its own way.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case that fails panics")]

use std::any::Any;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceBody, ResourceId, ResourceKey, ResourceType, Timestamp, VersionId};
use fhirpool_search::parse::Handling;
use fhirpool_search::testing::{BASE, read_query};
use fhirpool_search::{Extractors, TypeSearch};

use crate::{
    Change, ChangeContent, Commit, CommitOutcome, Content, Freshness, HistoryEntry, HistoryRequest, HistoryScope, Method, Precondition,
    ResourceStore, SearchIndex, SearchPage, SearchRequest, StoredVersion, TotalMode, View,
};

pub mod access;
pub mod commits;
pub mod concurrency;
pub mod histories;
pub mod model;
pub mod queries;
mod random;
pub mod reads;
pub mod searches;
pub mod tenancy;

pub use crate::duties::conformance::duty_leases;
pub use crate::quota_leases::conformance::quota_leases;
pub use crate::stored_bytes::conformance::stored_bytes;

pub use random::Random;

/// A backend under test.
pub struct Stores {
    /// Its resources.
    pub resources: Arc<dyn ResourceStore>,
    /// Its index.
    pub index: Arc<dyn SearchIndex>,
    /// Whether the index answers of the very picture that a search names. One that does not answers of what is newest, shows
    /// nothing that is not in the picture, and may find the changes of a commit one by one.
    pub pictures: bool,
    /// What must live as long (a folder, a process).
    pub keep: Box<dyn Any + Send + Sync>,
}

/// An empty backend and two tenants' clients.
pub struct Fixture {
    /// Of the tenant `demo`, whose base is [`BASE`].
    pub a: Client,
    /// Of the tenant `b`.
    pub b: Client,
    /// Of a tenant that the store does not know.
    pub stranger: Client,
    /// [`Stores::pictures`].
    pub pictures: bool,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// Of a backend that knows just the tenants it is given.
    pub async fn new<F: Future<Output = Stores>>(make: impl FnOnce(Vec<TenantId>) -> F) -> Self {
        let Stores { resources, index, pictures, keep } = make(["demo", "b"].map(tenant).to_vec()).await;
        let client = |name| Client::new(&resources, &index, &Principal::operator(tenant(name)));
        Self { a: client("demo"), b: client("b"), stranger: client("c"), pictures, _keep: keep }
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// The definitions' extractors, made once.
pub fn extractors() -> Arc<Extractors> {
    static EXTRACTORS: OnceLock<Arc<Extractors>> = OnceLock::new();
    EXTRACTORS.get_or_init(|| Arc::new(Extractors::new(Definitions::r4()))).clone()
}

/// Someone who uses a backend. Its methods panic where the store fails; cases that want failures use the ports themselves.
#[derive(Clone)]
pub struct Client {
    /// The resources.
    pub resources: Arc<dyn ResourceStore>,
    /// The index.
    pub index: Arc<dyn SearchIndex>,
    /// May read everything.
    pub read_access: ReadAccess,
    /// May write everything.
    pub write_access: WriteAccess,
}

impl Client {
    fn new(resources: &Arc<dyn ResourceStore>, index: &Arc<dyn SearchIndex>, principal: &Principal) -> Self {
        let tenant = principal.tenant();
        Self {
            resources: resources.clone(),
            index: index.clone(),
            read_access: ReadAccess::authorize(principal, tenant).unwrap(),
            write_access: WriteAccess::authorize(principal, tenant).unwrap(),
        }
    }

    /// Commits changes without assumptions.
    pub async fn commit(&self, changes: Vec<Change>) -> CommitOutcome {
        self.resources.commit(&self.write_access, Commit { changes, assumptions: Vec::new() }).await.unwrap()
    }

    /// Writes one resource; see [`put`].
    pub async fn put(&self, name: &str, members: &str) -> (VersionId, Timestamp) {
        made(self.commit(vec![put(name, members)]).await)
    }

    /// Deletes one resource that is there.
    pub async fn delete(&self, name: &str) -> (VersionId, Timestamp) {
        made(self.commit(vec![delete(name)]).await)
    }

    /// The newest version.
    pub async fn read(&self, name: &str) -> Option<StoredVersion> {
        self.resources.read(&self.read_access, &key(name)).await.unwrap()
    }

    /// A certain version.
    pub async fn read_version(&self, name: &str, version: u64) -> Option<StoredVersion> {
        self.resources.read_version(&self.read_access, &key(name), VersionId(version)).await.unwrap()
    }

    /// The picture as of now.
    pub async fn view(&self) -> View {
        self.resources.view(&self.read_access).await.unwrap()
    }

    /// The newest versions in a view.
    pub async fn read_many(&self, view: &View, names: &[&str]) -> Vec<Option<StoredVersion>> {
        let keys: Vec<ResourceKey> = names.iter().map(|name| key(name)).collect();
        self.resources.read_many(&self.read_access, view, &keys).await.unwrap()
    }

    /// All pages of a history, of so many entries each, and that no page is longer than asked for.
    pub async fn history(&self, mut request: HistoryRequest) -> Vec<HistoryEntry> {
        let mut entries = Vec::new();
        loop {
            let page = self.resources.history(&self.read_access, &request).await.unwrap();
            assert!(page.entries.len() <= request.limit, "a page is longer than its limit");
            assert!(page.next.is_none() || !page.entries.is_empty(), "an empty page promises more");
            entries.extend(page.entries);
            match page.next {
                Some(next) => request.after = Some(next),
                None => return entries,
            }
        }
    }

    /// A page of a search, by query.
    pub async fn page(&self, request: SearchRequest) -> SearchPage {
        self.index.search(&self.read_access, &request).await.unwrap()
    }

    /// Everything that a query finds, in order, page by page.
    pub async fn search(&self, query: &str) -> Vec<String> {
        self.search_in(query, None, 1000).await
    }

    /// Everything that a query finds in a view, by pages of so many.
    pub async fn search_in(&self, query: &str, view: Option<View>, limit: usize) -> Vec<String> {
        let mut request = search(query);
        (request.view, request.limit) = (view, limit);
        let mut found = Vec::new();
        loop {
            let page = self.page(request.clone()).await;
            assert!(page.hits.len() <= limit, "a page is longer than its limit");
            assert!(!page.more || !page.hits.is_empty(), "an empty page promises more");
            found.extend(page.hits.iter().map(|hit| hit.key.to_string()));
            if !page.more {
                return found;
            }
            request.after = page.hits.last().map(|hit| hit.position.clone());
            // The next page is of the same picture, as a Bundle's would be of the newest.
            request.view = request.view.or(Some(page.view));
        }
    }
}

/// `Patient/1` as a key.
pub fn key(name: &str) -> ResourceKey {
    let (type_name, id) = name.split_once('/').unwrap();
    ResourceKey::new(ResourceType::parse(type_name).unwrap(), ResourceId::parse(id).unwrap())
}

/// A resource of this name with these members (JSON, without braces; may be empty).
pub fn body(name: &str, members: &str) -> ResourceBody {
    let document = Document::parse(json(name, members)).unwrap();
    ResourceBody::prepare(document.root(), &key(name).id, &[])
}

fn json(name: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!("{{\"resourceType\":\"{}\"{comma}{members}}}", key(name).resource_type)
}

/// A change that writes [`body`], with its index entries.
pub fn put(name: &str, members: &str) -> Change {
    let key = key(name);
    let document = Document::parse(json(name, members)).unwrap();
    let entries = extractors().entries(key.resource_type, document.root(), &BASE);
    let content = ChangeContent::Put { body: body(name, members), entries };
    Change { key, method: Method::Put, precondition: Precondition::None, content }
}

/// A change that deletes.
pub fn delete(name: &str) -> Change {
    Change { key: key(name), method: Method::Delete, precondition: Precondition::None, content: ChangeContent::Delete }
}

/// The change under a precondition.
pub fn on(precondition: Precondition, change: Change) -> Change {
    Change { precondition, ..change }
}

/// Version and time that a commit gave to its first change.
pub fn made(outcome: CommitOutcome) -> (VersionId, Timestamp) {
    match outcome {
        CommitOutcome::Committed { last_updated, changes } => (changes[0].version.unwrap(), last_updated),
        other => panic!("not committed: {other:?}"),
    }
}

/// The stored text of a version that is no tombstone.
pub fn text(version: &StoredVersion) -> &str {
    match &version.content {
        Content::Resource(body) => &body.text,
        Content::Deleted => panic!("version {} is a tombstone", version.version),
    }
}

/// The parts of a query (`Patient?name=x`).
pub fn parts(query: &str) -> Arc<[TypeSearch]> {
    read_query(extractors().definitions(), query, Handling::Strict).unwrap().parts.to_vec().into()
}

/// The first page of a query.
pub fn search(query: &str) -> SearchRequest {
    SearchRequest { parts: parts(query), after: None, limit: 1000, total: TotalMode::None, view: None, freshness: Freshness::OwnWrites }
}

/// A history in pages of so many.
pub fn history(scope: HistoryScope, limit: usize) -> HistoryRequest {
    HistoryRequest { scope, since: None, at: None, after: None, limit }
}

/// `Patient/1` at version 2 is `Patient/1 2`.
pub fn names(entries: &[HistoryEntry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.key, entry.version.version)).collect()
}

/// The same without order; fails if one comes twice.
pub fn name_set(entries: &[HistoryEntry]) -> BTreeSet<String> {
    let set: BTreeSet<String> = names(entries).into_iter().collect();
    assert_eq!(set.len(), entries.len(), "an entry comes twice: {:?}", names(entries));
    set
}

/// Members of an Observation with this code, value and (unless empty) subject.
pub fn observation(code: &str, value: i64, subject: &str) -> String {
    let subject = if subject.is_empty() { String::new() } else { format!(",\"subject\":{{\"reference\":\"{subject}\"}}") };
    format!(
        "\"status\":\"final\",\"code\":{{\"coding\":[{{\"system\":\"urn:codes\",\"code\":\"{code}\"}}]}},\"valueInteger\":{value},\
         \"effectiveDateTime\":\"2024-01-{:02}\"{subject}",
        1 + value.rem_euclid(28)
    )
}

/// Makes a test of each case for a backend: takes the path of an `async fn(Vec<TenantId>) -> Stores`. The crate that calls it
/// needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($make:path) => {
        $crate::store_conformance_cases! { $make;
            reads: what_was_committed_is_read, what_was_never_written_is_absent, a_tombstone_is_read_as_deleted,
                every_version_is_kept, a_view_stays_as_it_was, texts_of_all_kinds_come_back, keys_of_all_kinds_are_told_apart;
            commits: preconditions_are_checked, a_failed_precondition_leaves_nothing, deletes_are_idempotent,
                a_deleted_resource_comes_back, changes_share_one_time, times_grow_with_versions, large_commits_are_whole,
                assumptions_are_checked, an_assumption_survives_what_does_not_matter, methods_are_kept;
            concurrency: versions_have_no_gaps_under_concurrency, no_update_is_lost, one_of_racing_creations_wins,
                one_of_racing_conditional_creations_wins, commits_are_seen_whole_or_not_at_all, swaps_are_never_seen_halfway;
            histories: an_instance_tells_its_versions, types_and_tenants_tell_everything, pages_are_complete,
                pages_are_stable_under_writes, since_is_a_lower_bound, at_tells_what_was_current;
            tenancy: a_tenant_sees_nothing_of_another, the_same_key_is_another_resource_elsewhere, unknown_tenants_are_refused,
                a_view_shows_no_other_tenant, an_assumption_looks_at_its_own_tenant;
            access: types_that_are_not_covered_are_refused, a_narrow_access_reads_what_it_covers,
                a_search_stays_within_its_access;
            searches: every_case_of_the_meaning_is_answered, a_write_is_found_at_once, an_update_moves_a_resource,
                a_deleted_resource_is_not_found, pages_are_complete, missing_sort_values_come_last, totals_are_exact_or_absent,
                a_search_keeps_to_its_view, pages_are_stable_under_writes, chains_follow_the_newest_versions,
                several_types_come_in_order;
            model: a_single_client_sees_what_the_model_sees, many_clients_see_a_consistent_store;
        }
    };
}

/// The list behind [`store_conformance!`](crate::store_conformance).
#[doc(hidden)]
#[macro_export]
macro_rules! store_conformance_cases {
    ($make:path; $($module:ident: $($case:ident),+;)+) => {
        $(
            mod $module {
                $(
                    #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let fixture = $crate::conformance::Fixture::new($make).await;
                        $crate::conformance::$module::$case(fixture).await;
                    }
                )+
            }
        )+
    };
}

#[cfg(test)]
mod tests;
