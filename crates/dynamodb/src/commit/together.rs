//! A transaction: everything is staged, then one record commits all of it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{Result, StorageError, TenantKey};
use futures_util::future::BoxFuture;

use super::alone::{VERSION_WRITE, in_place};
use super::claims::{Claim, take};
use super::{Attempt, Patience, Prepared, Write, assumptions};
use crate::bodies::VersionName;
use crate::client::{Table, Written};
use crate::concurrent::each;
use crate::conditional::{Staged, put_lookups};
use crate::faults::Step;
use crate::item::{Manifest, ManifestEntry, Outcome, Standing, TransactionId, VersionItem};
use crate::store::Core;
use crate::sweep;
use crate::transaction::Undecided;

/// Who carries a transaction out. Past its deadline, by this process's own clock, it neither stages nor commits.
pub(super) struct Coordinator {
    transaction: TransactionId,
    /// Microseconds since 1970: from then on others may end it.
    deadline: i64,
    until: Instant,
    claims: BTreeSet<Claim>,
    claimed: bool,
}

/// Why staging stopped.
enum Stop {
    /// Something else is in a version's place: a transaction, where one is.
    Met(Option<Undecided>),
    /// The assumptions keep it from going on.
    Assumed(Attempt),
    /// There is no time left.
    Late,
    /// The store failed.
    Failed(StorageError),
}

impl Coordinator {
    pub(super) fn new(core: &Core, entries: usize) -> Self {
        let settings = &core.settings;
        let longer_ms = settings.transaction_entry_ms.saturating_mul(entries as u64);
        let lasts_ms = settings.transaction_ms.saturating_add(longer_ms).min(settings.transaction_ms_max);
        // The process's clock is asked first: it ends earlier than others think.
        let until = Instant::now() + Duration::from_millis(lasts_ms);
        let deadline = core.node.now_us().saturating_add(i64::try_from(lasts_ms).unwrap_or(i64::MAX).saturating_mul(1_000));
        Self { transaction: TransactionId::random(), deadline, until, claims: BTreeSet::new(), claimed: false }
    }

    /// Takes all claims that it does not hold yet, in their order; who holds the first that is not free.
    pub(super) async fn claim(&mut self, core: &Core, access: &WriteAccess, claims: &[Claim]) -> Result<Option<Undecided>> {
        for claim in claims {
            if self.claims.contains(claim) {
                continue;
            }
            core.faults.at(Step::BeforeClaim).await;
            core.refuse_closed(access.tenant()).await?;
            // Also where an error leaves it open whether it was taken.
            self.claimed = true;
            if let Some(by) = take(core, access, claim, self.transaction, self.deadline).await? {
                return Ok(Some(by));
            }
            self.claims.insert(claim.clone());
            core.faults.at(Step::AfterClaim).await;
        }
        Ok(None)
    }

    /// Gives back what was claimed for nothing.
    pub(super) async fn release(self, core: &Core, access: &WriteAccess) {
        if self.claimed {
            self.abort(core, access).await;
        }
    }

