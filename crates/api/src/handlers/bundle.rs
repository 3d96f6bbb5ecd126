//! Batch and transaction (R4 http.html#transaction).

use axum::body::Body;
use fhirpool_audit::Activity;
use fhirpool_authz::{Interaction, Principal};
use fhirpool_interactions::{BundleRequest, Returning};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;
use crate::quota;

/// `POST [base]`. Entries give back their resources only where the client asks for them: a large transaction's answer would be
/// as large as itself.
pub(super) async fn bundle(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    call.check_no_parameters()?;
    let access = call.write_access(principal, Interaction::Bundle, None)?;
    let body = call.json_body(body).await?;
    let returning = call.prefer.returning.unwrap_or(Returning::Minimal);
    let request = BundleRequest { base: &call.base()?, body, returning, handling: call.prefer.handling, freshness: call.freshness()? };
    let outcome = call.state.interactions.bundle(&access, request).await;
    quota::charge_bundle(call.state, call.head, principal, outcome.as_ref().ok().map(|outcome| outcome.points)).await;
    let mut outcome = outcome?;
    let is_batch = outcome.json.starts_with("{\"resourceType\":\"Bundle\",\"type\":\"batch");
    // Only the first to say so is heard.
    let _ = call.noted.activity.set(if is_batch { Activity::Batch } else { Activity::Transaction });
    let _ = call.noted.touched.set(std::mem::take(&mut outcome.touched));
    Ok(outcome.into())
}
