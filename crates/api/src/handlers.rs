//! What each route's action does, one file a group of routes.

mod audit;
mod binary;
mod bundle;
mod content;
mod history;
mod instance;
mod metadata;
mod operation;
mod search;
mod tenants;
mod write;

use axum::body::Body;
use fhirpool_authz::Principal;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{ApiError, Result};
use crate::routes::Action;

pub(crate) use content::{download, refusal as content_refusal, upload};
pub(crate) use instance::read;
pub(crate) use metadata::{live, metadata, ready, smart_configuration};
pub(crate) use tenants::administer;

/// Does what a route with a token says.
pub(crate) async fn dispatch(action: Action, call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    match action {
        Action::Bundle => bundle::bundle(call, principal, body).await,
        Action::SearchSystem | Action::SearchType | Action::SearchCompartment => search::by_get(call, principal).await,
        Action::SearchSystemByPost | Action::SearchTypeByPost | Action::SearchCompartmentByPost => {
            search::by_post(call, principal, body).await
        }
        Action::HistorySystem | Action::HistoryType | Action::HistoryInstance => history::history(call, principal).await,
        Action::Create => write::create(call, principal, body).await,
        Action::Update => write::update(call, principal, body).await,
        Action::UpdateConditional => write::update_conditional(call, principal, body).await,
        Action::Patch => write::patch(call, principal, body).await,
        Action::PatchConditional => write::patch_conditional(call, principal, body).await,
        Action::Delete => write::delete(call, principal).await,
        Action::DeleteConditional => write::delete_conditional(call, principal).await,
        Action::Read => instance::read(call, principal).await,
        Action::Vread => instance::vread(call, principal).await,
        Action::Operation => operation::call_operation(call, principal, body).await,
        Action::Live => Ok(live()),
        Action::Ready => ready(call.state),
        Action::Metadata => metadata(call),
        Action::SmartConfiguration => Ok(smart_configuration(call)),
        Action::ContentUpload => upload(call, body).await,
        Action::ContentDownload => download(call).await,
        Action::TenantList
        | Action::TenantCreate
        | Action::TenantShow
        | Action::TenantDelete
        | Action::TenantSuspend
        | Action::TenantResume
        | Action::TenantAccess => Err(ApiError::internal("the administration of tenants is no tenant's".to_owned())),
    }
}
