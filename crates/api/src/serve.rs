//! The one way of a request: limits, route, form of the answer, token, handler, answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use fhirpool_authz::TenantId;
use fhirpool_fhir::IssueCode;
use futures_util::FutureExt;
use http::header::{ALLOW, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::address::Located;
use crate::answer::{Answer, Content, Form};
use crate::audit::{Attempt, Audit, Context, administration};
use crate::call::{Call, authenticate, authenticate_administrator};
use crate::error::{ApiError, Result};
use crate::handlers;
use crate::measures::Measures;
use crate::negotiation::{accepts_gzip, json_of_accept, json_of_format};
use crate::quota;
use crate::routes::{Action, Found, PathNames, Route, RouteTable};
use crate::tenancy;
use crate::{ApiState, Settings};

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The router of the whole API, built from [`crate::routes::ROUTES`].
pub fn router(state: Arc<ApiState>) -> axum::Router {
    let cors = cors(&state.settings);
    let measures = state.settings.metrics_tenants_max.map(Measures::new);
    let context = Context { audit: Audit::new(&state), table: RouteTable::new(), state };
    let server = Arc::new(Server { context, request_ids: RequestIds::new(), measures });
    let router = axum::Router::new().fallback(move |request: Request| serve(server.clone(), request));
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    // Turns the handler into a service once instead of for every request.
    router.with_state(())
}

struct Server {
    context: Context,
    request_ids: RequestIds,
    measures: Option<Measures>,
}

/// What logs, traces and metrics say of a request.
struct Trail {
    span: Span,
    action: Option<Action>,
    tenant: Option<TenantId>,
}

impl Trail {
    fn set_tenant(&mut self, tenant: &TenantId) {
        self.tenant = Some(tenant.clone());
        self.span.record("tenant", tenant.as_str());
    }
}

/// How much longer a request may take than its body: a body that comes too late is the client's fault (408), and must be told
/// from work that takes too long (503).
const BODY_GRACE: Duration = Duration::from_millis(100);

async fn serve(server: Arc<Server>, request: Request) -> Response {
    let is_logged = tracing::enabled!(target: "fhirpool::access", tracing::Level::DEBUG);
    let started = (is_logged || server.measures.is_some()).then(Instant::now);
    let (head, body) = request.into_parts();
    let located = Located::of(&server.context.state.settings, &head);
    let mut attempt = Attempt::new(&server.context, &head, &located, server.request_ids.of(&head));
    let mut form = Form::default();
    let action = attempt.action();
    let span = request_span(&head, &attempt.request_id, action);
    let mut trail = Trail { span: span.clone(), action, tenant: None };
    let time_max = server.context.state.settings.request_time_max + BODY_GRACE;
    let handled = tokio::time::timeout(time_max, handle(&server.context, &attempt, body, &mut form, &mut trail)).instrument(span);
    let mut answer = match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(error))) => refuse(error, &attempt.request_id, &trail),
        Ok(Err(_elapsed)) => {
            let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Timeout, "the request took longer than allowed");
            refuse(error, &attempt.request_id, &trail)
        }
        Err(panic) => refuse(ApiError::internal(panic_text(&*panic)), &attempt.request_id, &trail),
    };
    // What was changed is not told before its record is kept.
    if let Some(kept) = attempt.finish(&answer)
        && !matches!(tokio::time::timeout(time_max, kept).await, Ok(Ok(())))
    {
        let text = "what was asked for may be done, but its record could not be kept in time";
        answer = refuse(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, IssueCode::Timeout, text), &attempt.request_id, &trail);
    }
    let status = answer.status;
    let mut response = answer.into_response(form).await;
    let Trail { span, action, tenant } = trail;
    span.record("status", status.as_u16());
    if let Some(started) = started {
        let elapsed = started.elapsed();
        if let Some(measures) = &server.measures {
            measures.count(action, tenant.as_ref(), status, elapsed);
        }
        let micros = elapsed.as_micros() as u64;
        let (action, tenant) = (action.map(Action::name), tenant.as_ref().map(TenantId::as_str));
        tracing::debug!(target: "fhirpool::access", request_id = ?attempt.request_id, method = %head.method, action, tenant, status = status.as_u16(), micros);
    }
    response.headers_mut().insert(&X_REQUEST_ID, attempt.request_id.clone());
    response
}

/// What the spans and log lines of all parts lie in while they work on a request. Where the target is off, it costs nothing.
fn request_span(head: &Parts, request_id: &HeaderValue, action: Option<Action>) -> Span {
    tracing::debug_span!(
        target: "fhirpool::span",
        "request",
        request_id = request_id.to_str().unwrap_or_default(),
        method = %head.method,
        otel.name = action.map_or("none", Action::name),
        tenant = Empty,
        status = Empty,
    )
}

