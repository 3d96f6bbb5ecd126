//! Counts and times of requests, for a recorder of metrics where one is installed.
//!
//! Handles are looked up once and kept: counting a request is a few additions to memory. A tenant is counted by name up to a
//! limit of names, so that no number of tenants makes the metrics large; those that come later share the name `other`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fhirpool_authz::TenantId;
use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

use crate::routes::Action;

/// Statuses that are counted one by one; any other counts as `other`.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 422, 428, 429, 431, 500, 501, 503,
    504,
];

/// The label of tenants past the limit.
const OTHER: &str = "other";

/// What is counted of requests.
pub(crate) struct Measures {
    /// By action; the last stands for requests that found no route.
    by_action: Vec<ActionMeasures>,
    tenants: TenantMeasures,
}

struct ActionMeasures {
    name: &'static str,
    seconds: OnceLock<Histogram>,
    /// By status; the last is any other. Made when first counted, so that only what happens is shown.
    by_status: [OnceLock<Counter>; STATUSES.len() + 1],
}

struct TenantMeasures {
    names_max: usize,
    by_tenant: RwLock<HashMap<TenantId, Arc<TenantCounters>>>,
    others: OnceLock<Arc<TenantCounters>>,
}

struct TenantCounters {
    /// 1xx to 5xx.
    by_class: [Counter; 5],
    microseconds: Counter,
}

impl Measures {
    pub fn new(tenant_names_max: usize) -> Self {
        let names = Action::ALL.iter().map(|action| action.name()).chain(["none"]);
        let by_action = names.map(|name| ActionMeasures { name, seconds: OnceLock::new(), by_status: Default::default() }).collect();
        let tenants = TenantMeasures { names_max: tenant_names_max, by_tenant: RwLock::default(), others: OnceLock::new() };
        Self { by_action, tenants }
    }

    /// Counts a request that was answered.
    pub fn count(&self, action: Option<Action>, tenant: Option<&TenantId>, status: StatusCode, elapsed: Duration) {
        let action = &self.by_action[action.map_or(self.by_action.len() - 1, |action| action as usize)];
        action.count(status, elapsed);
        if let Some(tenant) = tenant {
            let counters = self.tenants.of(tenant);
            counters.by_class[usize::from(status.as_u16() / 100).clamp(1, 5) - 1].increment(1);
            counters.microseconds.increment(elapsed.as_micros() as u64);
        }
    }
}

impl ActionMeasures {
    fn count(&self, status: StatusCode, elapsed: Duration) {
        let slot = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len());
        let requests = self.by_status[slot].get_or_init(|| {
            let status = STATUSES.get(slot).map_or_else(|| OTHER.to_owned(), u16::to_string);
            counter!("fhirpool_http_requests_total", "action" => self.name, "status" => status)
        });
        requests.increment(1);
        let seconds = self.seconds.get_or_init(|| histogram!("fhirpool_http_request_seconds", "action" => self.name));
        seconds.record(elapsed.as_secs_f64());
    }
}

impl TenantMeasures {
    fn of(&self, tenant: &TenantId) -> Arc<TenantCounters> {
        if let Some(counters) = self.by_tenant.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(counters);
        }
        let mut by_tenant = self.by_tenant.write().unwrap_or_else(PoisonError::into_inner);
        if by_tenant.len() < self.names_max {
            let named = by_tenant.entry(tenant.clone()).or_insert_with(|| Arc::new(TenantCounters::new(tenant.as_str())));
            return Arc::clone(named);
        }
        Arc::clone(self.others.get_or_init(|| Arc::new(TenantCounters::new(OTHER))))
    }
}

impl TenantCounters {
    fn new(tenant: &str) -> Self {
        let of_class = |class: &'static str| counter!("fhirpool_tenant_requests_total", "tenant" => tenant.to_owned(), "class" => class);
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(of_class),
            microseconds: counter!("fhirpool_tenant_request_microseconds_total", "tenant" => tenant.to_owned()),
        }
    }
}
