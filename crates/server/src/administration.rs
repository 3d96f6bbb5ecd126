//! What operators do to tenants, and how one is forgotten.
//!
//! Forgetting: the tenant is closed; once no node lets anyone in, its keys are destroyed, and with them all that was sealed; then
//! every part of the deployment removes what it has, at once, and once more when the longest request that was under way is over,
//! and what it signed is no longer good, until nothing is found. A record stays. Each step can be done again, and it is the duty of one node at a time: every server
//! that sees a tenant that is being deleted is ready to go on with it.

mod orders;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use fhirpool_audit::AuditTrail;
use fhirpool_authz::{Principal, TenantAccess, TenantId, WriteAccess};
use fhirpool_interactions::{Clock, SystemClock};
use fhirpool_storage::tenants::{PurgeTenant, Refused, TenantDirectory, TenantRecord, TenantState, change_tenant_for, set_tenant_access};
use fhirpool_storage::{KeyRing, Result, StorageError};
use tokio::task::AbortHandle;

use crate::duties::Duties;

/// How long after its closing a tenant is still worked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settling {
    /// So long a node may still let someone in.
    pub admitted: Duration,
    /// So long, besides, a request may take that was let in.
    pub under_way: Duration,
    /// So long, besides, content may come straight to where it is kept, by a URL that such a request gave out.
    pub uploads: Duration,
}

/// What operators do to tenants.
pub(crate) struct Administration {
    directory: Arc<TenantDirectory>,
    keys: Arc<dyn KeyRing>,
    parts: Vec<Arc<dyn PurgeTenant>>,
    settling: Settling,
    duties: Arc<Duties>,
    /// Where it is noted what operators do; nothing where accesses are not noted.
    audit: OnceLock<AuditTrail>,
    /// What this process removes in the background, or would if the node that does it were lost.
    removing: Mutex<HashMap<TenantId, AbortHandle>>,
}

/// Pauses between attempts to remove a tenant grow by this, up to the other.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(5);
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Rounds of removing after the last request and upload are over: the first finds what that left, the next nothing.
const ROUNDS_MAX: usize = 8;

impl Administration {
    /// `parts` are all that keep something of tenants.
    pub(crate) fn new(
        directory: Arc<TenantDirectory>,
        keys: Arc<dyn KeyRing>,
        parts: Vec<Arc<dyn PurgeTenant>>,
        settling: Settling,
        duties: Arc<Duties>,
    ) -> Arc<Self> {
        Arc::new(Self { directory, keys, parts, settling, duties, audit: OnceLock::new(), removing: Mutex::default() })
    }

    /// Notes what operators do from now on; once.
    pub(crate) fn set_audit(&self, trail: AuditTrail) {
        if self.audit.set(trail).is_err() {
            tracing::error!("what operators do is noted in another log already");
        }
    }

    /// What this process does alone, or in turns with others.
    pub(crate) fn duties(&self) -> &Arc<Duties> {
        &self.duties
    }

    /// Makes a tenant; `None`: its id was given before.
    pub(crate) async fn create(&self, record: TenantRecord) -> Result<Option<TenantRecord>> {
        let created = self.directory.registry().create(&record).await?;
        self.directory.refresh().await?;
        Ok(created.then_some(record))
    }

    /// Every tenant that there is or was, by id.
    pub(crate) async fn list(&self) -> Result<Vec<TenantRecord>> {
        self.directory.registry().list().await
    }

    /// One of them.
    pub(crate) async fn show(&self, tenant: &TenantId) -> Result<Option<TenantRecord>> {
        self.directory.registry().read(tenant).await
    }

