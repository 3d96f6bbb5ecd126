//! Duties of one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::{DutyLease, DutyLeases, Result};

/// Leases of duties, which one process keeps for all.
#[derive(Debug, Default)]
pub struct MemoryDutyLeases {
    leases: Mutex<HashMap<String, DutyLease>>,
}

#[async_trait]
impl DutyLeases for MemoryDutyLeases {
    async fn duty(&self, duty: &str) -> Result<Option<DutyLease>> {
        Ok(self.leases.lock().unwrap_or_else(PoisonError::into_inner).get(duty).cloned())
    }

    async fn put_duty(&self, lease: &DutyLease, expected: Option<u64>) -> Result<bool> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let there = leases.get(&lease.duty);
        if there == Some(lease) {
            return Ok(true);
        }
        let is_as_expected = there.map(|there| there.counter) == expected;
        if is_as_expected {
            leases.insert(lease.duty.clone(), lease.clone());
        }
        Ok(is_as_expected)
    }

    async fn give_duty_back(&self, duty: &str, owner: &str) -> Result<()> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.get(duty).is_some_and(|there| there.owner == owner) {
            leases.remove(duty);
        }
        Ok(())
    }
}
