//! How much a tenant, an application and the holder of an API key may ask of the server: a rate of cost points with a burst, and requests at once.
//!
//! Points are taken when a request is admitted; what a request turns out to cost more (the entries of a Bundle) is taken behind
//! it, so that a bucket may owe. Who owes waits. Limits hold on one node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{ApiKey, ApiKeys, Interaction, TenantId};

/// A rate of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Points that come back in a second; at least 1.
    pub points_per_s: u32,
    /// Points there are at most; at least 1.
    pub burst_points: u32,
}

/// What holds for one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantQuota {
    /// Of the whole tenant.
    pub tenant: Option<Rate>,
    /// Of each application in it.
    pub application: Option<Rate>,
    /// Requests of the tenant at once.
    pub requests_at_once_max: Option<u32>,
}

/// The quotas of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuotaRules {
    /// Of tenants that have none of their own.
    pub deployment: TenantQuota,
    /// Of the others.
    pub tenants: HashMap<TenantId, TenantQuota>,
    /// Keys of applications, with quotas of their own.
    pub api_keys: ApiKeys,
}

/// What an interaction costs in points. A Bundle costs its entries, and at least as much as a read.
pub fn points(interaction: Interaction) -> u32 {
    match interaction {
        Interaction::Read | Interaction::Vread | Interaction::Bundle => 1,
        Interaction::Search => 20,
        Interaction::HistoryInstance | Interaction::HistoryType => 10,
        Interaction::Create | Interaction::Update | Interaction::Patch | Interaction::Delete => 100,
    }
}

/// Whose points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaOf {
    /// All of the tenant.
    Tenant,
    /// One application in it.
    Application,
    /// One key in it.
    ApiKey,
}

/// How a quota stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub of: QuotaOf,
    /// Its rate.
    pub rate: Rate,
    /// Points left; 0 where it owes.
    pub left_points: u32,
    /// Until when it is full again, in milliseconds.
    pub full_in_ms: u64,
}

/// A request that may go on. The tenant has one more request under way until it is dropped.
#[derive(Debug)]
pub struct Admission {
    /// How the quotas stand.
    pub standings: Vec<Standing>,
    under_way: Option<Arc<AtomicU32>>,
}

/// A request that may not go on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When to ask again, in milliseconds; never 0.
    pub retry_in_ms: u64,
    /// How the quotas stand.
    pub standings: Vec<Standing>,
}

/// Counts what is asked.
#[derive(Debug, Default)]
pub struct Quotas {
    rules: QuotaRules,
    is_any: bool,
    buckets: Mutex<Buckets>,
    under_way: Mutex<HashMap<TenantId, Arc<AtomicU32>>>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: HashMap<BucketKey, Bucket>,
    /// At so many the full ones are forgotten.
    sweep_at: usize,
}

impl Buckets {
    /// Forgets full buckets once there are many, and again once they have doubled.
    fn sweep(&mut self, now_ms: i64) {
        if self.all.len() < self.sweep_at.max(Quotas::BUCKETS_MAX) {
            return;
        }
        self.all.retain(|_, bucket| {
            bucket.refill(now_ms);
            bucket.level < capacity(bucket.rate)
        });
        self.sweep_at = 2 * self.all.len();
    }
}

/// Whose bucket; the tenant's own has no name.
type BucketKey = (TenantId, QuotaOf, Box<str>);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The application, by the token.
    pub application: Option<&'a str>,
    /// The key that came along.
    pub api_key: Option<&'a ApiKey>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: Rate,
    /// In thousandths of points; negative where it owes.
    level: i64,
    at_ms: i64,
}

impl Bucket {
    fn full(rate: Rate, now_ms: i64) -> Self {
        Self { rate, level: capacity(rate), at_ms: now_ms }
    }

    fn refill(&mut self, now_ms: i64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        // Points a second are thousandths a millisecond.
        let refilled = self.level.saturating_add(elapsed_ms.saturating_mul(i64::from(self.rate.points_per_s)));
        self.level = refilled.min(capacity(self.rate));
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// How long until so much is there, in milliseconds.
    fn wait_ms(&self, level: i64) -> u64 {
        let missing = level.saturating_sub(self.level).max(0) as u64;
        missing.div_ceil(u64::from(self.rate.points_per_s.max(1)))
    }

    fn standing(&self, of: QuotaOf) -> Standing {
        let left_points = (self.level.max(0) / 1000) as u32;
        Standing { of, rate: self.rate, left_points, full_in_ms: self.wait_ms(capacity(self.rate)) }
    }
}

fn capacity(rate: Rate) -> i64 {
    i64::from(rate.burst_points) * 1000
}

impl Quotas {
    /// Buckets that are kept at least; of more, full ones are forgotten, which changes nothing.
    const BUCKETS_MAX: usize = 10_000;

