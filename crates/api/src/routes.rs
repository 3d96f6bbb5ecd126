//! The table of all routes, and which of them a path and method name.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The process runs.
    Live,
    /// Requests can be served.
    Ready,
    /// CapabilityStatement.
    Metadata,
    /// SMART's configuration.
    SmartConfiguration,
    /// Batch or transaction.
    Bundle,
    /// Search over all types.
    SearchSystem,
    /// The same by POST.
    SearchSystemByPost,
    /// History of the tenant.
    HistorySystem,
    /// Create.
    Create,
    /// Search over a type.
    SearchType,
    /// The same by POST.
    SearchTypeByPost,
    /// History of a type.
    HistoryType,
    /// Conditional update.
    UpdateConditional,
    /// Conditional patch.
    PatchConditional,
    /// Conditional delete.
    DeleteConditional,
    /// Read.
    Read,
    /// Update.
    Update,
    /// Patch.
    Patch,
    /// Delete.
    Delete,
    /// History of a resource.
    HistoryInstance,
    /// Read of a version.
    Vread,
    /// Search in a compartment.
    SearchCompartment,
    /// The same by POST.
    SearchCompartmentByPost,
    /// An operation (`$name`).
    Operation,
    /// Upload of content by a signed URL.
    ContentUpload,
    /// Download of content by a signed URL.
    ContentDownload,
    /// All tenants, for who administers them.
    TenantList,
    /// A new tenant.
    TenantCreate,
    /// One tenant.
    TenantShow,
    /// Removes a tenant for good.
    TenantDelete,
    /// Refuses everything for a tenant.
    TenantSuspend,
    /// Serves a tenant again.
    TenantResume,
    /// Roles, quotas and issuers of a tenant's own.
    TenantAccess,
}

impl Action {
    /// All of them, in the order of their declaration.
    pub const ALL: &[Self] = &[
        Self::Live,
        Self::Ready,
        Self::Metadata,
        Self::SmartConfiguration,
        Self::Bundle,
        Self::SearchSystem,
        Self::SearchSystemByPost,
        Self::HistorySystem,
        Self::Create,
        Self::SearchType,
        Self::SearchTypeByPost,
        Self::HistoryType,
        Self::UpdateConditional,
        Self::PatchConditional,
        Self::DeleteConditional,
        Self::Read,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::HistoryInstance,
        Self::Vread,
        Self::SearchCompartment,
        Self::SearchCompartmentByPost,
        Self::Operation,
        Self::ContentUpload,
        Self::ContentDownload,
        Self::TenantList,
        Self::TenantCreate,
        Self::TenantShow,
        Self::TenantDelete,
        Self::TenantSuspend,
        Self::TenantResume,
        Self::TenantAccess,
    ];

    /// As logs, traces and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Metadata => "metadata",
            Self::SmartConfiguration => "smart-configuration",
            Self::Bundle => "bundle",
            Self::SearchSystem => "search-system",
            Self::SearchSystemByPost => "search-system-by-post",
            Self::HistorySystem => "history-system",
            Self::Create => "create",
            Self::SearchType => "search-type",
            Self::SearchTypeByPost => "search-type-by-post",
            Self::HistoryType => "history-type",
            Self::UpdateConditional => "update-conditional",
            Self::PatchConditional => "patch-conditional",
            Self::DeleteConditional => "delete-conditional",
            Self::Read => "read",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::HistoryInstance => "history-instance",
            Self::Vread => "vread",
            Self::SearchCompartment => "search-compartment",
            Self::SearchCompartmentByPost => "search-compartment-by-post",
            Self::Operation => "operation",
            Self::ContentUpload => "content-upload",
            Self::ContentDownload => "content-download",
            Self::TenantList => "tenant-list",
            Self::TenantCreate => "tenant-create",
            Self::TenantShow => "tenant-show",
            Self::TenantDelete => "tenant-delete",
            Self::TenantSuspend => "tenant-suspend",
            Self::TenantResume => "tenant-resume",
            Self::TenantAccess => "tenant-access",
        }
    }
}

impl Action {
    /// Whether it is for who administers tenants, by a token of another kind.
    pub fn is_administration(self) -> bool {
        use Action::{TenantAccess, TenantCreate, TenantDelete, TenantList, TenantResume, TenantShow, TenantSuspend};
        matches!(self, TenantList | TenantCreate | TenantShow | TenantDelete | TenantSuspend | TenantResume | TenantAccess)
    }
}

