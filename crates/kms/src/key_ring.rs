//! [`KmsKeyRing`]: gives out tenants' keys and keeps them in memory for a while.
//!
//! # Invariants
//! - A key is given out at most [`Limits::kept`] after it was last seen among the wrapped keys and unwrapped by KMS (the newest
//!   one stands for all of its tenant), so that destroying and disabling act. The one exception: while KMS or the store of
//!   wrapped keys *cannot be reached*, a key that is in memory goes on; neither being refused nor finding it destroyed is that.
//! - Which key an epoch has is decided by [`WrappedKeys::add`] alone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use fhirpool_authz::TenantId;
use fhirpool_storage::{KeyEpoch, KeyRing, Result, StorageError, TenantKey, WrappedKey, WrappedKeys};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::known::{Known, Slot};
use crate::service::{KmsError, RootKey};

/// How long a look that failed is not repeated while keys go on from memory.
const OUTAGE_PAUSE: Duration = Duration::from_secs(10);
/// Rounds of racing for an epoch; one is lost for each node that rotates at the same time.
const ROUNDS_MAX: usize = 8;

/// How much is kept in memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Tenants whose keys are kept.
    pub tenants_max: usize,
    /// How long a key is given out without looking again.
    pub kept: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tenants_max: 10_000, kept: Duration::from_secs(240) }
    }
}

/// Tenants' keys, wrapped by a key of KMS.
pub struct KmsKeyRing {
    root: RootKey,
    wrapped: Arc<dyn WrappedKeys>,
    slots: Cache<TenantId, Arc<Slot>>,
    kept: Duration,
}

impl std::fmt::Debug for KmsKeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KmsKeyRing").field("key", &self.root.id).finish_non_exhaustive()
    }
}

impl KmsKeyRing {
    /// A key ring over the key of KMS with this id, alias or ARN.
    pub fn new(client: Client, key: impl Into<String>, wrapped: Arc<dyn WrappedKeys>, limits: &Limits) -> Self {
        let root = RootKey { client, id: key.into() };
        Self { root, wrapped, slots: Cache::new(limits.tenants_max.max(1)), kept: limits.kept }
    }

    /// Adds a key of the next epoch, with which everything is sealed from now on; other nodes follow once they look again.
    /// What was sealed before stays readable.
    ///
    /// # Errors
    /// [`StorageError::UnknownTenant`] if the tenant's keys were destroyed.
    pub async fn rotate(&self, tenant: &TenantId) -> Result<KeyEpoch> {
        let slot = self.slot(tenant);
        let _asking = slot.ask().await;
        let known = self.look(tenant, None).await?;
        let next = KeyEpoch(known.wrapped.keys().next_back().map_or(0, |epoch| epoch.0) + 1);
        let key = self.make(tenant, next, known, &slot).await?;
        Ok(key.epoch())
    }

    fn slot(&self, tenant: &TenantId) -> Arc<Slot> {
        let made = self.slots.get_or_insert_with(tenant, || Ok::<_, std::convert::Infallible>(Arc::default()));
        match made {
            Ok(slot) => slot,
            Err(never) => match never {},
        }
    }

    /// The key of an epoch, or the newest, which is made where the tenant has none.
    async fn key(&self, tenant: &TenantId, epoch: Option<KeyEpoch>) -> Result<Arc<TenantKey>> {
        let slot = self.slot(tenant);
        if let Some(key) = slot.fresh_key(epoch, Instant::now()) {
            return Ok(key);
        }
        let _asking = slot.ask().await;
        // Someone else may have asked meanwhile.
        if let Some(key) = slot.fresh_key(epoch, Instant::now()) {
            return Ok(key);
        }
        let before = slot.known();
        match self.ask(tenant, epoch, before.as_ref(), &slot).await {
            Ok(key) => Ok(key),
            Err(Failure::Outage(text)) => self.go_on(epoch, before, &slot, text),
            Err(Failure::Final(error)) => {
                // Nothing that was known counts any longer: the next call looks again.
                self.forget(tenant);
                Err(error)
            }
        }
    }

    /// Looks at the wrapped keys and has KMS unwrap what is asked for.
    async fn ask(
        &self,
        tenant: &TenantId,
        epoch: Option<KeyEpoch>,
        before: Option<&Known>,
        slot: &Slot,
    ) -> std::result::Result<Arc<TenantKey>, Failure> {
        let now = Instant::now();
        let is_fresh = |known: &&Known| now < known.fresh_until;
        // An epoch that a fresh look knows but nobody has needed yet costs no new look.
        let known = before.filter(is_fresh).filter(|known| epoch.is_some_and(|epoch| known.wrapped(epoch).is_some()));
        let mut known = match known {
            Some(known) => known.clone(),
            None => {
                let mut known = self.look(tenant, epoch).await?;
                if let Some(before) = before {
                    known.inherit(before);
                    // That KMS still unwraps the newest stands for all: a key that was disabled stops here.
                    if let Some(newest) = known.newest()
                        && known.keys.contains_key(&newest)
                    {
                        let key = self.unwrap_with_kms(tenant, newest, &known).await?;
                        known.keys.insert(newest, key);
                    }
                }
                known
            }
        };
        let Some(epoch) = epoch.or_else(|| known.newest()) else {
            return self.make(tenant, KeyEpoch(1), known, slot).await;
        };
        let key = match known.keys.get(&epoch) {
            Some(key) => Arc::clone(key),
            None => self.unwrap_with_kms(tenant, epoch, &known).await?,
        };
        known.keys.insert(epoch, Arc::clone(&key));
        slot.set(known);
        Ok(key)
    }

