//! One request that has found its route, as handlers see it.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use fhirpool_authz::{Administrator, Interaction, Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType, ServiceBase, Timestamp};
use fhirpool_interactions::{Returning, check_no_parameters};
use fhirpool_storage::Freshness;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, IF_MODIFIED_SINCE};
use http::request::Parts;
use tokio::time::Instant;

use crate::ApiState;
use crate::address::{Located, base_address};
use crate::answer::parse_http_date;
use crate::audit::{Attempt, Noted};
use crate::error::{ApiError, Result};
use crate::negotiation::{MediaType, single};
use crate::prefer::Prefer;
use crate::routes::PathNames;

/// What the answer of a search must know of.
const CONSISTENCY: HeaderName = HeaderName::from_static("x-consistency");

/// One request.
pub(crate) struct Call<'a> {
    pub state: &'a Arc<ApiState>,
    pub head: &'a Parts,
    pub located: &'a Located,
    pub names: &'a PathNames<'a>,
    pub tenant: TenantId,
    pub prefer: Prefer,
    /// What the record of the request says besides.
    pub noted: &'a Noted,
    /// Until when the body must be there.
    pub deadline: Instant,
}

impl<'a> Call<'a> {
    pub fn new(state: &'a Arc<ApiState>, attempt: &'a Attempt<'a>, tenant: TenantId, names: &'a PathNames<'a>) -> Self {
        let deadline = Instant::now() + state.settings.request_time_max;
        let Attempt { head, located, noted, .. } = attempt;
        Self { state, head, located, names, tenant, prefer: Prefer::parse(&head.headers), noted, deadline }
    }

    /// The base that the request came by: one of the tenant's own, or `scheme://host/tenant/<tenant>`, without the tenant where
    /// the path has none.
    pub fn base(&self) -> Result<ServiceBase> {
        let settings = &self.state.settings;
        let base = match self.located {
            Located::Tenant { base, .. } => base.clone(),
            _ => base_address(settings, self.head, self.names.tenant.is_some().then_some(&self.tenant))?,
        };
        let base = ServiceBase::new(base);
        if settings.addresses.is_empty() { Ok(base) } else { Ok(base.known_by(settings.addresses.bases(&self.tenant).into())) }
    }