/// Where a route's pattern begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// At the root of the server.
    Server,
    /// At `/tenant/{tenant}`, and for the default tenant at the root too.
    Tenant,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method. HEAD goes wherever GET goes, OPTIONS everywhere.
    pub method: Method,
    /// Where the pattern begins.
    pub scope: Scope,
    /// Segments, each a literal or one of `{tenant}`, `{type}`, `{id}`, `{vid}`, `{member}` (a type or `*`) and `{operation}`.
    pub pattern: &'static str,
    /// What it does.
    pub action: Action,
}

impl Route {
    /// The pattern from the root of the server.
    pub fn full_pattern(&self) -> String {
        match self.scope {
            Scope::Server => self.pattern.to_owned(),
            Scope::Tenant => format!("/tenant/{{tenant}}{}", self.pattern),
        }
    }

    /// Whether it answers without a token. Content does by the signature in its address.
    pub fn is_open(&self) -> bool {
        matches!(
            self.action,
            Action::Live | Action::Ready | Action::Metadata | Action::SmartConfiguration | Action::ContentUpload | Action::ContentDownload
        )
    }
}

const fn server(method: Method, pattern: &'static str, action: Action) -> Route {
    Route { method, scope: Scope::Server, pattern, action }
}

const fn tenant(method: Method, pattern: &'static str, action: Action) -> Route {
    Route { method, scope: Scope::Tenant, pattern, action }
}

/// Every route of the server. The router is built from this table and has no other.
pub static ROUTES: &[Route] = &[
    server(Method::GET, "/health/live", Action::Live),
    server(Method::GET, "/health/ready", Action::Ready),
    server(Method::GET, "/admin/tenants", Action::TenantList),
    server(Method::POST, "/admin/tenants", Action::TenantCreate),
    server(Method::GET, "/admin/tenants/{tenant}", Action::TenantShow),
    server(Method::DELETE, "/admin/tenants/{tenant}", Action::TenantDelete),
    server(Method::POST, "/admin/tenants/{tenant}/$suspend", Action::TenantSuspend),
    server(Method::POST, "/admin/tenants/{tenant}/$resume", Action::TenantResume),
    server(Method::PUT, "/admin/tenants/{tenant}/access", Action::TenantAccess),
    tenant(Method::GET, "/metadata", Action::Metadata),
    tenant(Method::GET, "/.well-known/smart-configuration", Action::SmartConfiguration),
    tenant(Method::PUT, "/$content/{type}/{id}/{vid}", Action::ContentUpload),
    tenant(Method::GET, "/$content/{type}/{id}/{vid}", Action::ContentDownload),
    tenant(Method::GET, "", Action::SearchSystem),
    tenant(Method::POST, "", Action::Bundle),
    tenant(Method::POST, "/_search", Action::SearchSystemByPost),
    tenant(Method::GET, "/_history", Action::HistorySystem),
    tenant(Method::GET, "/{operation}", Action::Operation),
    tenant(Method::POST, "/{operation}", Action::Operation),
    tenant(Method::GET, "/{type}", Action::SearchType),
    tenant(Method::POST, "/{type}", Action::Create),
    tenant(Method::PUT, "/{type}", Action::UpdateConditional),
    tenant(Method::PATCH, "/{type}", Action::PatchConditional),
    tenant(Method::DELETE, "/{type}", Action::DeleteConditional),
    tenant(Method::POST, "/{type}/_search", Action::SearchTypeByPost),
    tenant(Method::GET, "/{type}/_history", Action::HistoryType),
    tenant(Method::GET, "/{type}/{operation}", Action::Operation),
    tenant(Method::POST, "/{type}/{operation}", Action::Operation),
    tenant(Method::GET, "/{type}/{id}", Action::Read),
    tenant(Method::PUT, "/{type}/{id}", Action::Update),
    tenant(Method::PATCH, "/{type}/{id}", Action::Patch),
    tenant(Method::DELETE, "/{type}/{id}", Action::Delete),
    tenant(Method::GET, "/{type}/{id}/_history", Action::HistoryInstance),
    tenant(Method::GET, "/{type}/{id}/_history/{vid}", Action::Vread),
    tenant(Method::POST, "/{type}/{id}/_search", Action::SearchCompartmentByPost),
    tenant(Method::GET, "/{type}/{id}/{operation}", Action::Operation),
    tenant(Method::POST, "/{type}/{id}/{operation}", Action::Operation),
    tenant(Method::GET, "/{type}/{id}/{member}", Action::SearchCompartment),
    tenant(Method::POST, "/{type}/{id}/{member}/_search", Action::SearchCompartmentByPost),
];