    /// Quotas by these rules, all of them full.
    pub fn new(rules: QuotaRules) -> Self {
        let limits = |quota: &TenantQuota| *quota != TenantQuota::default();
        let is_any = limits(&rules.deployment) || rules.tenants.values().any(limits) || !rules.api_keys.is_empty();
        Self { rules, is_any, ..Self::default() }
    }

    /// Whether anything is limited at all.
    pub fn is_any(&self) -> bool {
        self.is_any
    }

    /// The keys of applications.
    pub fn api_keys(&self) -> &ApiKeys {
        &self.rules.api_keys
    }

    fn of(&self, tenant: &TenantId) -> TenantQuota {
        self.rules.tenants.get(tenant).copied().unwrap_or(self.rules.deployment)
    }

    /// The rates that hold for someone, and whose they are.
    fn rates<'a>(&self, asker: Asker<'a>) -> impl Iterator<Item = (QuotaOf, Rate, &'a str)> {
        let quota = self.of(asker.tenant);
        let of_key = asker.api_key.and_then(|key| Some((QuotaOf::ApiKey, key.rate?, key.name.as_str())));
        let of_tenant = quota.tenant.map(|rate| (QuotaOf::Tenant, rate, ""));
        let of_application = quota.application.map(|rate| (QuotaOf::Application, rate, asker.application.unwrap_or_default()));
        of_tenant.into_iter().chain(of_application).chain(of_key)
    }

    /// Admits a request and takes its points from all that they are counted for, or from none.
    pub fn admit(&self, asker: Asker<'_>, points: u32, now_ms: i64) -> Result<Admission, Refusal> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now_ms);
        let mut looked_at = Vec::with_capacity(3);
        for (of, rate, name) in self.rates(asker) {
            let key: BucketKey = (asker.tenant.clone(), of, name.into());
            let mut bucket = buckets.all.get(&key).copied().unwrap_or_else(|| Bucket::full(rate, now_ms));
            bucket.refill(now_ms);
            looked_at.push((key, bucket));
        }
        let needed = |rate: Rate| i64::from(points.min(rate.burst_points)) * 1000;
        let wait_ms = looked_at.iter().map(|(_, bucket)| bucket.wait_ms(needed(bucket.rate))).max().unwrap_or(0);
        let standings = |looked_at: &[(BucketKey, Bucket)]| -> Vec<Standing> {
            looked_at.iter().map(|((_, of, _), bucket)| bucket.standing(*of)).collect()
        };
        if wait_ms > 0 {
            return Err(Refusal { retry_in_ms: wait_ms, standings: standings(&looked_at) });
        }
        let under_way = match self.of(asker.tenant).requests_at_once_max {
            None => None,
            Some(most) => {
                Some(self.enter(asker.tenant, most).ok_or_else(|| Refusal { retry_in_ms: 1000, standings: standings(&looked_at) })?)
            }
        };
        for (key, bucket) in &mut looked_at {
            bucket.level = bucket.level.saturating_sub(i64::from(points) * 1000);
            buckets.all.insert(key.clone(), *bucket);
        }
        Ok(Admission { standings: standings(&looked_at), under_way })
    }

    /// Takes points that a request turned out to cost more.
    pub fn charge(&self, asker: Asker<'_>, points: u64, now_ms: i64) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(1000);
        for (of, rate, name) in self.rates(asker) {
            let bucket = buckets.all.entry((asker.tenant.clone(), of, name.into())).or_insert_with(|| Bucket::full(rate, now_ms));
            bucket.refill(now_ms);
            bucket.level = bucket.level.saturating_sub(cost);
        }
    }

