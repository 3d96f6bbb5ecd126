//! The registry of tenants, and their removal. Both are jobs of the committer: what is committed behind a tenant's closing
//! in its queue is refused, so that nothing of it comes after the closing was acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_storage::tenants::{PurgeTenant, TenantRecord, TenantRegistry, TenantState, register_tenant};
use fhirpool_storage::{Result, StorageError};
use tokio::sync::oneshot;

use crate::EmbeddedStore;
use crate::committer::{Job, Open};
use crate::database::{Database, Space, storage_error};
use crate::keys::{CounterKey, stored_bytes_key_of};
use crate::meta::{TENANTS_EPOCH_KEY, UNCOMPACTED_KEY, read_tenants_epoch, tenant_key, write_tenant};
use crate::shared::Shared;
use crate::store::in_background;

/// So many keys are removed at once: other tenants' commits pass between.
const PURGE_KEYS_MAX: usize = 10_000;

/// What a tenant has, by its number at the beginning of each key.
const OF_TENANTS: [Space; 6] = [Space::Resources, Space::Versions, Space::Postings, Space::Forward, Space::Feed, Space::Audit];

/// How many keys of each of [`OF_TENANTS`] were removed; all zero: nothing was left but counters, which went too.
pub(crate) type Purged = [u64; OF_TENANTS.len()];

impl EmbeddedStore {
    /// Makes a tenant known, if it is not yet.
    pub async fn register_tenant(&self, tenant: &TenantId) -> Result<TenantState> {
        register_tenant(self, tenant, (self.shared().now)()).await
    }

    /// The tenants whose resources are there, by id.
    pub fn tenants(&self) -> Vec<TenantId> {
        let all = self.shared().tenants.all().into_iter();
        all.filter(|(_, tenant)| tenant.record.state.is_kept()).map(|(id, _)| id).collect()
    }

    /// Whether a tenant is known, and its resources are there.
    pub fn has_tenant(&self, tenant: &TenantId) -> bool {
        self.shared().tenants.number(tenant).is_some()
    }

    async fn keep_tenant(&self, record: &TenantRecord) -> Result<bool> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Tenant(Box::new(record.clone()), reply), answer).await
    }
}

#[async_trait]
impl TenantRegistry for EmbeddedStore {
    async fn epoch(&self) -> Result<u64> {
        read_tenants_epoch(&self.shared().picture()?.snapshot)
    }

    async fn list(&self) -> Result<Vec<TenantRecord>> {
        Ok(self.shared().tenants.all().into_iter().map(|(_, tenant)| TenantRecord::clone(&tenant.record)).collect())
    }

    async fn read(&self, tenant: &TenantId) -> Result<Option<TenantRecord>> {
        Ok(self.shared().tenants.get(tenant).map(|tenant| TenantRecord::clone(&tenant.record)))
    }

    async fn create(&self, record: &TenantRecord) -> Result<bool> {
        match self.shared().tenants.get(&record.id) {
            Some(_) => Ok(false),
            None => self.keep_tenant(&TenantRecord { revision: 1, ..record.clone() }).await,
        }
    }

    async fn replace(&self, record: &TenantRecord) -> Result<bool> {
        match self.shared().tenants.get(&record.id) {
            Some(_) => self.keep_tenant(record).await,
            None => Ok(false),
        }
    }
}

#[async_trait]
impl PurgeTenant for EmbeddedStore {
    /// Ends with a compaction, behind which nothing of the tenant is in the files.
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        let mut removed: Purged = Default::default();
        loop {
            let (reply, answer) = oneshot::channel();
            let some = self.ask(Job::Purge(access.tenant().clone(), reply), answer).await?;
            if some.iter().all(|count| *count == 0) {
                break;
            }
            removed.iter_mut().zip(some).for_each(|(all, some)| *all += some);
        }
        let database = self.lend().await?;
        in_background(move || compact(&database)).await?;
        Ok(OF_TENANTS.iter().zip(removed).map(|(space, count)| (space.name(), count)).collect())
    }
}

