//! Requests to the cluster: hosts in turn, time limits, retries.
//!
//! Every request here may be repeated: reading, and writes that carry external versions or make what is to be so anyway.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fhirpool_storage::{Result, StorageError};
use opensearch::auth::Credentials;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use opensearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use rand::Rng;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::OpenSearchSettings;

/// How long a host that failed is passed over, where there are others.
const REST_MS: u64 = 5_000;

/// Second tries that may be ahead of the first tries of other requests: what a cluster in trouble has to bear at most.
const RETRIES_SAVED_MAX: i64 = 1_000;
/// What a second try costs of what one first try saves.
const RETRY_COST: i64 = 10;

pub(crate) struct Client {
    hosts: Vec<Host>,
    next: AtomicUsize,
    started: Instant,
    /// First tries not yet used up by further ones.
    saved: AtomicI64,
    tries_max: u32,
    pause_max: Duration,
    time_max: Duration,
}

struct Host {
    transport: Transport,
    /// Milliseconds since the client was made until which it rests.
    rests_until: AtomicU64,
}

/// A request.
pub(crate) struct Request<'a> {
    /// What metrics call it.
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) body: Body,
}

/// What a request carries. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Body {
    None,
    Json(Bytes),
    /// Lines of JSON.
    Lines(Bytes),
}

impl Body {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Json(value.to_string().into_bytes().into())
    }
}

/// What the cluster answered, and did not answer otherwise than that it is overloaded or broken.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why one try failed.
enum Failure {
    Overloaded,
    Unavailable(String),
}

impl Client {
    pub(crate) fn new(settings: &OpenSearchSettings) -> Result<Self> {
        // The first provider to be installed stays; whoever installs one installs this.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hosts = settings.urls.iter().map(|url| Host::new(url, settings)).collect::<Result<Vec<_>>>()?;
        if hosts.is_empty() {
            return Err(StorageError::Unavailable("no host of the index is named".into()));
        }
        Ok(Self {
            hosts,
            next: AtomicUsize::new(0),
            started: Instant::now(),
            saved: AtomicI64::new(RETRIES_SAVED_MAX),
            tries_max: settings.tries_max.max(1),
            pause_max: settings.pause_max,
            time_max: settings.request_time_max,
        })
    }

    /// Sends a request, again where that may help.
    ///
    /// # Errors
    /// The cluster is overloaded or does not answer.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Answer> {
        self.saved.fetch_add(1, Ordering::Relaxed);
        self.saved.fetch_min(RETRIES_SAVED_MAX, Ordering::Relaxed);
        let mut tried = 0;
        loop {
            tried += 1;
            let began = Instant::now();
            let outcome = self.try_once(&request).await;
            metrics::histogram!("fhirpool_opensearch_request_seconds", "operation" => request.operation)
                .record(began.elapsed().as_secs_f64());
            let label = match &outcome {
                Ok(answer) if answer.status < 400 => "ok",
                Ok(_) => "refused",
                Err(Failure::Overloaded) => "overloaded",
                Err(Failure::Unavailable(_)) => "unavailable",
            };
            metrics::counter!("fhirpool_opensearch_requests_total", "operation" => request.operation, "outcome" => label).increment(1);
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if tried >= self.tries_max || !self.may_retry() {
                return Err(match failure {
                    // It is ours to serve, not the client's to ask less.
                    Failure::Overloaded => StorageError::Unavailable("the index is overloaded".into()),
                    Failure::Unavailable(text) => StorageError::Unavailable(text),
                });
            }
            self.pause(tried).await;
        }
    }

    /// Whether what was saved allows for one more try.
    pub(crate) fn may_retry(&self) -> bool {
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= RETRY_COST).then(|| saved - RETRY_COST)).is_ok()
    }

    /// Waits ahead of another try: anything up to the longest pause, which doubles each time.
    pub(crate) async fn pause(&self, tried: u32) {
        let longest = self.pause_max.saturating_mul(1 << tried.saturating_sub(1).min(6));
        let share: f64 = rand::rng().random_range(0.1..1.0);
        tokio::time::sleep(longest.mul_f64(share)).await;
    }

    async fn try_once(&self, request: &Request<'_>) -> std::result::Result<Answer, Failure> {
        let host = self.host();
        let (body, content_type) = match &request.body {
            Body::None => (None, None),
            Body::Json(bytes) => (Some(bytes.clone()), Some("application/json")),
            Body::Lines(bytes) => (Some(bytes.clone()), Some("application/x-ndjson")),
        };
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = host.transport.send(request.method, request.path, headers, None::<&()>, body, Some(self.time_max)).await;
        let answer = match response {
            Ok(response) => {
                let status = response.status_code().as_u16();
                response.bytes().await.map(|body| Answer { status, body })
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) if answer.status == 429 => Err(Failure::Overloaded),
            Ok(answer) if answer.status >= 500 => {
                let kind = ErrorKind::of(&answer.body);
                if kind.is_too_costly().is_some() {
                    return Ok(answer);
                }
                host.rest(self.started);
                Err(Failure::Unavailable(format!("the index answered {} ({kind})", answer.status)))
            }
            Ok(answer) => Ok(answer),
            Err(error) => {
                host.rest(self.started);
                let what = if error.is_timeout() { "did not answer in time" } else { "could not be reached" };
                tracing::warn!(operation = request.operation, "the index {what}");
                Err(Failure::Unavailable(format!("the index {what}")))
            }
        }
    }

    /// The next that does not rest; if all do, just the next.
    fn host(&self) -> &Host {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = self.started.elapsed().as_millis() as u64;
        let hosts = (0..self.hosts.len()).map(|step| &self.hosts[(first.wrapping_add(step)) % self.hosts.len()]);
        let mut hosts = hosts.peekable();
        let fallback = hosts.peek().copied().expect("a client has a host");
        hosts.find(|host| host.rests_until.load(Ordering::Relaxed) <= now).unwrap_or(fallback)
    }
}

