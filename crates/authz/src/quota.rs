//! How much a tenant, an application and the holder of an API key may ask of the server: a rate of cost points with a burst, and requests at once.
//!
//! Points are taken when a request is admitted; what a request turns out to cost more (the entries of a Bundle) is taken behind
//! it, so that a bucket may owe. Who owes waits.
//!
//! Alone, a node keeps full buckets of its own. Nodes that share rates keep what they have drawn from buckets that all of them
//! see ([`SharedBucket`]): where a request finds too little it is told what to draw first ([`Shortage`]). Requests at once are
//! counted by each node.

mod current;
mod shared;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::current::CurrentQuotas;
pub use self::shared::{Draw, Drawn, SharedBucket, Shortage};
use self::shared::{Lease, Verdict};
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
    /// Resources that it may store.
    pub stored_resources_max: Option<u64>,
    /// Bytes that its writes may bring, all versions together.
    pub stored_bytes_max: Option<u64>,
    /// Bytes of a request's body.
    pub body_bytes_max: Option<u64>,
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

impl QuotaRules {
    /// What holds for a tenant.
    pub fn of(&self, tenant: &TenantId) -> TenantQuota {
        self.tenants.get(tenant).copied().unwrap_or(self.deployment)
    }

    fn is_any(&self) -> bool {
        self.tenants.values().chain([&self.deployment]).any(TenantQuota::is_any) || !self.api_keys.is_empty()
    }
}

impl TenantQuota {
    fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// What an interaction costs in points. A Bundle costs its entries, and at least as much as a read.
pub fn points(interaction: Interaction) -> u32 {
    match interaction {
        Interaction::Read | Interaction::Vread | Interaction::Bundle => 1,
        Interaction::Search | Interaction::Audit | Interaction::Everything => 20,
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

/// Whose points within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Of what kind.
    pub of: QuotaOf,
    /// The name of the application or key; empty for the tenant.
    pub name: Box<str>,
}

/// How a quota stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub of: QuotaOf,
    /// Its rate.
    pub rate: Rate,
    /// Points left, with what other nodes left when this one last looked; 0 where it owes.
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
    /// What to draw, and then to ask again at once; empty: there is nothing to be had now.
    pub shortages: Vec<Shortage>,
}

/// Counts what is asked.
#[derive(Debug, Default)]
pub struct Quotas {
    rules: Arc<CurrentQuotas>,
    /// What this node's random pauses come from, where nodes share rates.
    sharing: Option<u64>,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    all: HashMap<TenantId, Counted>,
    /// Buckets of all tenants.
    buckets: usize,
    /// At so many the full ones are forgotten.
    sweep_at: usize,
}

/// What is counted of one tenant.
#[derive(Debug, Default)]
struct Counted {
    buckets: Buckets,
    under_way: Arc<AtomicU32>,
}

/// The buckets of one tenant.
#[derive(Debug, Default)]
struct Buckets {
    tenant: Option<Bucket>,
    // Most tenants have few of either.
    applications: BTreeMap<Box<str>, Bucket>,
    api_keys: BTreeMap<Box<str>, Bucket>,
}

impl Tenants {
    /// What is counted of a tenant, and the number of all buckets.
    fn of(&mut self, tenant: &TenantId) -> (&mut Counted, &mut usize) {
        let counted = self.all.entry(tenant.clone()).or_default();
        (counted, &mut self.buckets)
    }

    /// Forgets buckets that are as new ones once there are many, and again once they have doubled.
    fn sweep(&mut self, now_ms: i64) {
        if self.buckets < self.sweep_at.max(Quotas::BUCKETS_MAX) {
            return;
        }
        self.all.retain(|_, counted| {
            counted.buckets.sweep(now_ms);
            counted.buckets.len() > 0 || Arc::strong_count(&counted.under_way) > 1
        });
        self.buckets = self.all.values().map(|counted| counted.buckets.len()).sum();
        self.sweep_at = 2 * self.buckets;
    }
}

impl Buckets {
    fn len(&self) -> usize {
        usize::from(self.tenant.is_some()) + self.applications.len() + self.api_keys.len()
    }

