//! Buckets and counts of one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use fhirpool_authz::{Account, Draw, Drawn, SharedBucket, TenantId, WriteAccess};

use crate::{QuotaLeases, Result, StoredBytes};

/// Buckets and counts of one process, which keeps all of them.
#[derive(Debug, Default)]
pub struct MemoryQuotaLeases {
    buckets: Mutex<HashMap<(TenantId, Account), SharedBucket>>,
    bytes: Mutex<HashMap<TenantId, u64>>,
}

#[async_trait]
impl QuotaLeases for MemoryQuotaLeases {
    async fn draw(&self, access: &WriteAccess, account: &Account, draw: &Draw) -> Result<Drawn> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (access.tenant().clone(), account.clone());
        let bucket = buckets.entry(key).or_insert_with(|| SharedBucket::full(draw.rate, draw.now_ms));
        let given = bucket.draw(draw);
        Ok(Drawn { given, left: *bucket })
    }
}

#[async_trait]
impl StoredBytes for MemoryQuotaLeases {
    async fn add_bytes(&self, access: &WriteAccess, bytes: u64) -> Result<u64> {
        let mut counts = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = counts.entry(access.tenant().clone()).or_default();
        *sum = sum.saturating_add(bytes);
        Ok(*sum)
    }
}
