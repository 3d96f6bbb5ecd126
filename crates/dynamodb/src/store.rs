//! The store: its parts, and the port of resources.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, ServiceBase, VersionId};
use fhirpool_search::{Extractors, TypeSearch};
use fhirpool_storage::{
    Commit, CommitOutcome, ContentStore, ExactLookup, HistoryPage, HistoryRequest, HistoryScope, KeyRing, ResourceStore, Result,
    SearchIndex, StorageError, StoredVersion, View,
};
use tracing::Instrument;

use crate::bodies::Bodies;
use crate::client::Client;
use crate::faults::Faults;
use crate::item::NodeId;
use crate::keys::Access;
use crate::node::{Clock, Node};
use crate::tenants::Tenants;
use crate::transaction::Transactions;
use crate::{commit, conditional};

mod history;
mod picture;
mod read;

/// The base URLs of a tenant, by which references to its own resources are told from others.
pub type TenantBase = Arc<dyn Fn(&TenantId) -> ServiceBase + Send + Sync>;

/// What the store works with.
#[derive(Clone)]
pub struct StorePorts {
    /// Tenants' keys.
    pub keys: Arc<dyn KeyRing>,
    /// Where bodies go that are too large for an item.
    pub content: Arc<dyn ContentStore>,
    /// Which tenants there are.
    pub tenants: Arc<dyn Tenants>,
    /// What criteria are checked with.
    pub extractors: Arc<Extractors>,
    /// Tenants' base URLs.
    pub base: TenantBase,
    /// Microseconds since 1970.
    pub clock: Clock,
}

/// The store's limits.
#[derive(Debug, Clone, Copy)]
pub struct StoreSettings {
    /// Sealed values that are longer go to the content store. An item may have 400 KB.
    pub inline_bytes_max: usize,
    /// How long a commit waits in all for others to let go of what it needs.
    pub wait_ms_max: u64,
    /// How often a commit is prepared anew because others were faster.
    pub rounds_max: u32,
    /// Requests of one call that are under way at once.
    pub concurrency: usize,
    /// What another node's clock may be ahead or behind.
    pub clock_margin_ms: u64,
    /// How long a transaction may take at least.
    pub transaction_ms: u64,
    /// How much longer for each entry.
    pub transaction_entry_ms: u64,
    /// How long it may take at most.
    pub transaction_ms_max: u64,
    /// Final outcomes of transactions that are remembered.
    pub outcomes_kept: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            inline_bytes_max: 350_000,
            wait_ms_max: 2_000,
            rounds_max: 100,
            concurrency: 32,
            clock_margin_ms: 250,
            transaction_ms: 60_000,
            transaction_entry_ms: 10,
            transaction_ms_max: 600_000,
            outcomes_kept: 100_000,
        }
    }
}

/// The store of resources on DynamoDB; cheap to clone.
#[derive(Clone)]
pub struct DynamoStore(pub(crate) Arc<Core>);

/// What the store's modules share.
pub(crate) struct Core {
    pub client: Client,
    pub settings: StoreSettings,
    pub bodies: Bodies,
    pub transactions: Transactions,
    pub node: Node,
    pub tenants: Arc<dyn Tenants>,
    pub extractors: Arc<Extractors>,
    pub base: TenantBase,
    /// Composed over the store, so it comes later.
    pub index: OnceLock<Arc<dyn SearchIndex>>,
    pub faults: Faults,
}

impl DynamoStore {
    /// On tables that are there.
    pub fn new(client: Client, ports: StorePorts, settings: StoreSettings) -> Self {
        let StorePorts { keys, content, tenants, extractors, base, clock } = ports;
        Self(Arc::new(Core {
            bodies: Bodies::new(keys, content, settings.inline_bytes_max),
            transactions: Transactions::new(client.clone(), settings.outcomes_kept),
            node: Node::new(clock),
            tenants,
            extractors,
            base,
            index: OnceLock::new(),
            faults: Faults::default(),
            client,
            settings,
        }))
    }

    /// Hands over the index that decides criteria which the store cannot decide itself: one that answers
    /// [`fhirpool_storage::Freshness::Exact`]. Only the first is taken.
    pub fn set_index(&self, index: Arc<dyn SearchIndex>) {
        if self.0.index.set(index).is_err() {
            tracing::warn!("the store has an index already");
        }
    }

    /// Under which name this process writes.
    pub fn node_id(&self) -> NodeId {
        self.0.node.id()
    }

