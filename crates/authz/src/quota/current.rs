//! The quotas that hold now: those of the deployment, and above them those that records of tenants have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::{QuotaRules, TenantQuota};
use crate::{ApiKeys, TenantAccess, TenantId};

/// Rules that may change while they are kept to.
#[derive(Debug, Default)]
pub struct CurrentQuotas {
    rules: QuotaRules,
    own: RwLock<HashMap<TenantId, TenantQuota>>,
    is_any: AtomicBool,
}

impl From<QuotaRules> for CurrentQuotas {
    fn from(rules: QuotaRules) -> Self {
        let is_any = AtomicBool::new(rules.is_any());
        Self { rules, own: RwLock::default(), is_any }
    }
}

impl CurrentQuotas {
    /// Whether anything is limited at all.
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// What holds for a tenant.
    pub fn of(&self, tenant: &TenantId) -> TenantQuota {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.get(tenant).copied().unwrap_or_else(|| self.rules.of(tenant))
    }

    /// The keys of applications.
    pub(super) fn api_keys(&self) -> &ApiKeys {
        &self.rules.api_keys
    }

    /// Gives a tenant the quotas of its record, or takes them away.
    pub fn set_tenant(&self, tenant: &TenantId, access: Option<&TenantAccess>) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        match access.map(|access| access.quota(self.rules.of(tenant))) {
            Some(quota) => own.insert(tenant.clone(), quota),
            None => own.remove(tenant),
        };
        self.is_any.store(self.rules.is_any() || own.values().any(TenantQuota::is_any), Ordering::Relaxed);
    }
}