/// Clears the files of what was removed, unless that was done before.
fn compact(database: &Database) -> Result<()> {
    if database.snapshot().get(Space::Meta, UNCOMPACTED_KEY)?.is_none() {
        return Ok(());
    }
    database.compact_with_journal()?;
    let mut batch = database.batch(1);
    batch.remove(Space::Meta, UNCOMPACTED_KEY);
    batch.commit().map_err(storage_error)
}

/// A write to the database below, or why nothing was written.
type Written<T> = std::result::Result<T, StorageError>;

impl Open {
    pub(crate) fn keep_tenant(
        &mut self,
        shared: &Shared,
        record: TenantRecord,
        reply: oneshot::Sender<Result<bool>>,
    ) -> std::result::Result<(), fjall::Error> {
        let kept = shared.tenants.get(&record.id);
        let follows = kept.as_ref().map_or(1, |kept| kept.record.revision + 1) == record.revision;
        let epoch = self.tenants_epoch();
        let (true, Ok(epoch)) = (follows, &epoch) else {
            // Whoever does not wait any more does not care; so below.
            let _ = reply.send(epoch.map(|_| false));
            return Ok(());
        };
        let number = kept.map_or_else(|| shared.tenants.next_number(), |kept| kept.number);
        let mut batch = self.database.batch(2);
        batch.insert(Space::Meta, tenant_key(&record.id), write_tenant(number, &record));
        batch.insert(Space::Meta, TENANTS_EPOCH_KEY, (epoch + 1).to_be_bytes());
        let written = batch.commit();
        if written.is_ok() {
            shared.tenants.insert(number, Arc::new(record));
            self.publish(shared);
        }
        let _ = reply.send(told(&written, true));
        written
    }

    fn tenants_epoch(&self) -> Written<u64> {
        read_tenants_epoch(&self.database.snapshot())
    }

    pub(crate) fn purge(
        &mut self,
        shared: &Shared,
        tenant: &TenantId,
        reply: oneshot::Sender<Result<Purged>>,
    ) -> std::result::Result<(), fjall::Error> {
        let (batch, removed) = match self.to_purge(shared, tenant) {
            Ok((batch, _)) if batch.len() == 0 => {
                let _ = reply.send(Ok(Purged::default()));
                return Ok(());
            }
            Ok(found) => found,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        let written = self.database.wait_for_room().and_then(|()| batch.commit());
        if written.is_ok() {
            self.publish(shared);
        }
        let _ = reply.send(told(&written, removed));
        written
    }

    /// The next keys of a tenant that is being deleted; its counters come with the first of them.
    fn to_purge(&self, shared: &Shared, tenant: &TenantId) -> Written<(crate::database::Batch, Purged)> {
        let found = shared.tenants.get(tenant).ok_or(StorageError::UnknownTenant)?;
        if found.record.state.is_kept() {
            return Err(StorageError::Denied);
        }
        let snapshot = self.database.snapshot();
        let prefix = found.number.0.to_be_bytes();
        let (mut batch, mut removed) = (self.database.batch(PURGE_KEYS_MAX), Purged::default());
        for item in snapshot.prefix(Space::Meta, &[&[CounterKey::PREFIX], &prefix[..]].concat()) {
            let (key, _) = item?;
            if CounterKey::parse(&key).is_some() {
                batch.remove(Space::Meta, key);
            }
        }
        let stored_bytes = stored_bytes_key_of(found.number);
        if snapshot.get(Space::Meta, &stored_bytes)?.is_some() {
            batch.remove(Space::Meta, stored_bytes);
        }
        for (space, removed) in OF_TENANTS.into_iter().zip(&mut removed) {
            let room = PURGE_KEYS_MAX.saturating_sub(batch.len());
            for item in snapshot.prefix(space, &prefix).take(room) {
                batch.remove(space, item?.0);
                *removed += 1;
            }
        }
        if batch.len() > 0 {
            batch.insert(Space::Meta, UNCOMPACTED_KEY, *b"");
        }
        Ok((batch, removed))
    }
}

fn told<T>(written: &std::result::Result<(), fjall::Error>, value: T) -> Result<T> {
    match written {
        Ok(()) => Ok(value),
        Err(error) => Err(StorageError::Unavailable(error.to_string())),
    }
}
