//! Each request's record in the log of accesses.
//!
//! A request takes its place in the buffer as soon as its route is known, before anything else is looked at, and leaves its record
//! behind however it ends: answered, refused, too slow, failed, or given up by its client. Addresses of nothing and what is open
//! to everyone (health, capabilities) are no accesses.
//!
//! What administrators do to a tenant is told to that tenant ([`administration`]).
//!
//! A request with another tenant's token is told twice: to the token's tenant with who asked, to the tenant of the address without.

pub(crate) mod administration;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use fhirpool_audit::{Access, Activity, AuditTrail, Room, parameter_names, patients_in};
use fhirpool_authz::{Administrator, Principal, TenantId};
use fhirpool_fhir::{Definitions, ResourceId, ResourceType, VersionId};
use fhirpool_interactions::BundleProgress;
use http::header::{CONTENT_LOCATION, ETAG, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::oneshot;

use crate::ApiState;
use crate::address::{Located, client_address};
use crate::answer::{Answer, Content};
use crate::routes::{Action, Found, PathNames, RouteTable};

/// What handlers tell of a request besides its answer.
#[derive(Default)]
pub(crate) struct Noted {
    /// Who asks.
    pub principal: OnceLock<Arc<Principal>>,
    /// The query, where the body has some of it.
    pub form: OnceLock<String>,
    /// What was done, where the route does not tell.
    pub activity: OnceLock<Activity>,
    /// How far a Bundle is.
    pub bundle: BundleProgress,
    /// Who administers tenants.
    pub administrator: OnceLock<Administrator>,
    /// The tenant that is administered, where the path does not name it.
    pub tenant: OnceLock<TenantId>,
}

/// What records are made with: the trail, and the words that names of parameters are made of.
pub(crate) struct Audit {
    trail: AuditTrail,
    words: HashSet<String>,
}

/// Names in queries besides those of search parameters and types: what steers searches and answers, and modifiers.
const WORDS: [&str; 42] = [
    "_page",
    "_count",
    "_sort",
    "_summary",
    "_elements",
    "_include",
    "_revinclude",
    "_total",
    "_contained",
    "_containedType",
    "_format",
    "_pretty",
    "_type",
    "_since",
    "_at",
    "_has",
    "_list",
    "_filter",
    "_query",
    "_text",
    "_content",
    "_id",
    "_lastUpdated",
    "_tag",
    "_profile",
    "_security",
    "_source",
    "iterate",
    "recurse",
    "missing",
    "exact",
    "contains",
    "text",
    "not",
    "above",
    "below",
    "in",
    "not-in",
    "identifier",
    "of-type",
    "type",
    "mode",
];

impl Audit {
    /// Of the state's trail, where there is one.
    pub fn new(state: &ApiState) -> Option<Self> {
        let trail = state.audit.clone()?;
        let definitions: &Definitions = &state.interactions.definitions;
        let codes = definitions.all_search_parameters().map(|parameter| parameter.code.clone());
        let types = ResourceType::all().map(|resource_type| resource_type.name().to_owned());
        Some(Self { trail, words: codes.chain(types).chain(WORDS.map(str::to_owned)).collect() })
    }
}

/// What a request's record is made of.
pub(crate) struct Attempt<'a> {
    context: &'a Context,
    pub head: &'a Parts,
    /// What its host and path lead to.
    pub located: &'a Located,
    pub found: Found<'a>,
    pub request_id: HeaderValue,
    pub noted: Noted,
    room: OnceLock<Room>,
}

/// What all requests share.
pub(crate) struct Context {
    pub state: Arc<ApiState>,
    pub table: RouteTable,
    pub audit: Option<Audit>,
}

impl Context {
    /// The route that a request's path has for a method.
    pub fn find<'a>(&self, method: &Method, head: &'a Parts, located: &'a Located) -> Found<'a> {
        let path = head.uri.path();
        match located {
            Located::Server => self.table.find(method, path, self.state.settings.default_tenant.is_some()),
            _ if path.starts_with("/health/") => self.table.find_health(method, path),
            Located::Tenant { tenant, path_at, .. } => self.table.find_of_tenant(tenant.as_str(), method, &path[*path_at..]),
            Located::Nowhere => Found::Nothing,
            Located::Malformed => Found::MalformedHost,
        }
    }
}

