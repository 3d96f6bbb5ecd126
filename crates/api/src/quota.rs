//! Keys of applications and quotas at the door: who asks too much is told when to come back (429), and everyone how their quota stands.

mod headers;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::{
    Admission, Asker, CurrentQuotas, Interaction, Principal, Quotas, Refusal, Shortage, Standing, TenantId, WriteAccess, points,
};
use fhirpool_fhir::IssueCode;
use fhirpool_storage::QuotaLeases;
use http::header::{HeaderName, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::ApiState;
use crate::answer::Answer;
use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::negotiation::single;
use crate::routes::Action;
use headers::Headers;

/// The key of the application, beside its user's token.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What tenants and applications have asked of this node, and where it draws points from that it shares with others.
pub struct NodeQuotas {
    counted: Quotas,
    shared: Option<Shared>,
    headers: Headers,
}

struct Shared {
    leases: Arc<dyn QuotaLeases>,
    /// Held by who draws, so that one does it for all requests of a tenant.
    turns: Vec<tokio::sync::Mutex<()>>,
}

/// Tenants that draw at once, at most.
const TURNS: usize = 64;
/// A request does not wait longer for a draw.
const DRAW_TIME_MAX: Duration = Duration::from_secs(1);
/// A draw leaves enough for the request that waits for it, unless another was faster.
const DRAWS_MAX: usize = 3;

impl NodeQuotas {
    /// Of the only node.
    pub fn alone(rules: Arc<CurrentQuotas>) -> Self {
        Self { counted: Quotas::new(rules), shared: None, headers: Headers::default() }
    }

    /// Of one of several nodes; the seed is random, another in each.
    pub fn shared(rules: Arc<CurrentQuotas>, leases: Arc<dyn QuotaLeases>, seed: u64) -> Self {
        let turns = (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect();
        Self { counted: Quotas::shared(rules, seed), shared: Some(Shared { leases, turns }), headers: Headers::default() }
    }

    /// Bytes that the body of a tenant's request may have.
    pub(crate) fn body_bytes_max(&self, tenant: &TenantId) -> Option<usize> {
        self.counted.of(tenant).body_bytes_max.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Admits a request, if need be with points that are drawn first.
    async fn admit(&self, asker: Asker<'_>, points: u32, now: impl Fn() -> i64) -> std::result::Result<Admission, Refusal> {
        match (self.counted.admit(asker, points, now()), &self.shared) {
            // Boxed: every request would carry its room.
            (Err(refusal), Some(shared)) if !refusal.shortages.is_empty() => {
                Box::pin(self.draw_and_admit(shared, asker, points, now)).await
            }
            (admitted, _) => admitted,
        }
    }

    async fn draw_and_admit(
        &self,
        shared: &Shared,
        asker: Asker<'_>,
        points: u32,
        now: impl Fn() -> i64,
    ) -> std::result::Result<Admission, Refusal> {
        let _turn = shared.turn(asker.tenant).lock().await;
        for _ in 0..DRAWS_MAX {
            // While it waited for its turn, another may have drawn for all.
            match self.counted.admit(asker, points, now()) {
                Err(refusal) if !refusal.shortages.is_empty() => self.draw(shared, asker.tenant, &refusal.shortages).await,
                admitted => return admitted,
            }
        }
        self.counted.admit(asker, points, now())
    }

    async fn charge(&self, asker: Asker<'_>, points: u64, now: impl Fn() -> i64) {
        // At once, ahead of anything that waits.
        self.counted.charge(asker, points, now());
        if let Some(shared) = &self.shared {
            let _turn = shared.turn(asker.tenant).lock().await;
            // While it waited for its turn, another may have drawn for all.
            let owed = self.counted.owed(asker, now());
            self.draw(shared, asker.tenant, &owed).await;
        }
    }

    async fn draw(&self, shared: &Shared, tenant: &TenantId, shortages: &[Shortage]) {
        for shortage in shortages {
            let access = WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).expect("an operator may, in its tenant");
            let drawn = tokio::time::timeout(DRAW_TIME_MAX, shared.leases.draw(&access, &shortage.account, &shortage.draw)).await;
            let drawn = match drawn {
                Ok(Ok(drawn)) => Some(drawn),
                Ok(Err(error)) => {
                    tracing::warn!(%tenant, %error, "points cannot be drawn: a safe part of the rate is kept to");
                    None
                }
                Err(_elapsed) => {
                    tracing::warn!(%tenant, "points are not drawn in time: a safe part of the rate is kept to");
                    None
                }
            };
            self.counted.settle(tenant, shortage, drawn);
        }
    }
}

impl Shared {
    fn turn(&self, tenant: &TenantId) -> &tokio::sync::Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(tenant);
        &self.turns[hash as usize % self.turns.len()]
    }
}

/// Checks the key of the application and takes the request's points; `None` where there are neither keys nor quotas.
pub(crate) async fn admit(state: &ApiState, head: &Parts, principal: &Principal, action: Action) -> Result<Option<Admission>> {
    if !state.quotas.counted.is_any() {
        return Ok(None);
    }
    let now = || state.interactions.clock.now().0;
    match state.quotas.admit(asker(state, &head.headers, principal)?, points(interaction_of(action)), now).await {
        Ok(admission) => Ok(Some(admission)),
        Err(refusal) => {
            let seconds = refusal.retry_in_ms.div_ceil(1000).max(1);
            let text = format!("the quota is used up; ask again in {seconds} s");
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, IssueCode::Throttled, text);
            let error = error.with_header(RETRY_AFTER.clone(), HeaderValue::from(seconds));
            let headers = state.quotas.headers.of(&refusal.standings);
            Err(headers.into_iter().flatten().fold(error, |error, (name, value)| error.with_header(name, value)))
        }
    }
}