    /// The wrapped keys as they are now; refuses a tenant whose keys were destroyed, and an epoch that is not there.
    async fn look(&self, tenant: &TenantId, epoch: Option<KeyEpoch>) -> std::result::Result<Known, Failure> {
        let known = Known::new(self.wrapped.list(tenant).await?, Instant::now() + self.kept);
        let is_gone = known.is_destroyed() || epoch.is_some_and(|epoch| known.wrapped(epoch).is_none());
        if is_gone { Err(StorageError::UnknownTenant.into()) } else { Ok(known) }
    }

    async fn unwrap_with_kms(&self, tenant: &TenantId, epoch: KeyEpoch, known: &Known) -> std::result::Result<Arc<TenantKey>, Failure> {
        let wrapped = known.wrapped(epoch).ok_or(StorageError::UnknownTenant)?;
        Ok(Arc::new(self.root.unwrap(tenant, epoch, wrapped).await?))
    }

    /// Makes a key of an epoch, or of a later one where another node was faster and rotation asks for a new one. Whoever loses
    /// the race for the first epoch uses the winner's.
    async fn make(
        &self,
        tenant: &TenantId,
        first: KeyEpoch,
        mut known: Known,
        slot: &Slot,
    ) -> std::result::Result<Arc<TenantKey>, Failure> {
        for round in 0..ROUNDS_MAX {
            let epoch = KeyEpoch(first.0 + u32::try_from(round).unwrap_or(u32::MAX));
            let (key, wrapped) = self.root.generate(tenant, epoch).await?;
            if self.wrapped.add(tenant, &WrappedKey { epoch, wrapped: wrapped.clone() }).await? {
                let key = Arc::new(key);
                known.wrapped.insert(epoch, wrapped);
                known.keys.insert(epoch, Arc::clone(&key));
                slot.set(known);
                return Ok(key);
            }
            known = self.look(tenant, None).await?;
            if let (KeyEpoch(1), Some(newest)) = (first, known.newest()) {
                let key = self.unwrap_with_kms(tenant, newest, &known).await?;
                known.keys.insert(newest, Arc::clone(&key));
                slot.set(known);
                return Ok(key);
            }
        }
        Err(StorageError::Unavailable("other nodes kept adding keys".into()).into())
    }

    /// Where nobody can be asked: what is in memory goes on, and nobody is asked for a moment.
    fn go_on(&self, epoch: Option<KeyEpoch>, before: Option<Known>, slot: &Slot, text: String) -> Result<Arc<TenantKey>> {
        let Some(mut known) = before else { return Err(StorageError::Unavailable(text)) };
        let key = epoch.or_else(|| known.newest()).and_then(|epoch| known.keys.get(&epoch).cloned());
        let Some(key) = key else { return Err(StorageError::Unavailable(text)) };
        tracing::warn!(cause = text, "keys cannot be looked at: those in memory go on");
        known.fresh_until = known.fresh_until.max(Instant::now() + OUTAGE_PAUSE.min(self.kept));
        slot.set(known);
        Ok(key)
    }
}

#[async_trait]
impl KeyRing for KmsKeyRing {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.key(tenant, None).await
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        self.key(tenant, Some(epoch)).await
    }

    fn forget(&self, tenant: &TenantId) {
        self.slots.remove(tenant);
    }

    async fn destroy(&self, tenant: &TenantId) -> Result<()> {
        // A tenant that never had a key gets one that opens nothing, so that nobody makes the first.
        self.wrapped.add(tenant, &WrappedKey { epoch: KeyEpoch(1), wrapped: Vec::new() }).await?;
        self.wrapped.destroy(tenant).await?;
        self.forget(tenant);
        Ok(())
    }
}

/// Why there is no key.
enum Failure {
    /// Someone cannot be reached.
    Outage(String),
    /// The answer is no.
    Final(StorageError),
}

impl From<KmsError> for Failure {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Outage(text) => Self::Outage(text),
            error => Self::Final(error.into()),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(text) => Self::Outage(text),
            StorageError::Overloaded => Self::Outage("the store of wrapped keys is overloaded".into()),
            error => Self::Final(error),
        }
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Outage(text) => Self::Unavailable(text),
            Failure::Final(error) => error,
        }
    }
}