    /// Stages and commits; `None`: it is committed.
    pub(super) async fn carry_out(
        self,
        core: &Core,
        access: &WriteAccess,
        prepared: &Prepared,
        writes: &[Write],
        last_updated: Timestamp,
        in_order: bool,
    ) -> Result<Option<Attempt>> {
        let manifest = self.manifest(core, prepared, writes);
        core.faults.at(Step::BeforeManifest).await;
        if let Err(error) = self.announce(core, access, &manifest).await {
            self.release(core, access).await;
            return Err(error);
        }
        core.faults.at(Step::AfterManifest).await;
        let tenant_key = match core.bodies.sealing_key(access.tenant()).await {
            Ok(tenant_key) => tenant_key,
            Err(error) => {
                self.release(core, access).await;
                return Err(error);
            }
        };
        let staging = Staging {
            core,
            access,
            prepared,
            coordinator: &self,
            tenant_key: &tenant_key,
            last_updated,
            stopped: AtomicBool::new(false),
            stop: Mutex::new(None),
        };
        staging.run(writes, in_order).await;
        let stop = staging.stop.into_inner().unwrap_or_else(PoisonError::into_inner);
        let committed = match stop {
            None => match self.assume_again(core, access, prepared, writes).await {
                Ok(()) => self.commit(core, access, last_updated).await,
                Err(stop) => Err(stop),
            },
            Some(stop) => Err(stop),
        };
        let Err(stop) = committed else { return Ok(None) };
        match self.abort(core, access).await {
            // The record had been written after all.
            Some(Outcome::Committed { .. }) => return Ok(None),
            Some(Outcome::Aborted) => {
                // Whatever is left here the sweeper removes.
                let removed = sweep::remove(core, access, self.transaction, &manifest.entries).await;
                tracing::debug!(removed = removed.is_ok(), "a transaction was ended by its coordinator");
            }
            // It may be committed: nothing of it may be touched.
            None => {}
        }
        match stop {
            Stop::Met(by) => {
                metrics::counter!("fhirpool_dynamodb_conflicts_total", "with" => "version").increment(1);
                Ok(Some(by.map_or(Attempt::Overtaken, Attempt::Blocked)))
            }
            Stop::Assumed(attempt) => {
                metrics::counter!("fhirpool_dynamodb_conflicts_total", "with" => "criteria").increment(1);
                Ok(Some(attempt))
            }
            Stop::Late => Err(StorageError::Unavailable("a transaction outlived its deadline".into())),
            Stop::Failed(error) => Err(error),
        }
    }

    /// Holds the assumptions once more, now that whoever comes can see what is staged: of two whose changes meet each other's
    /// criteria, under whatever claims, one sees the other. The lower one waits for the other's end, the other gives way at once, so
    /// that nobody waits in a circle and one of them goes on.
    async fn assume_again(
        &self,
        core: &Core,
        access: &WriteAccess,
        prepared: &Prepared,
        writes: &[Write],
    ) -> std::result::Result<(), Stop> {
        if prepared.assumptions.is_empty() {
            return Ok(());
        }
        let created = writes.iter().filter(|write| !write.exists).map(|write| &prepared.changes[write.change].key);
        let own = Staged { transaction: self.transaction, created: created.collect() };
        let mut patience = Patience::default();
        loop {
            let by = match assumptions(core, access, prepared, Some(&own)).await.map_err(Stop::Failed)? {
                None => return Ok(()),
                Some(Attempt::Blocked(by)) if self.transaction < by.transaction => by,
                Some(attempt) => return Err(Stop::Assumed(attempt)),
            };
            if self.is_late() || !patience.wait_for(core, access, by).await.map_err(Stop::Failed)? {
                return Err(Stop::Assumed(Attempt::Blocked(by)));
            }
        }
    }

    async fn announce(&self, core: &Core, access: &WriteAccess, manifest: &Manifest) -> Result<()> {
        core.refuse_closed(access.tenant()).await?;
        core.transactions.announce(access, self.transaction, manifest, core.node.now_us()).await
    }

    fn manifest(&self, core: &Core, prepared: &Prepared, writes: &[Write]) -> Manifest {
        let entry = |write: &Write| {
            let change = &prepared.changes[write.change];
            ManifestEntry { key: change.key.clone(), version: write.version, large: !core.bodies.fits(&change.compressed) }
        };
        Manifest { deadline: self.deadline, entries: writes.iter().map(entry).collect() }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Refuses to write anything more once it is late, or its tenant is being deleted.
    async fn go_on(&self, core: &Core, access: &WriteAccess) -> std::result::Result<(), Stop> {
        if self.is_late() {
            return Err(Stop::Late);
        }
        core.refuse_closed(access.tenant()).await.map_err(Stop::Failed)
    }

    /// Writes the record.
    async fn commit(&self, core: &Core, access: &WriteAccess, last_updated: Timestamp) -> std::result::Result<(), Stop> {
        core.faults.at(Step::BeforeRecord).await;
        self.go_on(core, access).await?;
        let now_us = core.node.now_us();
        let record = Outcome::Committed { at: now_us, last_updated, writer: core.node.writer() };
        let decided = core.transactions.decide(access, self.transaction, record, now_us).await.map_err(Stop::Failed)?;
        core.faults.at(Step::AfterRecord).await;
        // Only this coordinator commits it: a record that says so is its own, though the answer was lost.
        if matches!(decided, Outcome::Committed { .. }) { Ok(()) } else { Err(Stop::Late) }
    }

    /// Ends the transaction; what became of it, where that can be told.
    async fn abort(&self, core: &Core, access: &WriteAccess) -> Option<Outcome> {
        core.faults.at(Step::BeforeAbort).await;
        if core.refuse_closed(access.tenant()).await.is_err() {
            // All of it is removed with the tenant, or ends by its deadline where nobody can tell.
            return None;
        }
        let decided = core.transactions.decide(access, self.transaction, Outcome::Aborted, core.node.now_us()).await;
        core.faults.at(Step::AfterAbort).await;
        match decided {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                tracing::warn!(%error, "a transaction is left to its deadline");
                None
            }
        }
    }
}