    fn enter(&self, tenant: &TenantId, most: u32) -> Option<Arc<AtomicU32>> {
        let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(tenant.clone()).or_default();
        // Only under the lock does it grow.
        if count.load(Ordering::Acquire) >= most {
            return None;
        }
        count.fetch_add(1, Ordering::AcqRel);
        Some(count.clone())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn quotas(tenant: Option<Rate>, application: Option<Rate>, requests_at_once_max: Option<u32>) -> Quotas {
        let deployment = TenantQuota { tenant, application, requests_at_once_max };
        Quotas::new(QuotaRules { deployment, ..QuotaRules::default() })
    }

    fn by<'a>(tenant: &'a TenantId, application: Option<&'a str>) -> Asker<'a> {
        Asker { tenant, application, api_key: None }
    }

    const RATE: Rate = Rate { points_per_s: 10, burst_points: 100 };

    #[test]
    fn a_burst_is_spent_and_comes_back_at_the_rate() {
        let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
        for left in [80, 60, 40, 20, 0] {
            assert_eq!(quotas.admit(by(&acme, None), 20, 0).unwrap().standings[0].left_points, left);
        }
        let refusal = quotas.admit(by(&acme, None), 20, 500).unwrap_err();
        assert_eq!((refusal.retry_in_ms, refusal.standings[0].left_points), (1500, 5));
        assert!(quotas.admit(by(&acme, None), 20, 1999).is_err());
        let standing = quotas.admit(by(&acme, None), 20, 2000).unwrap().standings[0];
        assert_eq!((standing.left_points, standing.full_in_ms), (0, 10_000));
        assert!(quotas.admit(by(&tenant("acme10"), None), 100, 2000).is_ok());
    }

    #[test]
    fn in_the_long_run_the_rate_holds_whatever_is_asked() {
        let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
        let mut spent = 0;
        for now_ms in 0..100_000 {
            if quotas.admit(by(&acme, None), 3, now_ms).is_ok() {
                spent += 3;
            }
        }
        assert!((1097..=1100).contains(&spent), "{spent}");
    }

    #[test]
    fn more_than_a_burst_is_owed() {
        let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
        assert!(quotas.admit(by(&acme, None), 1000, 0).is_ok());
        assert_eq!(quotas.admit(by(&acme, None), 1, 0).unwrap_err().retry_in_ms, 90_100);
        let other = tenant("other");
        assert!(quotas.admit(by(&other, None), 1, 0).is_ok());
        quotas.charge(by(&other, None), 199, 0);
        assert_eq!(quotas.admit(by(&other, None), 1, 0).unwrap_err().retry_in_ms, 10_100);
    }

    #[test]
    fn an_application_has_its_own_and_takes_from_neither_where_one_refuses() {
        let small = Rate { points_per_s: 1, burst_points: 10 };
        let (quotas, acme) = (quotas(Some(RATE), Some(small), None), tenant("acme"));
        assert!(quotas.admit(by(&acme, Some("a")), 10, 0).is_ok());
        for _ in 0..50 {
            assert!(quotas.admit(by(&acme, Some("a")), 10, 0).is_err());
        }
        let admitted = quotas.admit(by(&acme, Some("b")), 10, 0).unwrap();
        assert_eq!(admitted.standings.iter().map(|standing| standing.left_points).collect::<Vec<_>>(), [80, 0]);
    }

    #[test]
    fn a_key_has_its_own_in_each_tenant() {
        let key =
            ApiKey { name: "portal".into(), digest: [0; 32], tenants: Vec::new(), rate: Some(Rate { points_per_s: 1, burst_points: 5 }) };
        let (quotas, acme, other) = (quotas(Some(RATE), None, None), tenant("acme"), tenant("other"));
        let with_key = |tenant| Asker { tenant, application: Some("portal"), api_key: Some(&key) };
        assert_eq!(quotas.admit(with_key(&acme), 5, 0).unwrap().standings.len(), 2);
        assert!(quotas.admit(with_key(&acme), 5, 0).is_err());
        assert!(quotas.admit(by(&acme, Some("portal")), 5, 0).is_ok());
        assert!(quotas.admit(with_key(&other), 5, 0).is_ok());
    }

    #[test]
    fn requests_at_once_are_counted_while_they_last() {
        let (quotas, acme) = (quotas(None, None, Some(2)), tenant("acme"));
        let first = quotas.admit(by(&acme, None), 1, 0).unwrap();
        let _second = quotas.admit(by(&acme, None), 1, 0).unwrap();
        assert_eq!(quotas.admit(by(&acme, None), 1, 0).unwrap_err().retry_in_ms, 1000);
        assert!(quotas.admit(by(&tenant("other"), None), 1, 0).is_ok());
        drop(first);
        assert!(quotas.admit(by(&acme, None), 1, 0).is_ok());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
        assert!(quotas.admit(by(&acme, None), 100, 10_000).is_ok());
        assert!(quotas.admit(by(&acme, None), 1, 0).is_err());
        assert!(quotas.admit(by(&acme, None), 1, 10_099).is_err());
        assert!(quotas.admit(by(&acme, None), 1, 10_100).is_ok());
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let quotas = quotas(Some(RATE), None, None);
        for number in 0..Quotas::BUCKETS_MAX + 10 {
            assert!(quotas.admit(by(&tenant(&format!("t{number}")), None), 1, number as i64 * 1000).is_ok());
        }
        assert!(quotas.buckets.lock().unwrap().all.len() < 100);
    }
}
