//! Keys of applications and quotas at the door: who asks too much is told when to come back (429), and everyone how their quota stands.

use fhirpool_authz::{Admission, Asker, Interaction, Principal, QuotaOf, Standing, points};
use fhirpool_fhir::IssueCode;
use http::header::{HeaderName, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::ApiState;
use crate::answer::Answer;
use crate::error::{ApiError, Result};
use crate::negotiation::single;
use crate::routes::Action;

/// The headers of draft-ietf-httpapi-ratelimit-headers.
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The key of the application, beside its user's token.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Checks the key of the application and takes the request's points; `None` where there are neither keys nor quotas.
pub(crate) fn admit(state: &ApiState, head: &Parts, principal: &Principal, action: Action) -> Result<Option<Admission>> {
    if !state.quotas.is_any() {
        return Ok(None);
    }
    let now_ms = state.interactions.clock.now().0;
    match state.quotas.admit(asker(state, head, principal)?, points(interaction_of(action)), now_ms) {
        Ok(admission) => Ok(Some(admission)),
        Err(refusal) => {
            let seconds = refusal.retry_in_ms.div_ceil(1000).max(1);
            let text = format!("the quota is used up; ask again in {seconds} s");
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, IssueCode::Throttled, text);
            let error = error.with_header(RETRY_AFTER.clone(), HeaderValue::from(seconds));
            Err(headers(&refusal.standings).into_iter().fold(error, |error, (name, value)| error.with_header(name, value)))
        }
    }
}

fn asker<'a>(state: &'a ApiState, head: &Parts, principal: &'a Principal) -> Result<Asker<'a>> {
    let keys = state.quotas.api_keys();
    let refused = |text: String| ApiError::new(StatusCode::FORBIDDEN, IssueCode::Forbidden, text);
    let api_key = match keys.is_empty() {
        // Clients of a gateway that wants one send it here, too.
        true => None,
        false => {
            let given = single(&head.headers, &X_API_KEY).map_err(|()| refused("x-api-key stands twice or is not UTF-8".to_owned()))?;
            keys.check(principal.tenant(), given).map_err(|error| refused(error.to_string()))?
        }
    };
    Ok(Asker { tenant: principal.tenant(), application: principal.client(), api_key })
}

/// Takes what a Bundle turned out to cost beyond its admission; one that failed costs as much as a write.
pub(crate) fn charge_bundle(state: &ApiState, head: &Parts, principal: &Principal, cost: Option<u64>) {
    if !state.quotas.is_any() {
        return;
    }
    let cost = cost.unwrap_or_else(|| u64::from(points(Interaction::Create)));
    let more = cost.saturating_sub(u64::from(points(Interaction::Bundle)));
    // The request was admitted, so its key is good.
    if let Ok(asker) = asker(state, head, principal) {
        state.quotas.charge(asker, more, state.interactions.clock.now().0);
    }
}

/// Puts how the quotas stand onto an answer, also onto a refusal.
pub(crate) fn tell(answer: Result<Answer>, standings: &[Standing]) -> Result<Answer> {
    let headers = headers(standings);
    match answer {
        Ok(answer) => Ok(headers.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))),
        Err(error) => Err(headers.into_iter().fold(error, |error, (name, value)| error.with_header(name, value))),
    }
}

fn headers(standings: &[Standing]) -> Vec<(HeaderName, HeaderValue)> {
    let name = |standing: &Standing| match standing.of {
        QuotaOf::Tenant => "tenant",
        QuotaOf::Application => "application",
        QuotaOf::ApiKey => "api-key",
    };
    let join = |item: &dyn Fn(&Standing) -> String| standings.iter().map(item).collect::<Vec<_>>().join(", ");
    // The window is the time in which an empty quota fills up.
    let policy = join(&|standing| {
        let window_s = standing.rate.burst_points.div_ceil(standing.rate.points_per_s.max(1));
        format!("\"{}\";q={};w={window_s}", name(standing), standing.rate.burst_points)
    });
    let left = join(&|standing| format!("\"{}\";r={};t={}", name(standing), standing.left_points, standing.full_in_ms.div_ceil(1000)));
    let value = |text: String| HeaderValue::try_from(text).expect("names and numbers are plain ASCII");
    match standings.is_empty() {
        true => Vec::new(),
        false => vec![(RATE_LIMIT_POLICY.clone(), value(policy)), (RATE_LIMIT.clone(), value(left))],
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
        | Action::Read
        | Action::Operation => Interaction::Read,
    }
}
