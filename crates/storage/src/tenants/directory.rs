//! What a node remembers of the registry, for a bounded time.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fhirpool_authz::{TenantAccess, TenantId};
use fhirpool_fhir::Timestamp;
use futures_util::lock::Mutex;

use super::{Refused, TenantRecord, TenantRegistry, TenantState};
use crate::{Result, StorageError};

/// How old a node's knowledge may be.
#[derive(Debug, Clone, Copy)]
pub struct DirectorySettings {
    /// Older knowledge is no ground to let anyone in.
    pub stale_after: Duration,
    /// Before a tenant is said to be unknown, the registry is looked at again if it was not for so long: a tenant that was just
    /// made through another node is met at once, and asking for tenants that are not there costs little.
    pub unknown_after: Duration,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self { stale_after: Duration::from_secs(5), unknown_after: Duration::from_millis(500) }
    }
}

/// How a tenant stands, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its record says so.
    Known(TenantState),
    /// There is no record, or none yet.
    Unknown,
    /// The registry could not be read for too long: nobody can say.
    Blind,
}

/// Called for each tenant whose state has changed, and with every change of any record for those that are being deleted: drops
/// what a node keeps of them.
pub type OnTenantChange = Box<dyn Fn(&TenantId, TenantState) + Send + Sync>;

/// Called for each tenant whose roles, quotas and issuers are seen to have changed, with those that its record has now, in JSON.
pub type OnAccessChange = Box<dyn Fn(&TenantId, Option<&str>) + Send + Sync>;

/// Tells what time it is, for how old knowledge is.
pub type DirectoryClock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The registry as a node last read it. Someone must call [`TenantDirectory::refresh`] again and again.
pub struct TenantDirectory {
    registry: Arc<dyn TenantRegistry>,
    settings: DirectorySettings,
    now: DirectoryClock,
    known: RwLock<Option<Known>>,
    /// Held by who looks, so that one does it for all, and changes are told in their order.
    looking: Mutex<()>,
    on_change: RwLock<Vec<OnTenantChange>>,
    on_access: OnceLock<OnAccessChange>,
}

struct Known {
    epoch: u64,
    access: HashMap<TenantId, String>,
    states: HashMap<TenantId, TenantState>,
    deleting: Vec<TenantId>,
    looked_at: Instant,
}

impl std::fmt::Debug for TenantDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantDirectory").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl TenantDirectory {
    /// Of a registry that was not read yet.
    pub fn new(registry: Arc<dyn TenantRegistry>, settings: DirectorySettings) -> Self {
        Self::with_clock(registry, settings, Box::new(Instant::now))
    }

    /// The same, by this clock.
    pub fn with_clock(registry: Arc<dyn TenantRegistry>, settings: DirectorySettings, now: DirectoryClock) -> Self {
        Self {
            registry,
            settings,
            now,
            known: RwLock::default(),
            looking: Mutex::new(()),
            on_change: RwLock::default(),
            on_access: OnceLock::new(),
        }
    }

    /// The registry itself.
    pub fn registry(&self) -> &Arc<dyn TenantRegistry> {
        &self.registry
    }

    /// Has this called for every tenant whose state is seen to have changed from now on.
    pub fn on_change(&self, call: OnTenantChange) {
        self.on_change.write().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Has this called for every tenant whose record has roles, quotas and issuers, and whenever they change; once, ahead of any
    /// other use.
    pub async fn on_access(&self, call: OnAccessChange) {
        let _looking = self.looking.lock().await;
        if let Some(known) = &*self.known.read().unwrap_or_else(PoisonError::into_inner) {
            known.access.iter().for_each(|(tenant, access)| call(tenant, Some(access)));
        }
        // The first stays.
        let _ = self.on_access.set(call);
    }

    /// How a tenant stands, without asking anyone.
    pub fn standing(&self, tenant: &TenantId) -> Standing {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if self.since(known.looked_at) < self.settings.stale_after => {
                known.states.get(tenant).map_or(Standing::Unknown, |state| Standing::Known(*state))
            }
            _ => Standing::Blind,
        }
    }

    /// The tenants that are being deleted, by what was last read.
    pub fn deleting(&self) -> Vec<TenantId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| known.deleting.clone()).unwrap_or_default()
    }

    /// Whether what the tenant has is there, asking the registry where that is not known.
    ///
    /// # Errors
    /// The registry must be read, and cannot be.
    pub async fn is_kept(&self, tenant: &TenantId) -> Result<bool> {
        match self.standing(tenant) {
            Standing::Known(state) => return Ok(state.is_kept()),
            Standing::Unknown if self.age().is_some_and(|age| age < self.settings.unknown_after) => return Ok(false),
            Standing::Unknown | Standing::Blind => {}
        }
        self.refresh().await?;
        Ok(matches!(self.standing(tenant), Standing::Known(state) if state.is_kept()))
    }

    /// Whether the tenant is being deleted, or is deleted. One that this node has not heard of is not: it may just have been made.
    ///
    /// # Errors
    /// The registry must be read, and cannot be.
    pub async fn is_closed(&self, tenant: &TenantId) -> Result<bool> {
        if self.standing(tenant) == Standing::Blind {
            self.refresh().await?;
        }
        Ok(matches!(self.standing(tenant), Standing::Known(state) if !state.is_kept()))
    }

    fn age(&self) -> Option<Duration> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|known| self.since(known.looked_at))
    }

    fn since(&self, time: Instant) -> Duration {
        (self.now)().saturating_duration_since(time)
    }

    /// Reads the epoch, and the list where that has changed. What has changed is told before this ends; whoever comes while
    /// another looks takes part in a look that began after he came.
    ///
    /// # Errors
    /// The registry cannot be read; what was known is known on until it is too old.
    pub async fn refresh(&self) -> Result<()> {
        let since = (self.now)();
        let _looking = self.looking.lock().await;
        let seen = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            match &*known {
                Some(known) if known.looked_at > since => return Ok(()),
                known => known.as_ref().map(|known| known.epoch),
            }
        };
        let looked_at = (self.now)();
        let epoch = self.registry.epoch().await?;
        if seen == Some(epoch) {
            if let Some(known) = &mut *self.known.write().unwrap_or_else(PoisonError::into_inner) {
                known.looked_at = looked_at;
            }
            return Ok(());
        }
        let (mut states, mut access) = (HashMap::new(), HashMap::new());
        for record in self.registry.list().await? {
            access.extend(record.access.map(|access| (record.id.clone(), access)));
            states.insert(record.id, record.state);
        }
        let deleting = states.iter().filter(|(_, state)| **state == TenantState::Deleting).map(|(tenant, _)| tenant.clone()).collect();
        let next = Known { epoch, access: access.clone(), states: states.clone(), deleting, looked_at };
        // In this order: who asks for something of the tenant from now on is refused, and what was made before is dropped.
        let before = self.known.write().unwrap_or_else(PoisonError::into_inner).replace(next);
        let (before, access_before) = before.map(|before| (before.states, before.access)).unwrap_or_default();
        if let Some(call) = self.on_access.get() {
            let gone = access_before.keys().filter(|tenant| !access.contains_key(*tenant));
            gone.for_each(|tenant| call(tenant, None));
            let changed = access.iter().filter(|(tenant, access)| access_before.get(*tenant) != Some(access));
            changed.for_each(|(tenant, access)| call(tenant, Some(access)));
        }
        // Of one that is being deleted the keys go while its state stays.
        let is_changed = |(tenant, state): &(&TenantId, &TenantState)| {
            before.get(*tenant).is_some_and(|before| before != *state || *before == TenantState::Deleting)
        };
        let calls = self.on_change.read().unwrap_or_else(PoisonError::into_inner);
        for (tenant, state) in states.iter().filter(is_changed) {
            calls.iter().for_each(|call| call(tenant, *state));
        }
        Ok(())
    }
}

