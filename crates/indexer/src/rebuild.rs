//! Building the index anew while it is written and searched.
//!
//! Every version goes to the new index on one of two ways: what is taken from the stream after the beginning is written to both
//! indices; what was taken before stands in the change log by the time the watermark has passed the beginning, and is read from
//! the store as it is then. Neither can turn back the other, since an index keeps the later version.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{ChangeFeed, ChangeLog, DeadLetters, IndexRebuild, IndexWriter, Result, StorageError};
use tokio::time::Instant;

use crate::apply::{Applier, Destination, Pending, all_of};
use crate::redrive::operator;
use crate::{Clock, Extraction, IndexerSettings, Watermarks};

/// What a rebuild works with.
#[derive(Clone)]
pub struct RebuildPorts {
    /// Makes the new index.
    pub rebuild: Arc<dyn IndexRebuild>,
    /// The index that answers meanwhile.
    pub writer: Arc<dyn IndexWriter>,
    /// What the store holds now.
    pub feed: Arc<dyn ChangeFeed>,
    /// Which resources there are.
    pub log: Arc<dyn ChangeLog>,
    /// Where versions go that the new index refuses.
    pub letters: Arc<dyn DeadLetters>,
    /// Makes index entries.
    pub extraction: Extraction,
    /// Where the indexers are; at least one must be running.
    pub watermarks: Arc<Watermarks>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// All tenants.
    pub tenants: Vec<TenantId>,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Resources read from the store, tombstones among them.
    pub read: usize,
    /// Resources in the old index at the end, tombstones aside.
    pub old: u64,
    /// Resources in the new one.
    pub new: u64,
}

/// For so long at most, the rebuild waits for the indexers.
const PATIENCE: Duration = Duration::from_secs(60);
/// The two indices are written one after the other: they are compared so often before the new one counts as short.
const COMPARISONS_MAX: usize = 10;

/// Builds a new index, compares it with the old one and puts it in its place. Where that fails everything stays as it was.
pub async fn rebuild(ports: &RebuildPorts, settings: &IndexerSettings) -> Result<Rebuilt> {
    ports.rebuild.begin().await?;
    let built = match build(ports, settings).await {
        Ok(built) => ports.rebuild.swap().await.map(|()| built),
        Err(error) => Err(error),
    };
    if built.is_err() {
        ports.rebuild.abort().await?;
    }
    built
}

async fn build(ports: &RebuildPorts, settings: &IndexerSettings) -> Result<Rebuilt> {
    let applier = Applier::new(ports.writer.clone(), ports.log.clone(), ports.letters.clone(), ports.extraction.clone(), settings);
    catch_up(ports).await?;
    let mut rebuilt = Rebuilt::default();
    let accesses = ports.tenants.iter().map(operator).collect::<Result<Vec<WriteAccess>>>()?;
    for access in &accesses {
        match backfill_tenant(ports, &applier, access, &mut rebuilt.read).await {
            // Deleted meanwhile: what is in either index is removed by whoever deletes it; so below.
            Err(StorageError::UnknownTenant) => tracing::info!(tenant = %access.tenant(), "the tenant is gone"),
            filled => filled?,
        }
    }
    for access in &accesses {
        match compare(ports, access).await {
            Err(StorageError::UnknownTenant) => {}
            counts => {
                let (old, new) = counts?;
                (rebuilt.old, rebuilt.new) = (rebuilt.old + old, rebuilt.new + new);
            }
        }
    }
    Ok(rebuilt)
}

/// Takes all resources of a tenant to the new index; counts them.
async fn backfill_tenant(ports: &RebuildPorts, applier: &Applier, access: &WriteAccess, read: &mut usize) -> Result<()> {
    let mut after = None;
    loop {
        let (keys, next) = ports.log.resources(access, after.as_deref()).await?;
        *read += keys.len();
        let chunks = keys.chunks(applier.documents_max).map(|keys| backfill(ports, applier, access, keys));
        all_of(chunks.collect(), applier.calls_max).await?;
        tracing::info!(tenant = %access.tenant(), read, "rebuilding the index");
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

async fn backfill(ports: &RebuildPorts, applier: &Applier, access: &WriteAccess, keys: &[ResourceKey]) -> Result<()> {
    let newest = ports.feed.newest(access, keys).await?;
    let found = keys.iter().zip(newest).filter_map(|(key, stored)| Some((key, stored?)));
    let pending = found.map(|(key, stored)| Pending { access: access.clone(), key: key.clone(), stored });
    applier.index_chunk(pending.collect(), Destination::Rebuilt(&*ports.rebuild)).await
}

/// Waits until the indexers have passed this moment.
async fn catch_up(ports: &RebuildPorts) -> Result<()> {
    if ports.watermarks.wait_until(ports.clock.now(), Instant::now() + PATIENCE).await {
        return Ok(());
    }
    Err(StorageError::Unavailable("no indexer follows the stream, or it is far behind: the index cannot be rebuilt now".into()))
}

/// The counts of a tenant once the new index has caught up with the old one; an error if it does not, or the tenant is closed.
async fn compare(ports: &RebuildPorts, access: &WriteAccess) -> Result<(u64, u64)> {
    let mut counts = (0, 0);
    for _ in 0..COMPARISONS_MAX {
        catch_up(ports).await?;
        // Of one that is being deleted the two may hold whatever they do.
        ports.feed.newest(access, &[]).await?;
        counts = ports.rebuild.counts(access).await?;
        let (old, new) = counts;
        if new >= old {
            return Ok(counts);
        }
    }
    let (old, new) = counts;
    Err(StorageError::Damaged(format!("the new index holds {new} resources of tenant {} where the old one holds {old}", access.tenant())))
}