/// Turns a refusal into an answer; what is not the client's fault is logged.
fn refuse(error: ApiError, request_id: &HeaderValue, trail: &Trail) -> Answer {
    let refusal = error.into_refusal();
    if refusal.status.is_server_error() && refusal.status != StatusCode::NOT_IMPLEMENTED {
        let tenant = trail.tenant.as_ref().map(TenantId::as_str);
        let internal = refusal.internal.as_deref().unwrap_or_default();
        let status = refusal.status.as_u16();
        let action = trail.action.map(Action::name);
        tracing::error!(?request_id, action, tenant, status, internal, "request failed");
    }
    let answer = Answer::outcome(refusal.status, &refusal.outcome);
    refusal.headers.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of no text"))
}

async fn handle(context: &Context, attempt: &Attempt<'_>, body: Body, form: &mut Form, trail: &mut Trail) -> Result<Answer> {
    let (state, head) = (&context.state, attempt.head);
    check_size(&state.settings, head)?;
    let (route, names) = match &attempt.found {
        Found::Route(route, names) => (*route, names),
        Found::OtherMethods(routes) if head.method == Method::OPTIONS => return options(context, attempt, routes),
        Found::OtherMethods(routes) => return Err(method_not_allowed(routes)),
        Found::Nothing => return Err(ApiError::not_found("there is nothing at this address")),
        Found::MalformedHost => return Err(ApiError::bad_request("the host of the request is malformed")),
        Found::Malformed => return Err(ApiError::bad_request("the path is not percent-encoded UTF-8")),
    };
    match route.action {
        Action::Live => return Ok(handlers::live()),
        Action::Ready => return handlers::ready(state),
        _ => {}
    }
    attempt.take_room(route.action).await;
    form.gzip = accepts_gzip(&head.headers);
    if !negotiate(head, form)? && !may_be_raw(route, names) {
        return Err(ApiError::not_acceptable());
    }
    if route.is_open() {
        let call = Call::new(state, attempt, tenant_of(state, names)?, names);
        trail.set_tenant(&call.tenant);
        return match route.action {
            Action::Metadata => handlers::metadata(&call),
            Action::ContentUpload => Box::pin(handlers::upload(&call, body)).await,
            Action::ContentDownload => Box::pin(handlers::download(&call)).await,
            _ => Ok(handlers::smart_configuration(&call)),
        };
    }
    if route.action.is_administration() {
        let administrator = match authenticate_administrator(state, head).await {
            Ok(administrator) => administrator,
            Err(error) => {
                administration::note_refused(route.action, attempt, names);
                return Err(error);
            }
        };
        // It is set once for a request.
        let _ = attempt.noted.administrator.set(administrator.clone());
        return Box::pin(handlers::administer(route.action, state, attempt, names, &administrator, body)).await;
    }
    let principal = authenticate(state, head).await?;
    // It is set once for a request.
    let _ = attempt.noted.principal.set(Arc::clone(&principal));
    // Before anything else is told: a token of another tenant learns nothing of this one.
    let default_tenant = state.settings.default_tenant.as_ref().map(TenantId::as_str);
    if Some(principal.tenant().as_str()) != names.tenant.as_deref().or(default_tenant) {
        return Err(ApiError::no_tenant());
    }
    trail.set_tenant(principal.tenant());
    tenancy::admit(state, principal.tenant()).await?;
    let admission = quota::admit(state, head, &principal, route.action).await?;
    let call = Call::new(state, attempt, principal.tenant().clone(), names);
    let mut answer = match route.action {
        // Reads are by far the most frequent and stay in this future; the others' would make it large to move.
        Action::Read => handlers::read(&call, &principal).await,
        action => Box::pin(handlers::dispatch(action, &call, &principal, body)).await,
    };
    if let Some(admission) = admission {
        quota::tell(state, &mut answer, &admission.standings);
    }
    answer
}

/// Refuses targets and headers over their limits (414, 431).
fn check_size(settings: &Settings, head: &Parts) -> Result<()> {
    let target = head.uri.path().len() + head.uri.query().map_or(0, str::len);
    if target > settings.url_bytes_max {
        let text = format!("the address is longer than {} bytes", settings.url_bytes_max);
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, IssueCode::TooLong, text));
    }
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > settings.header_bytes_max {
        let text = format!("the headers are longer than {} bytes", settings.header_bytes_max);
        return Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, IssueCode::TooLong, text));
    }
    Ok(())
}