impl<'a> Attempt<'a> {
    pub fn new(context: &'a Context, head: &'a Parts, located: &'a Located, request_id: HeaderValue) -> Self {
        let found = context.find(&head.method, head, located);
        Self { context, head, located, found, request_id, noted: Noted::default(), room: OnceLock::new() }
    }

    /// What is asked for; `None` where the address leads nowhere.
    pub fn action(&self) -> Option<Action> {
        if let Found::Route(route, _) = &self.found { Some(route.action) } else { None }
    }

    /// Takes the place of the record; waits while there is none.
    pub async fn take_room(&self, action: Action) {
        if let Some(audit) = &self.context.audit
            && activity_of(action).is_some()
        {
            // It is taken once for a request.
            let _ = self.room.set(audit.trail.room().await);
        }
    }

    /// Leaves the record of an answer behind. What is given is to be awaited ahead of it.
    pub fn finish(&mut self, answer: &Answer) -> Option<oneshot::Receiver<()>> {
        self.leave(Some(answer))
    }

    fn leave(&mut self, answer: Option<&Answer>) -> Option<oneshot::Receiver<()>> {
        let room = self.room.take()?;
        let Context { state, audit, .. } = self.context;
        let audit = audit.as_ref()?;
        let Found::Route(route, names) = &self.found else { return None };
        if route.action.is_administration() {
            return administration::leave(self, audit, room, route.action, names, answer);
        }
        let principal = self.noted.principal.get().map(|principal| &**principal);
        let may_have_changed = changes(route.action);
        let resource = resource_of(names, answer.map(|answer| &answer.headers), may_have_changed);
        let query = self.noted.form.get().map_or(self.head.uri.query().unwrap_or_default(), String::as_str);
        let parameters = match query {
            "" => String::new(),
            query => parameter_names(query, |word| audit.words.contains(word)),
        };
        let mut bundle = self.noted.bundle.take();
        if let (Some(bundle), true) = (&mut bundle, answer.is_some_and(|answer| answer.status.is_client_error())) {
            // One that is refused has done nothing.
            bundle.touched.clear();
        }
        let noted = self.noted.activity.get().copied().or(bundle.as_ref().map(|bundle| bundle.activity));
        let activity = noted.or(activity_of(route.action));
        let mut patients = match answer.map(|answer| &answer.content) {
            // What the log tells of patients is no access to them, and would be found for each of them ever after.
            Some(Content::Json(json)) if activity != Some(Activity::Audit) => patients_in(json),
            _ => Vec::new(),
        };
        let launched = principal.and_then(|principal| principal.launch().patient.as_ref()).map(ResourceId::as_str);
        if let Some(launched) = launched.filter(|launched| !patients.contains(launched)) {
            patients.push(launched);
        }
        let access = Access {
            time: state.interactions.clock.now(),
            activity: activity.unwrap_or(Activity::Other),
            status: answer.map_or(0, |answer| answer.status.as_u16()),
            request_id: self.request_id.to_str().unwrap_or_default(),
            peer: client_address(&state.settings, self.head),
            principal,
            administrator: None,
            resource_type: resource.resource_type,
            id: resource.id,
            version: resource.version,
            parameters: &parameters,
            patients: &patients,
            touched: bundle.as_ref().map(|bundle| bundle.touched.as_slice()).unwrap_or_default(),
        };
        let name_in_path = names.tenant.as_deref().or(state.settings.default_tenant.as_ref().map(TenantId::as_str));
        let has_changed = may_have_changed && (200..300).contains(&access.status);
        match principal {
            Some(principal) if name_in_path == Some(principal.tenant().as_str()) => {
                if has_changed {
                    return audit.trail.note_change(room, principal.tenant(), &access);
                }
                audit.trail.note(room, principal.tenant(), &access);
            }
            Some(stranger) => {
                audit.trail.note(room, stranger.tenant(), &access);
                if let Some(tenant) = name_in_path.and_then(TenantId::parse) {
                    audit.trail.note_besides(&tenant, &Access { principal: None, patients: &[], ..access });
                }
            }
            None => {
                let tenant = name_in_path.and_then(TenantId::parse)?;
                if has_changed {
                    return audit.trail.note_change(room, &tenant, &access);
                }
                audit.trail.note(room, &tenant, &access);
            }
        }
        None
    }
}