    /// Changes a tenant's state, for someone (`issuer|subject`) or by itself; here at once, on other nodes within seconds.
    async fn change(
        &self,
        tenant: &TenantId,
        to: TenantState,
        by: Option<&str>,
    ) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
        let changed = change_tenant_for(&**self.directory.registry(), tenant, to, SystemClock.now(), by).await?;
        self.directory.refresh().await?;
        Ok(changed)
    }

    /// Gives a tenant roles, quotas and issuers of its own, or takes them away, for someone (`issuer|subject`).
    async fn set_access(
        &self,
        tenant: &TenantId,
        access: Option<&TenantAccess>,
        by: &str,
    ) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
        let changed = set_tenant_access(&**self.directory.registry(), tenant, access, Some(by)).await?;
        self.directory.refresh().await?;
        Ok(changed)
    }

    /// Sees to it, in the background, that a tenant that is being deleted is removed: by this node or by another.
    pub(crate) fn begin_removal(self: &Arc<Self>, tenant: &TenantId) {
        let mut removing = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        if removing.contains_key(tenant) {
            return;
        }
        let (this, of_task) = (Arc::clone(self), tenant.clone());
        let task = tokio::spawn(async move {
            this.see_removed(&of_task).await;
            this.removing.lock().unwrap_or_else(PoisonError::into_inner).remove(&of_task);
        });
        removing.insert(tenant.clone(), task.abort_handle());
    }

    /// Gives up what is done in the background: another node goes on with it, or this one when it is started again.
    pub(crate) fn stop(&self) {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner).drain().for_each(|(_, task)| task.abort());
    }

    /// Ends when the tenant is deleted.
    async fn see_removed(&self, tenant: &TenantId) {
        let mut pause = Duration::ZERO;
        loop {
            match self.take_part(tenant).await {
                Ok(record) => {
                    tracing::info!(%tenant, removed = ?record.removed, "a tenant is deleted");
                    return;
                }
                Err(error) => {
                    pause = (pause + ATTEMPT_PAUSE).min(ATTEMPT_PAUSE_MAX);
                    tracing::warn!(%tenant, %error, ?pause, "a tenant could not be removed yet");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Removes a tenant, or waits while another node does; ends when it is deleted.
    async fn take_part(&self, tenant: &TenantId) -> Result<TenantRecord> {
        loop {
            if let Some(removed) = self.duties.perform(&format!("remove {tenant}"), self.remove(tenant)).await? {
                return removed;
            }
            tokio::time::sleep(self.duties.look_pause()).await;
            match self.show(tenant).await?.ok_or(StorageError::UnknownTenant)? {
                deleted if deleted.state == TenantState::Deleted => return Ok(deleted),
                _ => {}
            }
        }
    }

    /// Removes a tenant that is being deleted, and ends when it is deleted.
    ///
    /// # Errors
    /// A part does not answer; called again, it goes on.
    async fn remove(&self, tenant: &TenantId) -> Result<TenantRecord> {
        let record = self.show(tenant).await?.ok_or(StorageError::UnknownTenant)?;
        match record.state {
            TenantState::Deleted => return Ok(record),
            TenantState::Deleting => {}
            TenantState::Active | TenantState::Suspended => return Err(StorageError::Denied),
        }
        let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)?;
        sleep_until(&record, self.settling.admitted).await;
        self.keys.destroy(tenant).await?;
        // Every node sees that the record has changed, and drops what it has kept of the keys since the tenant was closed.
        self.note(tenant, &[]).await?;
        self.purge(&access).await?;
        let Settling { admitted, under_way, uploads } = self.settling;
        sleep_until(&record, admitted + under_way + uploads).await;
        for _ in 0..ROUNDS_MAX {
            if self.purge(&access).await? == 0 {
                let deleted = self.change(tenant, TenantState::Deleted, None).await?.ok_or(StorageError::UnknownTenant)?;
                return deleted.map_err(|refused| StorageError::Damaged(refused.to_string()));
            }
        }
        Err(StorageError::Busy)
    }

    /// Has every part remove what it has, notes how much that was, and gives the sum.
    async fn purge(&self, access: &WriteAccess) -> Result<u64> {
        let mut removed = Vec::new();
        for part in &self.parts {
            removed.extend(part.purge(access).await?.into_iter().filter(|(_, count)| *count > 0));
        }
        if !removed.is_empty() {
            self.note(access.tenant(), &removed).await?;
        }
        Ok(removed.iter().map(|(_, count)| count).sum())
    }

    /// Adds to what was removed of a tenant.
    async fn note(&self, tenant: &TenantId, removed: &[(&'static str, u64)]) -> Result<()> {
        let registry = self.directory.registry();
        loop {
            let mut record = registry.read(tenant).await?.ok_or(StorageError::UnknownTenant)?;
            for (what, count) in removed {
                *record.removed.entry((*what).to_owned()).or_default() += count;
            }
            record.revision += 1;
            if registry.replace(&record).await? {
                return Ok(());
            }
        }
    }
}

/// Waits until so long after the tenant was closed, by this machine's clock; at most so long from now on.
async fn sleep_until(closed: &TenantRecord, after: Duration) {
    let since = closed.changed_at.map_or(0, |closed_at| SystemClock.now().0.saturating_sub(closed_at.0));
    tokio::time::sleep(after.saturating_sub(Duration::from_millis(u64::try_from(since).unwrap_or(0)))).await;
}

#[cfg(test)]
mod tests;