/// The most segments that a path may have behind `/tenant/{tenant}`.
const SEGMENTS_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    Tenant,
    Type,
    Id,
    Version,
    Member,
    Operation,
}

impl Segment {
    fn of(text: &'static str) -> Self {
        match text {
            "{tenant}" => Self::Tenant,
            "{type}" => Self::Type,
            "{id}" => Self::Id,
            "{vid}" => Self::Version,
            "{member}" => Self::Member,
            "{operation}" => Self::Operation,
            literal => Self::Literal(literal),
        }
    }

    fn matches(self, text: &str) -> bool {
        let first = text.as_bytes().first().copied().unwrap_or_default();
        match self {
            Self::Literal(literal) => text == literal,
            Self::Tenant => !text.is_empty(),
            Self::Type => first.is_ascii_uppercase(),
            Self::Id | Self::Version => !matches!(first, 0 | b'_' | b'$'),
            Self::Member => first.is_ascii_uppercase() || text == "*",
            Self::Operation => first == b'$',
        }
    }
}

/// A route with its pattern taken apart.
type Entry = (Vec<Segment>, &'static Route);

/// The table made ready for matching.
#[derive(Debug)]
pub(crate) struct RouteTable {
    /// By scope (server, tenant) and number of segments.
    by_length: [Vec<Vec<Entry>>; 2],
}

/// What a path names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PathNames<'a> {
    /// The tenant, where the path has one.
    pub tenant: Option<Cow<'a, str>>,
    /// `{type}`
    pub resource_type: Option<Cow<'a, str>>,
    /// `{id}`
    pub id: Option<Cow<'a, str>>,
    /// `{vid}`
    pub version: Option<Cow<'a, str>>,
    /// `{member}`
    pub member: Option<Cow<'a, str>>,
    /// `{operation}`
    pub operation: Option<Cow<'a, str>>,
}

/// What a method and path come to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A route.
    Route(&'static Route, PathNames<'a>),
    /// The path is known, with these methods.
    OtherMethods(Vec<&'static Route>),
    /// There is no such path.
    Nothing,
    /// A segment is not percent-encoded UTF-8.
    Malformed,
    /// The host of the request is none.
    MalformedHost,
}

impl RouteTable {
    pub fn new() -> Self {
        let mut by_length = [vec![Vec::new(); SEGMENTS_MAX + 1], vec![Vec::new(); SEGMENTS_MAX + 1]];
        for route in ROUTES {
            let segments: Vec<Segment> = route.pattern.split('/').skip(1).map(Segment::of).collect();
            by_length[route.scope as usize][segments.len()].push((segments, route));
        }
        Self { by_length }
    }