impl Drop for Attempt<'_> {
    /// The client went away: what it asked for may have been done.
    fn drop(&mut self) {
        self.leave(None);
    }
}

/// What a request was about.
struct Resource<'a> {
    resource_type: Option<ResourceType>,
    id: Option<&'a str>,
    version: Option<u64>,
}

/// By the path, and by what the answer says that it has made.
fn resource_of<'a>(names: &'a PathNames<'_>, headers: Option<&'a HeaderMap>, may_have_changed: bool) -> Resource<'a> {
    let id_in_path = names.id.as_deref().filter(|id| ResourceId::parse(id).is_some());
    let in_path = names.version.as_deref().and_then(VersionId::parse);
    let text = |name: &HeaderName| headers.and_then(|headers| headers.get(name)?.to_str().ok());
    let made = [&LOCATION, &CONTENT_LOCATION].into_iter().filter(|_| may_have_changed).find_map(|name| {
        let mut parts = text(name)?.rsplit('/');
        let (version, history, id) = (parts.next()?, parts.next()?, parts.next()?);
        (history == "_history").then_some((ResourceId::parse(id).map(|_| id)?, VersionId::parse(version)?))
    });
    let tag = || VersionId::parse(text(&ETAG)?.strip_prefix("W/\"")?.strip_suffix('"')?);
    Resource {
        resource_type: names.resource_type.as_deref().and_then(ResourceType::parse),
        id: made.map(|(id, _)| id).or(id_in_path),
        version: made.map(|(_, version)| version).or(in_path).or_else(tag).map(|version| version.0),
    }
}

/// `None`: it is no access.
fn activity_of(action: Action) -> Option<Activity> {
    Some(match action {
        Action::Live | Action::Ready | Action::Metadata | Action::SmartConfiguration => return None,
        // It is about no tenant; who is refused has a line in the server's log.
        Action::TenantList => return None,
        Action::TenantCreate => Activity::TenantCreate,
        Action::TenantShow => Activity::TenantShow,
        Action::TenantDelete => Activity::TenantDelete,
        Action::TenantSuspend => Activity::TenantSuspend,
        Action::TenantResume => Activity::TenantResume,
        Action::TenantAccess => Activity::TenantAccess,
        Action::Bundle => Activity::Bundle,
        Action::SearchSystem | Action::SearchSystemByPost => Activity::SearchSystem,
        Action::SearchType | Action::SearchTypeByPost | Action::SearchCompartment | Action::SearchCompartmentByPost => Activity::SearchType,
        Action::HistorySystem => Activity::HistorySystem,
        Action::HistoryType => Activity::HistoryType,
        Action::HistoryInstance => Activity::HistoryInstance,
        Action::Create => Activity::Create,
        Action::Update | Action::UpdateConditional => Activity::Update,
        Action::Patch | Action::PatchConditional => Activity::Patch,
        Action::Delete | Action::DeleteConditional => Activity::Delete,
        Action::Read => Activity::Read,
        Action::Vread => Activity::Vread,
        Action::Operation => Activity::Operation,
        Action::ContentUpload => Activity::ContentUpload,
        Action::ContentDownload => Activity::ContentDownload,
    })
}

/// Whether a request of this kind may have changed something when it succeeds.
fn changes(action: Action) -> bool {
    matches!(
        action,
        Action::Bundle
            | Action::Create
            | Action::Update
            | Action::UpdateConditional
            | Action::Patch
            | Action::PatchConditional
            | Action::Delete
            | Action::DeleteConditional
            | Action::ContentUpload
    )
}
