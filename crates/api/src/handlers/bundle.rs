//! Batch and transaction (R4 http.html#transaction).

use axum::body::Body;
use fhirpool_authz::{Interaction, Principal};
use fhirpool_interactions::{BundleRequest, Returning};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Result;
use crate::quota::BundleCharge;

/// `POST [base]`. Entries give back their resources only where the client asks for them: a large transaction's answer would be
/// as large as itself.
pub(super) async fn bundle(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    call.check_no_parameters()?;
    let access = call.write_access(principal, Interaction::Bundle, None)?;
    let body = call.json_body(body).await?;
    let returning = call.prefer.returning.unwrap_or(Returning::Minimal);
    let request = BundleRequest { base: &call.base()?, body, returning, handling: call.prefer.handling, freshness: call.freshness()? };
    let charge = BundleCharge::new(call, principal);
    let outcome = call.state.interactions.bundle(&access, request, &call.noted.bundle).await;
    charge.take(outcome.is_ok()).await;
    Ok(outcome?.into())
}