/// Reads `_format`, `_pretty` and `Accept`; `false` where nothing accepted can be served as a resource in JSON.
fn negotiate(head: &Parts, form: &mut Form) -> Result<bool> {
    let mut format = None;
    for parameter in head.uri.query().unwrap_or_default().split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "_format" => format = Some(value),
            "_pretty" => form.pretty = value == "true",
            _ => {}
        }
    }
    // An empty one is as good as none; it overrides the header (R4 http.html#parameters).
    if let Some(format) = format.filter(|format| !format.is_empty()) {
        let format = percent_decode_str(format).decode_utf8().map_err(|_| ApiError::bad_request("_format is not percent-encoded UTF-8"))?;
        form.json = json_of_format(&format).ok_or_else(ApiError::not_acceptable)?;
        return Ok(true);
    }
    let accepted = json_of_accept(&head.headers);
    form.json = accepted.unwrap_or_default();
    Ok(accepted.is_some())
}

/// Whether the route may answer with something else than a resource: the content of a Binary, or SMART's plain JSON.
fn may_be_raw(route: &Route, names: &PathNames<'_>) -> bool {
    let is_binary = names.resource_type.as_deref() == Some("Binary");
    match route.action {
        Action::SmartConfiguration | Action::ContentUpload | Action::ContentDownload => true,
        action if action.is_administration() => true,
        Action::Read | Action::Vread | Action::Create | Action::Update => is_binary,
        _ => false,
    }
}

/// The tenant that a path names, or the default one. Whether it is there is another question.
fn tenant_of(state: &ApiState, names: &PathNames<'_>) -> Result<TenantId> {
    let tenant = match &names.tenant {
        Some(name) => TenantId::parse(name),
        None => state.settings.default_tenant.clone(),
    };
    tenant.ok_or_else(ApiError::no_tenant)
}

/// OPTIONS on the base is a request for the capabilities (R4 http.html#capabilities); elsewhere it tells the methods.
fn options(context: &Context, attempt: &Attempt<'_>, routes: &[&Route]) -> Result<Answer> {
    let state = &context.state;
    let mut answer = Answer::new(StatusCode::NO_CONTENT, Content::None);
    if let Found::Route(Route { action: Action::SearchSystem, .. }, names) = context.find(&Method::GET, attempt.head, attempt.located) {
        answer = handlers::metadata(&Call::new(state, attempt, tenant_of(state, &names)?, &names))?;
    }
    Ok(answer.with_header(ALLOW, allowed_methods(routes)))
}

fn method_not_allowed(routes: &[&Route]) -> ApiError {
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, IssueCode::NotSupported, "the address does not take this method");
    error.with_header(ALLOW, allowed_methods(routes))
}

fn allowed_methods(routes: &[&Route]) -> HeaderValue {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.dedup();
    HeaderValue::try_from(methods.join(", ")).expect("methods are plain ASCII")
}

/// CORS where origins are set; an origin that is no header value matches none.
fn cors(settings: &Settings) -> Option<CorsLayer> {
    if settings.cors_origins.is_empty() {
        return None;
    }
    let origins: Vec<HeaderValue> = settings.cors_origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    let origin = if settings.cors_origins.iter().any(|origin| origin == "*") { AllowOrigin::any() } else { AllowOrigin::list(origins) };
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let exposed = [
        "etag",
        "location",
        "content-location",
        "last-modified",
        "retry-after",
        "www-authenticate",
        "x-request-id",
        "ratelimit",
        "ratelimit-policy",
    ];
    Some(
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods(methods)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed.map(HeaderName::from_static))
            .max_age(Duration::from_secs(3600)),
    )
}

/// Names each request for logs and for people who report a fault.
struct RequestIds {
    /// Differs between processes.
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let mut prefix = [0; 4];
        // Without randomness ids of two processes may be alike, which harms nothing.
        let _ = SystemRandom::new().fill(&mut prefix);
        Self { prefix: u32::from_be_bytes(prefix), next: AtomicU64::new(1) }
    }

    /// The client's own `X-Request-Id` where it is a plain token, else a new one.
    fn of(&self, head: &Parts) -> HeaderValue {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match head.headers.get(&X_REQUEST_ID) {
            Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_plain) => id.clone(),
            _ => {
                let mut id = [b'-'; 25];
                write_hex(u64::from(self.prefix), &mut id[..8]);
                write_hex(self.next.fetch_add(1, Ordering::Relaxed), &mut id[9..]);
                HeaderValue::from_bytes(&id).expect("hexadecimal digits are plain ASCII")
            }
        }
    }
}

fn write_hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}