    fn sweep(&mut self, now_ms: i64) {
        self.tenant.take_if(|bucket| bucket.is_as_new(now_ms));
        self.applications.retain(|_, bucket| !bucket.is_as_new(now_ms));
        self.api_keys.retain(|_, bucket| !bucket.is_as_new(now_ms));
    }

    /// The buckets that these rates fill, in their order; those that are not there yet, or are of another rate, are made.
    fn of<'a>(&'a mut self, rates: Rates<'_>, new: impl Fn(Rate) -> Bucket, made: &mut usize) -> [Option<(QuotaOf, &'a mut Bucket)>; 3] {
        let Self { tenant, applications, api_keys } = self;
        let mut named = |of, buckets: &'a mut BTreeMap<Box<str>, Bucket>, (rate, name): (Rate, &str)| {
            if !buckets.contains_key(name) {
                *made += 1;
                buckets.insert(name.into(), new(rate));
            }
            let bucket = buckets.get_mut(name).expect("it was put there");
            bucket.renew(rate, &new);
            (of, bucket)
        };
        let application = rates.application.map(|rate| named(QuotaOf::Application, applications, rate));
        let api_key = rates.api_key.map(|rate| named(QuotaOf::ApiKey, api_keys, rate));
        *made += usize::from(rates.tenant.is_some() && tenant.is_none());
        let tenant = rates.tenant.map(|rate| {
            let bucket = tenant.get_or_insert_with(|| new(rate));
            bucket.renew(rate, &new);
            (QuotaOf::Tenant, bucket)
        });
        [tenant, application, api_key]
    }
}

/// The rates that hold for someone, with the name of whose they are.
#[derive(Debug, Clone, Copy)]
struct Rates<'a> {
    tenant: Option<Rate>,
    application: Option<(Rate, &'a str)>,
    api_key: Option<(Rate, &'a str)>,
}

impl Rates<'_> {
    fn account(self, of: QuotaOf) -> Account {
        let named = match of {
            QuotaOf::Tenant => None,
            QuotaOf::Application => self.application,
            QuotaOf::ApiKey => self.api_key,
        };
        Account { of, name: named.map_or("", |(_, name)| name).into() }
    }
}

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
    /// In thousandths of points; negative where it owes. Where nodes share the rate: what was drawn and not spent.
    level: i64,
    at_ms: i64,
    lease: Option<Lease>,
}

impl Bucket {
    fn full(rate: Rate, now_ms: i64) -> Self {
        Self { rate, level: capacity(rate), at_ms: now_ms, lease: None }
    }

    /// Of a rate that nodes share: nothing is drawn yet.
    fn leased(rate: Rate) -> Self {
        Self { rate, level: 0, at_ms: 0, lease: Some(Lease::default()) }
    }

    /// Begins anew where the rate has changed.
    fn renew(&mut self, rate: Rate, new: impl Fn(Rate) -> Self) {
        if self.rate != rate {
            *self = new(rate);
        }
    }

    /// Brings it up to now.
    fn pass(&mut self, now_ms: i64) {
        if let Some(lease) = &mut self.lease {
            lease.ask(&mut self.level, now_ms);
            return;
        }
        let elapsed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        // Points a second are thousandths a millisecond.
        let refilled = self.level.saturating_add(elapsed_ms.saturating_mul(i64::from(self.rate.points_per_s)));
        self.level = refilled.min(capacity(self.rate));
        self.at_ms = self.at_ms.max(now_ms);
    }

    fn verdict(&self, needed: i64, now_ms: i64) -> Verdict {
        match (&self.lease, self.wait_ms(self.level, needed)) {
            (Some(lease), _) => lease.verdict(self.rate, self.level, needed, now_ms),
            (None, 0) => Verdict::Enough,
            (None, wait_ms) => Verdict::Wait(wait_ms),
        }
    }

