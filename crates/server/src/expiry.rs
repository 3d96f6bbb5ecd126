//! Keeps logs of accesses no longer than is wanted.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_fhir::Timestamp;
use fhirpool_interactions::{Clock, SystemClock};
use fhirpool_storage::tenants::TenantDirectory;
use fhirpool_storage::{AuditLog, KeyRing, StorageError};
use tokio::task::JoinHandle;

use crate::duties::Duties;

/// A log loses whole hours.
const LOOK_PAUSE: Duration = Duration::from_secs(3_600);
const MS_PER_DAY: i64 = 86_400_000;

/// What expiry works with.
pub(crate) struct Ports {
    pub tenants: Arc<TenantDirectory>,
    pub log: Arc<dyn AuditLog>,
    pub keys: Arc<dyn KeyRing>,
    /// One node does it for all.
    pub duties: Arc<Duties>,
}

/// Removes what is older than so many days, at once and every hour, until the task is aborted. 0: nothing ever.
///
/// Where another node is at it, this one looks again as soon as that one may be lost: what it left would wait for an hour.
pub(crate) fn watch(ports: Ports, days: u64) -> Option<JoinHandle<()>> {
    let kept_ms = i64::try_from(days).ok().filter(|days| *days > 0)?.saturating_mul(MS_PER_DAY);
    Some(tokio::spawn(async move {
        loop {
            let until = Timestamp(SystemClock.now().0.saturating_sub(kept_ms));
            let mut pause = LOOK_PAUSE;
            match ports.duties.perform("expire audit logs", ports.expire_all(until)).await {
                Ok(Some(Ok(0))) => {}
                Ok(None) => pause = ports.duties.lost_after(),
                Ok(Some(Ok(blocks))) => tracing::info!(blocks, days, "blocks of logs of accesses have expired"),
                Ok(Some(Err(error))) | Err(error) => tracing::warn!(%error, "logs of accesses could not be looked at for what has expired"),
            }
            tokio::time::sleep(pause).await;
        }
    }))
}

impl Ports {
    /// How many blocks were removed; a log that cannot be read now is left for the next time.
    async fn expire_all(&self, until: Timestamp) -> Result<u64, StorageError> {
        let records = self.tenants.registry().list().await?;
        let mut removed = 0;
        for tenant in records.into_iter().filter(|record| record.state.is_kept()).map(|record| record.id) {
            match fhirpool_audit::expire(&*self.log, &*self.keys, &tenant, until).await {
                Ok(blocks) => removed += blocks,
                // It was closed meanwhile.
                Err(StorageError::UnknownTenant) => {}
                Err(error) => tracing::warn!(%tenant, %error, "what has expired of a log of accesses could not be removed yet"),
            }
        }
        Ok(removed)
    }
}