    /// Finds the route of a method and path. One slash at the end of the path counts for nothing.
    pub fn find<'a>(&self, method: &Method, path: &'a str, has_default_tenant: bool) -> Found<'a> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some(behind) = path.strip_prefix("tenant/") {
            let (tenant, behind) = behind.split_once('/').unwrap_or((behind, ""));
            let Some(tenant) = decode(tenant) else { return Found::Malformed };
            return self.find_below(Some(tenant), method, behind, false);
        }
        self.find_below(None, method, path, has_default_tenant)
    }

    /// The same of what stands behind the base of a tenant's own.
    pub fn find_of_tenant<'a>(&self, tenant: &'a str, method: &Method, path: &'a str) -> Found<'a> {
        let path = path.strip_prefix('/').unwrap_or(path);
        self.find_below(Some(tenant.into()), method, path.strip_suffix('/').unwrap_or(path), false)
    }

    /// The route of what tells of the process, at whatever host.
    pub fn find_health<'a>(&self, method: &Method, path: &'a str) -> Found<'a> {
        let is_health = |route: &Route| matches!(route.action, Action::Live | Action::Ready);
        match self.find(method, path, false) {
            Found::Route(route, names) if is_health(route) => Found::Route(route, names),
            Found::OtherMethods(routes) if routes.iter().all(|route| is_health(route)) => Found::OtherMethods(routes),
            _ => Found::Nothing,
        }
    }

    fn find_below<'a>(&self, tenant: Option<Cow<'a, str>>, method: &Method, rest: &'a str, has_default_tenant: bool) -> Found<'a> {
        let scope = if tenant.is_some() { Scope::Tenant } else { Scope::Server };
        let names = PathNames { tenant, ..PathNames::default() };
        let mut segments: [Cow<'a, str>; SEGMENTS_MAX] = Default::default();
        let mut length = 0;
        for segment in rest.split('/').filter(|_| !rest.is_empty()) {
            if length == SEGMENTS_MAX {
                return Found::Nothing;
            }
            let Some(segment) = decode(segment) else { return Found::Malformed };
            segments[length] = segment;
            length += 1;
        }
        match self.find_in(scope, method, &mut segments[..length], names) {
            Found::Nothing if scope == Scope::Server && has_default_tenant => {
                self.find_in(Scope::Tenant, method, &mut segments[..length], PathNames::default())
            }
            found => found,
        }
    }

    fn find_in<'a>(&self, scope: Scope, method: &Method, segments: &mut [Cow<'a, str>], mut names: PathNames<'a>) -> Found<'a> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let mut others = Vec::new();
        for (pattern, route) in &self.by_length[scope as usize][segments.len()] {
            if !pattern.iter().zip(&*segments).all(|(segment, text)| segment.matches(text)) {
                continue;
            }
            if route.method != *method {
                others.push(*route);
                continue;
            }
            for (segment, text) in pattern.iter().zip(segments) {
                let text = Some(std::mem::take(text));
                match segment {
                    Segment::Literal(_) => {}
                    Segment::Tenant => names.tenant = text,
                    Segment::Type => names.resource_type = text,
                    Segment::Id => names.id = text,
                    Segment::Version => names.version = text,
                    Segment::Member => names.member = text,
                    Segment::Operation => names.operation = text,
                }
            }
            return Found::Route(route, names);
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let bytes = segment.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let well_formed = (0..bytes.len()).filter(|at| bytes[*at] == b'%').all(|at| is_digit(at + 1) && is_digit(at + 2));
    if well_formed { percent_decode_str(segment).decode_utf8().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: Method, path: &str) -> Option<Action> {
        match RouteTable::new().find(&method, path, false) {
            Found::Route(route, _) => Some(route.action),
            _ => None,
        }
    }

    #[test]
    fn every_route_is_found_by_its_own_pattern() {
        for route in ROUTES {
            let path = route.full_pattern().replace("{tenant}", "acme").replace("{type}", "Patient").replace("{id}", "1");
            let path = path.replace("{vid}", "2").replace("{member}", "Observation").replace("{operation}", "$any");
            assert_eq!(action(route.method.clone(), &path), Some(route.action), "{} {path}", route.method);
            assert_eq!(action(route.method.clone(), &format!("{path}/")), Some(route.action), "{} {path}/", route.method);
        }
    }

    #[test]
    fn names_are_decoded_and_told_apart() {
        let table = RouteTable::new();
        let Found::Route(route, names) = table.find(&Method::HEAD, "/tenant/acme/Patient/a%2Db/_history/3", false) else {
            panic!("no route")
        };
        assert_eq!(route.action, Action::Vread);
        assert_eq!((names.tenant.as_deref(), names.id.as_deref(), names.version.as_deref()), (Some("acme"), Some("a-b"), Some("3")));
        assert_eq!(action(Method::GET, "/tenant/acme/Patient/1/*"), Some(Action::SearchCompartment));
        assert_eq!(action(Method::GET, "/tenant/acme/%24export"), Some(Action::Operation));
    }

    #[test]
    fn paths_that_are_not_there_are_told_from_methods_that_are_not() {
        let table = RouteTable::new();
        for path in
            ["/", "/Patient", "/tenant", "/tenant/", "/tenant/acme/patient", "/tenant/acme/Patient/1/x/y/z", "/tenant/acme//Patient"]
        {
            assert!(matches!(table.find(&Method::GET, path, false), Found::Nothing), "{path}");
        }
        for path in ["/tenant/acme/Patient/%", "/tenant/acme/Patient/%zz", "/tenant/%ff/metadata", "/tenant/acme/Patient/%C3%28"] {
            assert!(matches!(table.find(&Method::GET, path, false), Found::Malformed), "{path}");
        }
        let Found::OtherMethods(routes) = table.find(&Method::POST, "/tenant/acme/Patient/1", false) else { panic!("no other methods") };
        assert_eq!(routes.len(), 4);
    }

    #[test]
    fn the_default_tenant_has_no_prefix() {
        let table = RouteTable::new();
        let Found::Route(route, names) = table.find(&Method::GET, "/Patient/1", true) else { panic!("no route") };
        assert_eq!((route.action, names.tenant), (Action::Read, None));
        assert!(matches!(table.find(&Method::GET, "/health/live", true), Found::Route(route, _) if route.action == Action::Live));
        assert!(matches!(table.find(&Method::POST, "/", true), Found::Route(route, _) if route.action == Action::Bundle));
    }
}