    /// How long from one level to another, in milliseconds.
    fn wait_ms(&self, from: i64, to: i64) -> u64 {
        let missing = to.saturating_sub(from).max(0) as u64;
        missing.div_ceil(u64::from(self.rate.points_per_s.max(1)))
    }

    fn standing(&self, of: QuotaOf, now_ms: i64) -> Standing {
        let elsewhere = self.lease.map_or(0, |lease| lease.left_level(self.rate, now_ms));
        let level = self.level.saturating_add(elsewhere).min(capacity(self.rate));
        let left_points = (level.max(0) / 1000) as u32;
        Standing { of, rate: self.rate, left_points, full_in_ms: self.wait_ms(level, capacity(self.rate)) }
    }

    fn is_as_new(&mut self, now_ms: i64) -> bool {
        match &self.lease {
            Some(lease) => self.level >= 0 && lease.is_idle(now_ms),
            None => {
                self.pass(now_ms);
                self.level >= capacity(self.rate)
            }
        }
    }
}

fn capacity(rate: Rate) -> i64 {
    i64::from(rate.burst_points) * 1000
}

impl Quotas {
    /// Buckets that are kept at least; of more, those like new ones are forgotten, which changes nothing.
    const BUCKETS_MAX: usize = 10_000;

    /// Quotas of nodes that share their rates by buckets that all of them see. The seed is random, another in each node.
    pub fn shared(rules: Arc<CurrentQuotas>, seed: u64) -> Self {
        Self { sharing: Some(seed), ..Self::new(rules) }
    }