fn asker<'a>(state: &'a ApiState, headers: &HeaderMap, principal: &'a Principal) -> Result<Asker<'a>> {
    let keys = state.quotas.counted.api_keys();
    let refused = |text: String| ApiError::new(StatusCode::FORBIDDEN, IssueCode::Forbidden, text);
    let api_key = match keys.is_empty() {
        // Clients of a gateway that wants one send it here, too.
        true => None,
        false => {
            let given = single(headers, &X_API_KEY).map_err(|()| refused("x-api-key stands twice or is not UTF-8".to_owned()))?;
            keys.check(principal.tenant(), given).map_err(|error| refused(error.to_string()))?
        }
    };
    Ok(Asker { tenant: principal.tenant(), application: principal.client(), api_key })
}

/// What a Bundle under way costs beyond its admission. It is taken also where the Bundle is given up half way, because its client
/// has gone away or it takes too long: what it asked for may be done.
pub(crate) struct BundleCharge<'a> {
    call: &'a Call<'a>,
    principal: &'a Principal,
    is_taken: bool,
}

impl<'a> BundleCharge<'a> {
    pub fn new(call: &'a Call<'a>, principal: &'a Principal) -> Self {
        Self { call, principal, is_taken: false }
    }

    /// Takes it at the Bundle's end; one that failed costs as much as a write.
    pub async fn take(mut self, is_done: bool) {
        self.is_taken = true;
        let points = self.call.noted.bundle.points().filter(|_| is_done).unwrap_or_else(|| u64::from(points(Interaction::Create)));
        charge_bundle(self.call.state, &self.call.head.headers, self.principal, points).await;
    }
}

impl Drop for BundleCharge<'_> {
    fn drop(&mut self) {
        let Self { call, principal, is_taken } = self;
        if *is_taken || !call.state.quotas.counted.is_any() {
            return;
        }
        // Without a runtime the process is ending, and all that it has counted with it.
        if let (Some(points), Ok(runtime)) = (call.noted.bundle.points(), tokio::runtime::Handle::try_current()) {
            let (state, headers, principal) = (Arc::clone(call.state), call.head.headers.clone(), Principal::clone(principal));
            runtime.spawn(async move { charge_bundle(&state, &headers, &principal, points).await });
        }
    }
}

async fn charge_bundle(state: &ApiState, headers: &HeaderMap, principal: &Principal, cost: u64) {
    if !state.quotas.counted.is_any() {
        return;
    }
    let more = cost.saturating_sub(u64::from(points(Interaction::Bundle)));
    // The request was admitted, so its key is good.
    if let Ok(asker) = asker(state, headers, principal) {
        state.quotas.charge(asker, more, || state.interactions.clock.now().0).await;
    }
}

/// Puts how the quotas stand onto an answer, also onto a refusal.
pub(crate) fn tell(state: &ApiState, answer: &mut Result<Answer>, standings: &[Standing]) {
    for (name, value) in state.quotas.headers.of(standings).into_iter().flatten() {
        match answer {
            Ok(answer) => drop(answer.headers.insert(name, value)),
            Err(error) => error.add_header(name, value),
        }
    }
}

/// What a route's requests cost as.
fn interaction_of(action: Action) -> Interaction {
    match action {
        Action::Bundle => Interaction::Bundle,
        Action::SearchSystem
        | Action::SearchSystemByPost
        | Action::SearchType
        | Action::SearchTypeByPost
        | Action::SearchCompartment
        | Action::SearchCompartmentByPost => Interaction::Search,
        Action::HistoryInstance => Interaction::HistoryInstance,
        Action::HistorySystem | Action::HistoryType => Interaction::HistoryType,
        Action::Create => Interaction::Create,
        Action::Update | Action::UpdateConditional => Interaction::Update,
        Action::Patch | Action::PatchConditional => Interaction::Patch,
        Action::Delete | Action::DeleteConditional => Interaction::Delete,
        Action::Vread => Interaction::Vread,
        Action::Live
        | Action::Ready
        | Action::Metadata
        | Action::SmartConfiguration
        | Action::ContentUpload
        | Action::ContentDownload
        | Action::TenantList
        | Action::TenantCreate
        | Action::TenantShow
        | Action::TenantDelete
        | Action::TenantSuspend
        | Action::TenantResume
        | Action::TenantAccess
        | Action::Read => Interaction::Read,
        Action::Operation => Interaction::Everything,
    }
}
