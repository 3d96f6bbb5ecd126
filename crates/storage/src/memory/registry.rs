//! The tenants of one process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fhirpool_authz::TenantId;

use crate::Result;
use crate::tenants::{TenantRecord, TenantRegistry};

/// A registry of tenants that one process keeps for all.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    epoch: u64,
    records: BTreeMap<TenantId, TenantRecord>,
}

impl MemoryRegistry {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TenantRegistry for MemoryRegistry {
    async fn epoch(&self) -> Result<u64> {
        Ok(self.kept().epoch)
    }

    async fn list(&self) -> Result<Vec<TenantRecord>> {
        Ok(self.kept().records.values().cloned().collect())
    }

    async fn read(&self, tenant: &TenantId) -> Result<Option<TenantRecord>> {
        Ok(self.kept().records.get(tenant).cloned())
    }

    async fn create(&self, record: &TenantRecord) -> Result<bool> {
        let mut kept = self.kept();
        if kept.records.contains_key(&record.id) {
            return Ok(false);
        }
        kept.put(record);
        Ok(true)
    }

    async fn replace(&self, record: &TenantRecord) -> Result<bool> {
        let mut kept = self.kept();
        let follows = kept.records.get(&record.id).is_some_and(|before| before.revision + 1 == record.revision);
        if follows {
            kept.put(record);
        }
        Ok(follows)
    }
}

impl Kept {
    fn put(&mut self, record: &TenantRecord) {
        self.records.insert(record.id.clone(), record.clone());
        self.epoch += 1;
    }
}