    /// Quotas of a node alone by these rules, all of them full.
    pub fn new(rules: Arc<CurrentQuotas>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Whether anything is limited at all.
    pub fn is_any(&self) -> bool {
        self.rules.is_any()
    }

    /// The keys of applications.
    pub fn api_keys(&self) -> &ApiKeys {
        self.rules.api_keys()
    }

    /// What holds for a tenant.
    pub fn of(&self, tenant: &TenantId) -> TenantQuota {
        self.rules.of(tenant)
    }

    /// Admits a request and takes its points from all that they are counted for, or from none.
    pub fn admit(&self, asker: Asker<'_>, points: u32, now_ms: i64) -> Result<Admission, Refusal> {
        let quota = self.of(asker.tenant);
        let rates = rates(&quota, asker);
        let mut tenants = self.tenants();
        tenants.sweep(now_ms);
        let (Counted { buckets, under_way }, made) = tenants.of(asker.tenant);
        let mut buckets = buckets.of(rates, |rate| self.bucket(rate, now_ms), made);
        let (mut wait_ms, mut shortages) = (0, Vec::new());
        for (of, bucket) in buckets.iter_mut().flatten() {
            bucket.pass(now_ms);
            match bucket.verdict(i64::from(points.min(bucket.rate.burst_points)) * 1000, now_ms) {
                Verdict::Enough => {}
                Verdict::Wait(for_ms) => wait_ms = for_ms.max(wait_ms),
                Verdict::Draw(draw) => shortages.push(Shortage { account: rates.account(*of), draw }),
            }
        }
        let standings = |buckets: [Option<(QuotaOf, &mut Bucket)>; 3]| -> Vec<Standing> {
            buckets.into_iter().flatten().map(|(of, bucket)| bucket.standing(of, now_ms)).collect()
        };
        if wait_ms > 0 {
            return Err(Refusal { retry_in_ms: wait_ms, standings: standings(buckets), shortages: Vec::new() });
        }
        if !shortages.is_empty() {
            return Err(Refusal { retry_in_ms: 1000, standings: standings(buckets), shortages });
        }
        let under_way = match quota.requests_at_once_max.map(|most| enter(under_way, most)) {
            None => None,
            Some(None) => return Err(Refusal { retry_in_ms: 1000, standings: standings(buckets), shortages }),
            Some(entered) => entered,
        };
        for (_, bucket) in buckets.iter_mut().flatten() {
            bucket.level = bucket.level.saturating_sub(i64::from(points) * 1000);
        }
        Ok(Admission { standings: standings(buckets), under_way })
    }

    /// Takes points that a request turned out to cost more. What is owed then is to be drawn at once ([`Quotas::owed`]).
    pub fn charge(&self, asker: Asker<'_>, points: u64, now_ms: i64) {
        let cost = i64::try_from(points).unwrap_or(i64::MAX).saturating_mul(1000);
        let rates = rates(&self.of(asker.tenant), asker);
        let mut tenants = self.tenants();
        let (counted, made) = tenants.of(asker.tenant);
        for (_, bucket) in counted.buckets.of(rates, |rate| self.bucket(rate, now_ms), made).into_iter().flatten() {
            bucket.pass(now_ms);
            bucket.level = bucket.level.saturating_sub(cost);
        }
    }

    /// What is to be drawn for debts alone, where nodes share rates. Each debt is told once for each time that this is asked: one
    /// caller of a tenant asks and settles at a time.
    pub fn owed(&self, asker: Asker<'_>, now_ms: i64) -> Vec<Shortage> {
        let rates = rates(&self.of(asker.tenant), asker);
        let mut tenants = self.tenants();
        let (counted, made) = tenants.of(asker.tenant);
        let buckets = counted.buckets.of(rates, |rate| self.bucket(rate, now_ms), made).into_iter().flatten();
        let owed = buckets.filter_map(|(of, bucket)| {
            let owes = bucket.level < 0 && bucket.lease.is_some_and(|lease| !lease.is_cut_off(now_ms));
            let draw = Draw { rate: bucket.rate, owed: bucket.level.saturating_neg(), needed: 0, wanted: 0, now_ms };
            owes.then(|| Shortage { account: rates.account(of), draw })
        });
        owed.collect()
    }

    /// Takes up what came of a draw; `None`: the shared bucket could not be reached, and this node keeps to a safe part of the rate.
    pub fn settle(&self, tenant: &TenantId, shortage: &Shortage, drawn: Option<Drawn>) {
        let Shortage { account, draw } = shortage;
        let named = (draw.rate, &*account.name);
        let mut rates = Rates { tenant: None, application: None, api_key: None };
        match account.of {
            QuotaOf::Tenant => rates.tenant = Some(draw.rate),
            QuotaOf::Application => rates.application = Some(named),
            QuotaOf::ApiKey => rates.api_key = Some(named),
        }
        let mut tenants = self.tenants();
        let (counted, made) = tenants.of(tenant);
        let random = scatter(self.sharing.unwrap_or_default() ^ draw.now_ms.cast_unsigned());
        for (_, bucket) in counted.buckets.of(rates, |rate| self.bucket(rate, draw.now_ms), made).into_iter().flatten() {
            if let Some(lease) = &mut bucket.lease {
                lease.ask(&mut bucket.level, draw.now_ms);
                bucket.level = bucket.level.saturating_add(lease.settle(draw, drawn, random));
            }
        }
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, rate: Rate, now_ms: i64) -> Bucket {
        match self.sharing {
            Some(_) => Bucket::leased(rate),
            None => Bucket::full(rate, now_ms),
        }
    }
}

/// Counts a request more, if there are fewer than so many.
fn enter(under_way: &Arc<AtomicU32>, most: u32) -> Option<Arc<AtomicU32>> {
    // Only under the lock does it grow.
    if under_way.load(Ordering::Acquire) >= most {
        return None;
    }
    under_way.fetch_add(1, Ordering::AcqRel);
    Some(Arc::clone(under_way))
}

fn rates<'a>(quota: &TenantQuota, asker: Asker<'a>) -> Rates<'a> {
    Rates {
        tenant: quota.tenant,
        application: quota.application.map(|rate| (rate, asker.application.unwrap_or_default())),
        api_key: asker.api_key.and_then(|key| Some((key.rate?, key.name.as_str()))),
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
