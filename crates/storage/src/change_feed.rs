//! The ports between a store's change stream and those who follow it.
//!
//! A stream is cut into shards, each in order; a shard that was split has children, which are read after it. Followers share the
//! shards by leases. Times are microseconds since 1970 by the clocks of the nodes.

use async_trait::async_trait;
use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};

use crate::{Method, Result, StoredVersion};

/// A shard's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub String);

/// A place in a shard; opaque to all but the feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedPosition(pub String);

/// A shard of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shard that it continues, where there is one.
    pub parent: Option<ShardId>,
    /// Whether nothing will be added to it.
    pub closed: bool,
}

/// A committed version, as the feed tells it.
#[derive(Debug, Clone)]
pub struct FeedVersion {
    /// The resource.
    pub key: ResourceKey,
    /// The version.
    pub stored: StoredVersion,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum FeedChange {
    /// Versions were committed together, of one tenant.
    Committed {
        /// An operator's, of the tenant.
        access: WriteAccess,
        /// At least one.
        versions: Vec<FeedVersion>,
        /// The transaction that made them, as [`FeedChange::Begun`] names it, where one was begun: it needs no looking after any more.
        transaction: Option<String>,
    },
    /// A transaction was begun that must be looked after once its deadline has passed.
    Begun {
        /// An operator's, of the tenant.
        access: WriteAccess,
        /// The transaction, as the store names it.
        transaction: String,
        /// Microseconds since 1970.
        deadline: i64,
    },
    /// A record that cannot be read; what it was of, and why, for the dead letter. Holds no patient data.
    Unreadable {
        /// The tenant, where it can be told.
        tenant: Option<TenantId>,
        /// The key of the record.
        record: String,
        /// Why.
        cause: String,
    },
}

/// A change and its place.
#[derive(Debug, Clone)]
pub struct FeedRecord {
    /// Behind which reading continues.
    pub position: FeedPosition,
    /// When it was written, by the writer's clock; 0 where that is not known.
    pub written_at: i64,
    /// What happened.
    pub change: FeedChange,
}

/// What a poll gave.
#[derive(Debug, Clone, Default)]
pub struct FeedPage {
    /// In the order of the shard.
    pub records: Vec<FeedRecord>,
    /// Where the next poll continues, also where no record was of interest; `None`: as before.
    pub next: Option<FeedPosition>,
    /// Whether there was nothing behind `next` when the poll was answered.
    pub caught_up: bool,
    /// Whether the shard has ended with this page.
    pub ended: bool,
}

/// Reads a store's change stream.
///
/// Contract: every committed version is told at least once; those of one resource in their order; none that was not committed.
/// Of a tenant that is being deleted nothing is told any more, and what is asked of it is [`crate::StorageError::UnknownTenant`].
#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// All shards that may still be read.
    async fn shards(&self) -> Result<Vec<Shard>>;

    /// What comes behind a position; `None`: from the beginning of the shard (what is older than the stream keeps is gone).
    async fn poll(&self, shard: &ShardId, after: Option<&FeedPosition>) -> Result<FeedPage>;

    /// Ends a transaction whose deadline has passed and removes what it left. `true` once there is nothing left to do.
    async fn sweep(&self, access: &WriteAccess, transaction: &str) -> Result<bool>;

    /// The newest committed versions of resources, read strongly, in the order of the keys: what redrive and rebuilding index.
    async fn newest(&self, access: &WriteAccess, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>>;
}

/// A transaction that was begun and must be looked after once its deadline has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSweep {
    /// Whose.
    pub tenant: TenantId,
    /// The transaction, as the store names it.
    pub transaction: String,
    /// Microseconds since 1970.
    pub deadline: i64,
}

/// A follower's hold on a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Who holds it; empty: nobody.
    pub owner: String,
    /// Grows each time the owner changes or renews: a lease whose counter stands still has lost its owner.
    pub counter: u64,
    /// Up to where the shard was applied; `None`: nothing yet.
    pub checkpoint: Option<FeedPosition>,
    /// Everything written to the shard before this time is applied and findable.
    pub applied_until: i64,
    /// Whether the shard was read to its end.
    pub ended: bool,
    /// What the shard told of, up to the checkpoint, and still has to be swept; at most [`Lease::SWEEPS_MAX`].
    pub sweeps: Vec<PendingSweep>,
}

impl Lease {
    /// No lease carries more.
    pub const SWEEPS_MAX: usize = 500;
}

/// Keeps leases where all nodes see them.
///
/// Contract: [`Leases::put`] succeeds for one of racing callers.
#[async_trait]
pub trait Leases: Send + Sync {
    /// All leases, read strongly.
    async fn list(&self) -> Result<Vec<Lease>>;

    /// Replaces a lease whose counter is still `expected` (`None`: it does not exist yet). `false`: someone else was faster.
    async fn put(&self, lease: &Lease, expected: Option<u64>) -> Result<bool>;

    /// Forgets a lease whose shard is gone from the stream.
    async fn remove(&self, shard: &ShardId) -> Result<()>;
}

/// A line of the change log: enough to tell histories and to purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The resource.
    pub key: ResourceKey,
    /// The version.
    pub version: VersionId,
    /// When it was committed.
    pub last_updated: Timestamp,
    /// What made it.
    pub method: Method,
}

/// The log of a tenant's changes, which histories of types and tenants read.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// Appends a segment. The same segment twice (by shard and position) is one.
    async fn append(&self, access: &WriteAccess, shard: &ShardId, last: &FeedPosition, entries: &[LogEntry]) -> Result<()>;

    /// Every resource of a tenant that ever was, in no certain order, by pages: for rebuilding an index and for purges.
    async fn resources(&self, access: &WriteAccess, after: Option<&str>) -> Result<(Vec<ResourceKey>, Option<String>)>;
}

/// A change that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The tenant, where it can be told.
    pub tenant: Option<TenantId>,
    /// The resource, where it can be told.
    pub key: Option<ResourceKey>,
    /// The version, where it can be told.
    pub version: Option<VersionId>,
    /// The key of the record.
    pub record: String,
    /// Why; holds no patient data.
    pub cause: String,
}

/// Where dead letters wait.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Puts one; an error: it must be tried again, and the shard waits.
    async fn put(&self, letter: &DeadLetter) -> Result<()>;

    /// Takes some, each with a receipt; those not removed come again later.
    async fn take(&self, limit: usize) -> Result<Vec<(DeadLetter, String)>>;

    /// Removes one that was dealt with.
    async fn remove(&self, receipt: &str) -> Result<()>;
}

/// Where nodes note which clients have written, so that searches on any node know what to wait for.
#[async_trait]
pub trait WriteMarks: Send + Sync {
    /// Notes that this client may have writes acknowledged until this time (microseconds since 1970).
    async fn mark(&self, access: &WriteAccess, until: i64) -> Result<()>;

    /// Until when it may have; `None`: it has not written lately.
    async fn marked_until(&self, access: &fhirpool_authz::ReadAccess) -> Result<Option<i64>>;
}