impl Host {
    fn new(url: &str, settings: &OpenSearchSettings) -> Result<Self> {
        let wrong = |what: &str| StorageError::Unavailable(format!("the URL of the index {what}"));
        let url = Url::parse(url).map_err(|_| wrong("is none"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("is not of http or https"));
        }
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url)).disable_proxy();
        if let Some(login) = &settings.login {
            builder = builder.auth(Credentials::Basic(login.user.clone(), login.password.clone()));
        }
        let transport = builder.build().map_err(|error| StorageError::Unavailable(format!("no client for the index: {error}")))?;
        Ok(Self { transport, rests_until: AtomicU64::new(0) })
    }

    fn rest(&self, started: Instant) {
        self.rests_until.store(started.elapsed().as_millis() as u64 + REST_MS, Ordering::Relaxed);
    }
}

impl Answer {
    /// Reads what a request that must succeed was answered.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        self.expect_success()?;
        serde_json::from_slice(&self.body).map_err(|_| StorageError::Unavailable("the index answered something unknown".into()))
    }

    /// Whether it says that an index, alias or picture is not there.
    pub(crate) fn is_gone(&self) -> bool {
        self.status == 404
    }

    /// An error of the kind that a refused request is.
    pub(crate) fn expect_success(&self) -> Result<()> {
        if self.status < 400 {
            return Ok(());
        }
        let kind = ErrorKind::of(&self.body);
        if let Some(too_costly) = kind.is_too_costly() {
            return Err(StorageError::TooCostly(too_costly));
        }
        Err(StorageError::Unavailable(match self.status {
            404 => format!("the index is not there ({kind}): `fhirpool migrate` makes it"),
            401 | 403 => "the index does not let this server in".into(),
            status => format!("the index refused a request with {status} ({kind})"),
        }))
    }
}

/// The names of what went wrong. Their texts may quote what was sent, so they go nowhere.
pub(crate) struct ErrorKind(Vec<String>);

impl ErrorKind {
    /// Of an answer's body.
    pub(crate) fn of(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        Self::of_error(&value["error"])
    }

    /// Of an error within an answer.
    pub(crate) fn of_error(error: &Value) -> Self {
        let mut names = Vec::new();
        let causes = error["root_cause"].as_array().into_iter().flatten();
        let shards = error["failed_shards"].as_array().into_iter().flatten().map(|shard| &shard["reason"]);
        for cause in [error, &error["caused_by"], &error["caused_by"]["caused_by"]].into_iter().chain(causes).chain(shards).take(20) {
            for cause in [cause, &cause["caused_by"]] {
                if let Some(name) = cause["type"].as_str().filter(|name| !names.iter().any(|known| known == name)) {
                    names.push(name.chars().take(80).collect());
                }
            }
        }
        Self(names)
    }

    fn is(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    /// What the search that was refused is too much of.
    fn is_too_costly(&self) -> Option<&'static str> {
        if self.is("too_many_clauses") || self.is("too_many_nested_clauses") {
            return Some("the search has more alternatives than the index allows");
        }
        if self.is("too_complex_to_determinize_exception") || self.is("too_many_buckets_exception") {
            return Some("the search is too complex for the index");
        }
        self.is("task_cancelled_exception").then_some("the search took too long")
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