/// One transaction's versions on their way.
struct Staging<'a> {
    core: &'a Core,
    access: &'a WriteAccess,
    prepared: &'a Prepared,
    coordinator: &'a Coordinator,
    tenant_key: &'a TenantKey,
    last_updated: Timestamp,
    /// No further one is begun; those under way are waited for.
    stopped: AtomicBool,
    /// The first reason.
    stop: Mutex<Option<Stop>>,
}

impl Staging<'_> {
    /// Resources that exist come first, by key: of transactions that met, and go by the order from then on, one gets all.
    async fn run(&self, writes: &[Write], in_order: bool) {
        let mut existing: Vec<(usize, &Write)> = writes.iter().enumerate().filter(|(_, write)| write.exists).collect();
        existing.sort_unstable_by_key(|(_, write)| &self.prepared.changes[write.change].partition);
        let concurrency = self.core.settings.concurrency;
        let at_once = if in_order { 1 } else { concurrency };
        let stage = |(index, write)| -> BoxFuture<'_, Result<()>> {
            Box::pin(async move {
                self.stage(index, write).await;
                Ok(())
            })
        };
        let new = writes.iter().enumerate().filter(|(_, write)| !write.exists);
        for result in [each(at_once, existing.into_iter(), stage).await, each(concurrency, new, stage).await] {
            result.expect("staging tells its failure by stopping");
        }
    }

    async fn stage(&self, index: usize, write: &Write) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        if let Err(stop) = self.try_stage(index, write).await {
            self.stopped.store(true, Ordering::Relaxed);
            self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
        }
    }

    async fn try_stage(&self, index: usize, write: &Write) -> std::result::Result<(), Stop> {
        let Self { core, access, coordinator, .. } = *self;
        let change = &self.prepared.changes[write.change];
        let transaction = coordinator.transaction;
        coordinator.go_on(core, access).await?;
        put_lookups(core, access, &change.key, &write.lookups).await.map_err(Stop::Failed)?;
        let name = VersionName { key: &change.key, version: write.version, transaction: Some(transaction) };
        let sealed = core.bodies.seal(self.tenant_key, access, &name, &change.compressed, self.last_updated);
        let value = core.bodies.place(access, transaction, index, sealed).await.map_err(Stop::Failed)?;
        core.faults.at(Step::BeforeIntent).await;
        // Bytes that were placed may have taken their time.
        coordinator.go_on(core, access).await?;
        let version = VersionItem {
            version: write.version,
            last_updated: self.last_updated,
            deleted: change.deletes,
            standing: Standing::Intent { transaction, deadline: coordinator.deadline },
            value,
        };
        let item = version.write(&change.partition);
        let written = core.client.put(VERSION_WRITE, Table::Data, &item, &in_place(write.replaces)).await.map_err(Stop::Failed)?;
        core.faults.at(Step::AfterIntent).await;
        let there = match written {
            Written::Done(_) => return Ok(()),
            Written::Refused(there) => there.map(VersionItem::read).transpose().map_err(Stop::Failed)?,
        };
        match there.map(|there| there.standing) {
            // An answer that was lost: it is staged.
            Some(Standing::Intent { transaction: other, .. }) if other == transaction => Ok(()),
            Some(Standing::Intent { transaction, deadline }) => Err(Stop::Met(Some(Undecided { transaction, deadline }))),
            Some(Standing::Alone { .. }) | None => Err(Stop::Met(None)),
        }
    }
}