    /// The address's query, undecoded.
    pub fn query(&self) -> &'a str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The address's query and a body's, which count alike.
    pub fn query_with(&self, in_body: &str) -> &'a str {
        match (self.query(), in_body) {
            (in_address, "") => in_address,
            ("", in_body) => self.noted.form.get_or_init(|| in_body.to_owned()),
            (in_address, in_body) => self.noted.form.get_or_init(|| format!("{in_address}&{in_body}")),
        }
    }

    /// Refuses parameters that the interaction does not have; those that steer the form of the answer are no such.
    pub fn check_no_parameters(&self) -> Result<()> {
        Ok(check_no_parameters(self.query(), self.prefer.handling)?)
    }

    /// The type in the path.
    pub fn resource_type(&self) -> Result<ResourceType> {
        parse_type(self.names.resource_type.as_deref().unwrap_or_default())
    }

    /// The type and id in the path. An id against the grammar names nothing that could be there.
    pub fn key(&self) -> Result<ResourceKey> {
        let resource_type = self.resource_type()?;
        let id = ResourceId::parse(self.names.id.as_deref().unwrap_or_default());
        let id = id.ok_or_else(|| ApiError::not_found(format!("there is no such {resource_type}: its id is malformed")))?;
        Ok(ResourceKey::new(resource_type, id))
    }

    /// The type and id in the path, which a resource is to have. An id against the grammar is refused.
    pub fn key_to_give(&self) -> Result<ResourceKey> {
        let resource_type = self.resource_type()?;
        let id = ResourceId::parse(self.names.id.as_deref().unwrap_or_default());
        let id = id.ok_or_else(|| ApiError::bad_request("an id has 1 to 64 letters, digits, `-` and `.`"))?;
        Ok(ResourceKey::new(resource_type, id))
    }

    /// Leave to read, for this interaction on this type (`None`: on what it is granted on).
    pub fn read_access(&self, principal: &Principal, interaction: Interaction, resource_type: Option<ResourceType>) -> Result<ReadAccess> {
        Ok(ReadAccess::authorize_for(principal, &self.tenant, interaction, resource_type)?)
    }

    /// Leave to write, likewise.
    pub fn write_access(
        &self,
        principal: &Principal,
        interaction: Interaction,
        resource_type: Option<ResourceType>,
    ) -> Result<WriteAccess> {
        Ok(WriteAccess::authorize_for(principal, &self.tenant, interaction, resource_type)?)
    }

    /// What the answers of searches must know of: by the header `X-Consistency`, one's own writes where it is absent.
    pub fn freshness(&self) -> Result<Freshness> {
        match self.header(&CONSISTENCY)? {
            None | Some("client") => Ok(Freshness::OwnWrites),
            Some("eventual") => Ok(Freshness::Eventual),
            Some("tenant") => Ok(Freshness::Tenant),
            Some(_) => Err(ApiError::bad_request("X-Consistency is one of client, eventual and tenant")),
        }
    }

    /// A header that may stand once.
    pub fn header(&self, name: &HeaderName) -> Result<Option<&str>> {
        single(&self.head.headers, name).map_err(|()| ApiError::bad_request(format!("the header {name} stands twice or is not UTF-8")))
    }

    /// A header that is a list: several lines are joined.
    pub fn list_header(&self, name: &HeaderName) -> Result<Option<Cow<'_, str>>> {
        if self.head.headers.get_all(name).iter().nth(1).is_none() {
            return Ok(self.header(name)?.map(Cow::Borrowed));
        }
        let lines: std::result::Result<Vec<&str>, _> = self.head.headers.get_all(name).iter().map(|line| line.to_str()).collect();
        let lines = lines.map_err(|_| ApiError::bad_request(format!("the header {name} is not ASCII")))?;
        Ok(Some(Cow::Owned(lines.join(","))))
    }

    /// `If-Modified-Since`; what is no date is ignored, as RFC 9110, section 13.1.3 says.
    pub fn if_modified_since(&self) -> Option<Timestamp> {
        self.head.headers.get(IF_MODIFIED_SINCE).and_then(|value| parse_http_date(value.to_str().ok()?))
    }

    /// The body's type; `None` where the client names none.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>> {
        Ok(self.header(&CONTENT_TYPE)?.filter(|text| !text.is_empty()).map(MediaType::parse))
    }

    /// The body, of whatever type.
    pub async fn body(&self, body: Body) -> Result<Vec<u8>> {
        let of_tenant = self.state.quotas.body_bytes_max(&self.tenant).unwrap_or(usize::MAX);
        crate::body::read(self.head, body, self.state.settings.body_bytes_max.min(of_tenant), self.deadline).await
    }

    /// The body where it is JSON by its type, or of no type.
    pub async fn json_body(&self, body: Body) -> Result<Vec<u8>> {
        match self.content_type()? {
            Some(content_type) if !content_type.is_json() => {
                Err(ApiError::unsupported_type("the body's type is not supported; application/fhir+json and application/json are"))
            }
            Some(content_type) if !content_type.is_utf8 => Err(ApiError::unsupported_type("the body's charset must be UTF-8")),
            _ => self.body(body).await,
        }
    }

    /// What a write on one resource gives back. R4 leaves the default to the server: it is the resource.
    pub fn returning(&self) -> Returning {
        self.prefer.returning.unwrap_or(Returning::Representation)
    }
}

/// The type of a name in a path.
pub(crate) fn parse_type(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        ApiError::not_found(format!("there is no resource type {name:?}"))
    })
}

/// Whose token a request carries.
pub(crate) async fn authenticate(state: &ApiState, head: &Parts) -> Result<Arc<Principal>> {
    let (token, now) = (bearer_token(head)?, seconds(state));
    Ok(state.verifier.verify_or_fetch(token, now).await?)
}

/// Whose token for the administration of tenants it is.
pub(crate) async fn authenticate_administrator(state: &ApiState, head: &Parts) -> Result<Administrator> {
    let (token, now) = (bearer_token(head)?, seconds(state));
    Ok(state.verifier.verify_admin_or_fetch(token, now).await?)
}

fn seconds(state: &ApiState) -> i64 {
    state.interactions.clock.now().0.div_euclid(1000)
}

fn bearer_token(head: &Parts) -> Result<&str> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(ApiError::no_token()) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim()).ok_or_else(ApiError::no_token)
}