/// Rounds of a change against others that change the same record.
const ROUNDS_MAX: usize = 8;

/// Changes a tenant's state; gives its record as it is then. `None`: there is no such tenant.
///
/// # Errors
/// The registry does not answer.
pub async fn change_tenant(
    registry: &dyn TenantRegistry,
    tenant: &TenantId,
    to: TenantState,
    now: Timestamp,
) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
    change_tenant_for(registry, tenant, to, now, None).await
}

/// The same, for someone (`issuer|subject`), whom the record names from then on. What nobody has asked for leaves who is named.
///
/// # Errors
/// The registry does not answer.
pub async fn change_tenant_for(
    registry: &dyn TenantRegistry,
    tenant: &TenantId,
    to: TenantState,
    now: Timestamp,
    by: Option<&str>,
) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
    edit_tenant(registry, tenant, by, |record| record.with_state(to, now)).await
}

/// Gives a tenant roles, quotas and issuers of its own, or takes them away, for someone; gives its record as it is then. `None`:
/// there is no such tenant.
///
/// # Errors
/// The registry does not answer.
pub async fn set_tenant_access(
    registry: &dyn TenantRegistry,
    tenant: &TenantId,
    access: Option<&TenantAccess>,
    by: Option<&str>,
) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
    edit_tenant(registry, tenant, by, |record| record.with_access(access)).await
}

async fn edit_tenant(
    registry: &dyn TenantRegistry,
    tenant: &TenantId,
    by: Option<&str>,
    edit: impl Fn(&TenantRecord) -> std::result::Result<Option<TenantRecord>, Refused>,
) -> Result<Option<std::result::Result<TenantRecord, Refused>>> {
    for _ in 0..ROUNDS_MAX {
        let Some(record) = registry.read(tenant).await? else { return Ok(None) };
        let next = match edit(&record) {
            Ok(Some(next)) => TenantRecord { changed_by: by.map(str::to_owned).or(next.changed_by), ..next },
            Ok(None) => return Ok(Some(Ok(record))),
            Err(refused) => return Ok(Some(Err(refused))),
        };
        if registry.replace(&next).await? {
            return Ok(Some(Ok(next)));
        }
    }
    Err(StorageError::Busy)
}

/// Makes a tenant that settings name, unless it has a record; gives how it stands.
///
/// # Errors
/// The registry does not answer.
pub async fn register_tenant(registry: &dyn TenantRegistry, tenant: &TenantId, now: Timestamp) -> Result<TenantState> {
    if let Some(record) = registry.read(tenant).await? {
        return Ok(record.state);
    }
    let record = TenantRecord::new(tenant.clone(), "", now).map_err(StorageError::Damaged)?;
    if registry.create(&record).await? {
        return Ok(record.state);
    }
    Ok(registry.read(tenant).await?.map_or(TenantState::Active, |record| record.state))
}
