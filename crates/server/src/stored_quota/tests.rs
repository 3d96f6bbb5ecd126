#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicBool;

use fhirpool_authz::{QuotaRules, TenantQuota};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceId, Timestamp};
use fhirpool_storage::{ChangeOutcome, Method, Precondition, SearchPage};
use tokio::sync::Semaphore;

use super::*;

/// Everything behind the limits, under the hand of a test.
struct Stubs {
    /// A permit for each commit that may end.
    commits: Semaphore,
    /// A permit for each count of the index that may end.
    counts: Semaphore,
    /// Commits that have begun.
    begun: Semaphore,
    /// Counts that have begun.
    counting: Semaphore,
    resources_in_index: AtomicU64,
    sum: AtomicU64,
    is_deleted: AtomicBool,
}

impl Stubs {
    fn new() -> Arc<Self> {
        let [commits, counts, begun, counting] = std::array::from_fn(|_| Semaphore::new(0));
        let (resources_in_index, sum, is_deleted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { commits, counts, begun, counting, resources_in_index, sum, is_deleted })
    }

    fn store(self: &Arc<Self>, quota: TenantQuota) -> LimitedStore {
        let quotas = QuotaRules { deployment: quota, ..QuotaRules::default() };
        LimitedStore::new(Arc::clone(self) as _, Arc::clone(self) as _, Arc::clone(self) as _, Arc::new(quotas.into()))
    }
}

#[async_trait]
impl ResourceStore for Stubs {
    async fn read(&self, _: &ReadAccess, _: &ResourceKey) -> Result<Option<StoredVersion>> {
        Ok(None)
    }

    async fn view(&self, _: &ReadAccess) -> Result<View> {
        Ok(View { sequence: 0, handle: Arc::new(()) })
    }

    async fn read_many(&self, _: &ReadAccess, _: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        Ok(vec![None; keys.len()])
    }

    async fn read_version(&self, _: &ReadAccess, _: &ResourceKey, _: VersionId) -> Result<Option<StoredVersion>> {
        Ok(None)
    }

    async fn history(&self, _: &ReadAccess, _: &HistoryRequest) -> Result<HistoryPage> {
        Err(StorageError::Denied)
    }

    async fn commit(&self, _: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        self.begun.add_permits(1);
        self.commits.acquire().await.unwrap().forget();
        let made = ChangeOutcome { version: Some(VersionId(1)), created: true };
        Ok(CommitOutcome::Committed { last_updated: Timestamp(0), changes: vec![made; commit.changes.len()] })
    }
}

#[async_trait]
impl SearchIndex for Stubs {
    async fn search(&self, access: &ReadAccess, _: &SearchRequest) -> Result<SearchPage> {
        let total = Some(self.resources_in_index.load(Ordering::SeqCst));
        self.counting.add_permits(1);
        self.counts.acquire().await.unwrap().forget();
        Ok(SearchPage { view: self.view(access).await?, hits: Vec::new(), more: false, total, caught_up: true })
    }
}

#[async_trait]
impl StoredBytes for Stubs {
    async fn add_bytes(&self, _: &WriteAccess, bytes: u64) -> Result<u64> {
        match self.is_deleted.load(Ordering::SeqCst) {
            true => Err(StorageError::UnknownTenant),
            false => Ok(self.sum.fetch_add(bytes, Ordering::SeqCst) + bytes),
        }
    }
}

fn writer() -> WriteAccess {
    let acme = TenantId::parse("acme").unwrap();
    WriteAccess::authorize(&Principal::operator(acme.clone()), &acme).unwrap()
}

fn patient(id: &str) -> Commit {
    let key = ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse(id).unwrap());
    let document = Document::parse(r#"{"resourceType":"Patient"}"#.to_owned()).unwrap();
    let body = ResourceBody::prepare(document.root(), &key.id, &[]);
    let content = ChangeContent::Put { body, entries: Vec::new() };
    Commit { changes: vec![Change { key, method: Method::Put, precondition: Precondition::None, content }], assumptions: Vec::new() }
}

/// Begins a commit and leaves while it is under way.
async fn leave_during_commit(store: &LimitedStore, stubs: &Stubs) {
    let access = writer();
    tokio::select! {
        _ = store.commit(&access, patient("left")) => panic!("nothing has let it end"),
        _ = stubs.begun.acquire() => {}
    }
}

#[tokio::test]
async fn what_is_committed_when_nobody_waits_any_more_is_counted() {
    let left = patient("left");
    let ChangeContent::Put { body, .. } = &left.changes[0].content else { panic!("it puts") };
    let bytes = body.text.len() as u64;
    let stubs = Stubs::new();
    stubs.counts.add_permits(1);
    let store =
        stubs.store(TenantQuota { stored_bytes_max: Some(2 * bytes - 1), stored_resources_max: Some(100), ..TenantQuota::default() });
    leave_during_commit(&store, &stubs).await;
    let under_way = store.commit(&writer(), patient("next")).await;
    assert!(matches!(under_way, Err(StorageError::QuotaReached("bytes"))));
    stubs.commits.add_permits(1);
    while stubs.sum.load(Ordering::SeqCst) < bytes {
        tokio::time::sleep(ADD_AFTER).await;
    }
    assert!(matches!(store.commit(&writer(), patient("next")).await, Err(StorageError::QuotaReached("bytes"))));
    assert_eq!(store.counted.of(writer().tenant()).resources, 1);
}

#[tokio::test]
async fn nothing_is_added_for_a_tenant_that_was_deleted() {
    let stubs = Stubs::new();
    stubs.commits.add_permits(1);
    let store = stubs.store(TenantQuota { stored_bytes_max: Some(100), ..TenantQuota::default() });
    store.commit(&writer(), patient("p")).await.unwrap();
    stubs.is_deleted.store(true, Ordering::SeqCst);
    let is_known = || store.bytes.known.lock().unwrap().contains_key(writer().tenant());
    assert!(is_known());
    while is_known() {
        tokio::time::sleep(ADD_AFTER).await;
    }
    // The task that added has ended: nobody else holds the sums.
    while Arc::strong_count(&store.bytes) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_made_while_the_index_is_asked_is_not_forgotten() {
    let stubs = Stubs::new();
    stubs.commits.add_permits(1);
    let store = stubs.store(TenantQuota { stored_resources_max: Some(100), ..TenantQuota::default() });
    let acme = writer().tenant().clone();
    let counting = store.count(&acme, 100);
    let made_meanwhile = async {
        stubs.counting.acquire().await.unwrap().forget();
        let room = store.counted.room(&acme, 1, 100);
        store.counted.note(&acme, 1);
        drop(room);
        stubs.counts.add_permits(1);
    };
    let (counted, ()) = tokio::join!(counting, made_meanwhile);
    counted.unwrap();
    assert_eq!(store.counted.of(&acme).resources, 1);
    // The next count has seen it.
    store.counted.lock().get_mut(&acme).unwrap().at = None;
    stubs.resources_in_index.store(1, Ordering::SeqCst);
    stubs.counts.add_permits(1);
    store.count(&acme, 100).await.unwrap();
    assert_eq!(store.counted.of(&acme).resources, 1);
}