    /// Microseconds since 1970 by this node's clock, which its writes and views are ordered by.
    pub fn now_us(&self) -> i64 {
        self.0.node.now_us()
    }

    /// The connection, with its count of costs.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Runs faults at the steps of commits, in tests.
    #[cfg(any(test, feature = "faults"))]
    pub fn inject(&self, hook: crate::faults::Hook) {
        self.0.faults.set(hook);
    }
}

impl Core {
    /// Refuses tenants that are not there.
    pub(crate) async fn admit(&self, tenant: &TenantId) -> Result<()> {
        if self.tenants.is_known(tenant).await? { Ok(()) } else { Err(StorageError::UnknownTenant) }
    }

    /// Refuses tenants that are being deleted, or are deleted: what is still to be told of them concerns nobody. Not those that
    /// nobody has heard of yet, whose changes must not be lost.
    pub(crate) async fn refuse_closed(&self, tenant: &TenantId) -> Result<()> {
        if self.tenants.is_closed(tenant).await? { Err(StorageError::UnknownTenant) } else { Ok(()) }
    }
}

/// Refuses a type that an access does not cover.
pub(crate) fn covers(access: &impl Access, key: &ResourceKey) -> Result<()> {
    if access.covers(key.resource_type) { Ok(()) } else { Err(StorageError::Denied) }
}

#[async_trait]
impl ResourceStore for DynamoStore {
    async fn read(&self, access: &ReadAccess, key: &ResourceKey) -> Result<Option<StoredVersion>> {
        covers(access, key)?;
        self.0.admit(access.tenant()).await?;
        match self.0.newest(read::READ, access, key).await? {
            Some(item) => self.0.bodies.open(access, key, &item).await.map(Some),
            None => Ok(None),
        }
    }

    async fn view(&self, access: &ReadAccess) -> Result<View> {
        self.0.admit(access.tenant()).await?;
        let began = self.0.node.now_us();
        Ok(View { sequence: u64::try_from(began).unwrap_or(0), handle: picture::handle(access, began) })
    }

    async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        keys.iter().try_for_each(|key| covers(access, key))?;
        self.0.admit(access.tenant()).await?;
        self.0.read_many(access, view, keys).await
    }

    async fn read_version(&self, access: &ReadAccess, key: &ResourceKey, version: VersionId) -> Result<Option<StoredVersion>> {
        covers(access, key)?;
        self.0.admit(access.tenant()).await?;
        match self.0.committed_version(read::VREAD, access, key, version).await? {
            Some(item) => self.0.bodies.open(access, key, &item).await.map(Some),
            None => Ok(None),
        }
    }

    async fn history(&self, access: &ReadAccess, request: &HistoryRequest) -> Result<HistoryPage> {
        match &request.scope {
            HistoryScope::Instance(key) => covers(access, key)?,
            HistoryScope::Type(resource_type) if !access.covers(*resource_type) => return Err(StorageError::Denied),
            HistoryScope::Type(_) | HistoryScope::Tenant => {}
        }
        self.0.admit(access.tenant()).await?;
        match &request.scope {
            HistoryScope::Instance(key) => self.0.instance_history(access, key, request).await,
            HistoryScope::Type(_) | HistoryScope::Tenant => self.0.log_history(access, request).await,
        }
    }

    async fn commit(&self, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
        if commit.changes.iter().any(|change| !access.allows(change.key.resource_type)) {
            return Err(StorageError::Denied);
        }
        self.0.admit(access.tenant()).await?;
        let span = tracing::debug_span!("dynamodb.commit", tenant = %access.tenant(), changes = commit.changes.len());
        let (core, access) = (self.0.clone(), access.clone());
        // A task of its own: a caller that goes away must not leave locks behind until their deadline.
        let task = tokio::spawn(async move { commit::commit(&core, &access, commit).await }.instrument(span));
        task.await.map_err(|_| StorageError::Unavailable("a commit ended early".into()))?
    }
}

#[async_trait]
impl ExactLookup for DynamoStore {
    async fn lookup(&self, access: &ReadAccess, search: &TypeSearch) -> Result<Option<Vec<ResourceKey>>> {
        if !access.covers(search.resource_type) {
            return Err(StorageError::Denied);
        }
        self.0.admit(access.tenant()).await?;
        conditional::lookup(&self.0, access, search).await
    }
}
