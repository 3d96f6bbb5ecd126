//! Searches: over a type, over all types, in a compartment; by GET and by POST (R4 http.html#search).

use axum::body::Body;
use fhirpool_authz::{Interaction, Principal};
use fhirpool_fhir::ResourceType;
use fhirpool_interactions::{SearchInteraction, SearchScope};

use super::audit;
use crate::answer::Answer;
use crate::call::{Call, parse_type};
use crate::error::{ApiError, Result};

/// The longest form of a search by POST, in bytes.
const FORM_BYTES_MAX: usize = 8 << 20;

/// `GET [base]?…`, `[base]/[type]?…`, `[base]/[type]/[id]/[type]?…`
pub(super) async fn by_get(call: &Call<'_>, principal: &Principal) -> Result<Answer> {
    search(call, principal, call.query()).await
}

/// `POST …/_search`: parameters in the address and in the form count alike.
pub(super) async fn by_post(call: &Call<'_>, principal: &Principal, body: Body) -> Result<Answer> {
    let content_type = call.content_type()?;
    let is_form = content_type.as_ref().is_none_or(|content_type| content_type.essence == "application/x-www-form-urlencoded");
    if !is_form {
        return Err(ApiError::unsupported_type("a search by POST is application/x-www-form-urlencoded"));
    }
    let bytes_max = FORM_BYTES_MAX.min(call.state.settings.body_bytes_max);
    let form = crate::body::read(call.head, body, bytes_max, call.deadline).await?;
    if content_type.is_none() && !form.is_empty() {
        return Err(ApiError::unsupported_type("a search by POST is application/x-www-form-urlencoded"));
    }
    let form = String::from_utf8(form).map_err(|_| ApiError::bad_request("the form is not UTF-8"))?;
    let form = form.trim();
    search(call, principal, call.query_with(form)).await
}

async fn search(call: &Call<'_>, principal: &Principal, query: &str) -> Result<Answer> {
    if let Some(answer) = audit::search(call, principal, query).await? {
        return Ok(answer);
    }
    let (scope, resource_type) = scope(call)?;
    let access = call.read_access(principal, Interaction::Search, resource_type)?;
    let request = SearchInteraction { base: &call.base()?, scope, query, handling: call.prefer.handling, freshness: call.freshness()? };
    Ok(call.state.interactions.search(&access, request).await?.into())
}

/// What is searched, and the one type that it is about.
fn scope(call: &Call<'_>) -> Result<(SearchScope, Option<ResourceType>)> {
    if call.names.id.is_some() {
        let owner = call.key()?;
        // Without a type, or with `*`, the whole compartment.
        let member = call.names.member.as_deref().filter(|member| *member != "*").map(parse_type).transpose()?;
        return Ok((SearchScope::Compartment { owner, resource_type: member }, member));
    }
    if call.names.resource_type.is_some() {
        let resource_type = call.resource_type()?;
        return Ok((SearchScope::Type(resource_type), Some(resource_type)));
    }
    Ok((SearchScope::Tenant, None))
}
