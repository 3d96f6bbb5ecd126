//! Tenants' states at the door: who is suspended or goes away is refused, by whatever this node knew a few seconds ago.
//!
//! Whoever comes with a token of the tenant's own is told why. At the open routes nobody is: what `/metadata` tells is no
//! tenant's, and content whose tenant is closed is refused as content is under a signature that does not fit.

use std::time::Duration;

use fhirpool_authz::TenantId;
use fhirpool_fhir::IssueCode;
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{Standing, TenantState};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use crate::ApiState;
use crate::error::{ApiError, Result};

/// How long a request waits for the registry where nobody could read it of late.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);

/// Lets in who belongs to a tenant that is active, or to one that is not known: the store says that it is not there.
pub(crate) async fn admit(state: &ApiState, tenant: &TenantId) -> Result<()> {
    match standing(state, tenant).await {
        Standing::Known(TenantState::Active) | Standing::Unknown => Ok(()),
        Standing::Known(TenantState::Suspended) => Err(closed("the tenant is suspended")),
        Standing::Known(TenantState::Deleting) => Err(closed("the tenant is being deleted")),
        Standing::Known(TenantState::Deleted) => Err(ApiError::no_tenant()),
        Standing::Blind => Err(blind()),
    }
}

/// The same for who comes with a signed address, of which the tenant is not proven yet.
pub(crate) async fn admit_signed(state: &ApiState, tenant: &TenantId) -> Result<()> {
    match standing(state, tenant).await {
        Standing::Known(TenantState::Active) | Standing::Unknown => Ok(()),
        Standing::Known(_) => Err(crate::handlers::content_refusal(StorageError::Denied)),
        Standing::Blind => Err(blind()),
    }
}

async fn standing(state: &ApiState, tenant: &TenantId) -> Standing {
    match state.tenants.standing(tenant) {
        Standing::Blind => {
            // Who reads it again and again may be late only; what went wrong, it tells.
            let _ = tokio::time::timeout(LOOK_TIME_MAX, state.tenants.refresh()).await;
            state.tenants.standing(tenant)
        }
        standing => standing,
    }
}

fn closed(text: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, IssueCode::Forbidden, text)
}

fn blind() -> ApiError {
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Transient, "how the tenant stands cannot be told now");
    error.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}
