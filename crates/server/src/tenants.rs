//! What keeps a node's knowledge of the tenants fresh.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::TenantId;
use fhirpool_storage::tenants::TenantDirectory;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// One look takes no longer: what a node knows is to be fresh again well before it is too old to be used.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// Reads the registry again and again, until the task is aborted, and names each time the tenants that are being deleted.
pub(crate) fn watch(directory: &Arc<TenantDirectory>, every: Duration, on_deleting: impl Fn(&TenantId) + Send + 'static) -> JoinHandle<()> {
    let directory = Arc::clone(directory);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_read = true;
        loop {
            ticks.tick().await;
            let failure = match tokio::time::timeout(LOOK_TIME_MAX, directory.refresh()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it takes too long".to_owned()),
            };
            if is_read != failure.is_none() {
                is_read = failure.is_none();
                tracing::warn!(is_read, failure, "how the registry of tenants answers has changed");
            }
            directory.deleting().iter().for_each(&on_deleting);
        }
    })
}
