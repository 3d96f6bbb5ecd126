//! A proxy ahead of one service: it records what passes, and fails as told.
//!
//! What a client signs holds the host it asked for, which is passed on as it came; so the services that check signatures find
//! them right.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Requests that are kept at most.
const RECORDED_MAX: usize = 200_000;

/// A request that came by.
#[derive(Debug, Clone)]
pub struct ProxiedRequest {
    /// Method.
    pub method: Method,
    /// Path and query, as they came.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How many came before it.
    pub number: u64,
}

impl ProxiedRequest {
    /// The operation of an AWS service that names it in a header (`PutItem`, `Decrypt`); else empty.
    pub fn operation(&self) -> &str {
        let target = self.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        target.rsplit('.').next().unwrap_or_default()
    }

    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer that came back, whole.
#[derive(Debug, Clone)]
pub struct ProxiedAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl ProxiedAnswer {
    /// With a body of JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().expect("a value of a header"));
        Self { status: StatusCode::from_u16(status).expect("a status"), headers, body: Bytes::from(body.to_string()) }
    }

    /// An error as DynamoDB, KMS and SQS give it; of the names with an underscore ahead (`__type`).
    pub fn aws_error(status: u16, code: &str) -> Self {
        let mut answer = Self::json(status, &serde_json::json!({ "__type": code, "message": "injected" }));
        answer.headers.insert("content-type", "application/x-amz-json-1.0".parse().expect("a value of a header"));
        answer
    }
}

/// What happens to a request.
#[derive(Clone)]
pub enum Fault {
    /// It is late.
    Delay(Duration),
    /// The connection is closed ahead of it: the service never sees it.
    Drop,
    /// The service carries it out, and the connection is closed instead of its answer.
    Cut,
    /// The service never sees it; this is the answer.
    Answer(ProxiedAnswer),
    /// The service carries it out, and its answer is changed.
    Change(AnswerChange),
    /// The service carries out this body instead of the one that came, and its answer is changed.
    Part(Bytes, AnswerChange),
    /// The service carries it out at once; the answer is late.
    Late(Duration),
    /// The service never sees it, and there is no answer until the client gives up.
    Stall,
}

/// Makes an answer of an answer.
pub type AnswerChange = Arc<dyn Fn(ProxiedAnswer) -> ProxiedAnswer + Send + Sync>;

type Rule = Arc<dyn Fn(&ProxiedRequest) -> Option<Fault> + Send + Sync>;
type Recorded = (ProxiedRequest, Option<ProxiedAnswer>);

/// A proxy ahead of a service that speaks HTTP/1.1 without TLS; it ends when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// `None`: connections are refused.
    listening: tokio::sync::Mutex<Option<Listening>>,
}

/// Takes connections until it is dropped or told to end.
struct Listening {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listening {
    fn start(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let (end, ended) = oneshot::channel();
        Self { end, task: tokio::spawn(accept(listener, Arc::clone(shared), ended)) }
    }
}

struct Shared {
    upstream: String,
    http: Client<HttpConnector, Full<Bytes>>,
    rule: RwLock<Option<Rule>>,
    recorded: Mutex<Option<Vec<Recorded>>>,
    requests: AtomicU64,
    faults: AtomicU64,
}

impl FaultProxy {
    /// Ahead of the service at this URL (scheme, host and port), on a free port of this machine.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            http: Client::builder(TokioExecutor::new()).build_http(),
            rule: RwLock::new(None),
            recorded: Mutex::new(None),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let listening = tokio::sync::Mutex::new(Some(Listening::start(listener, &shared)));
        Self { address, shared, listening }
    }

    /// Ahead of the service that a variable of the environment names.
    pub async fn ahead_of(variable: &str) -> Self {
        Self::start(&crate::deployment::endpoint(variable)).await
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, lets this decide what happens to each request; `None`: it passes.
    pub fn set_rule(&self, rule: impl Fn(&ProxiedRequest) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.rule.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rule));
    }

    /// Lets everything pass again.
    pub fn clear_rule(&self) {
        *self.shared.rule.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Cuts all connections and refuses new ones, until [`FaultProxy::listen_again`].
    pub async fn refuse(&self) {
        if let Some(listening) = self.listening.lock().await.take() {
            drop(listening.end);
            listening.task.await.unwrap();
        }
    }

    /// Takes connections again, at the same address.
    pub async fn listen_again(&self) {
        let mut listening = self.listening.lock().await;
        if listening.is_none() {
            *listening = Some(Listening::start(TcpListener::bind(self.address).await.unwrap(), &self.shared));
        }
    }

    /// How many requests came by.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many of them did not just pass.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }

    /// Begins to keep what passes; what was kept before is forgotten.
    pub fn record(&self) {
        *self.shared.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// What passed since recording began or this was last called, in the order of the answers; those without one were cut.
    pub fn take_recorded(&self) -> Vec<(ProxiedRequest, Option<ProxiedAnswer>)> {
        let mut recorded = self.shared.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = recorded.as_mut().map(std::mem::take).unwrap_or_default();
        assert!(taken.len() < RECORDED_MAX, "more passed than is kept: {RECORDED_MAX}");
        taken
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut ended: oneshot::Receiver<()>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            // Its sender is never used, but dropped.
            _ = &mut ended => break,
            accepted = listener.accept() => {
                // A connection that is gone already concerns nobody.
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // An answer follows a request at once, so that nothing is gained by waiting for more.
    stream.set_nodelay(true).unwrap();
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.pass(request).await }
    });
    // Ends with an error where a connection is cut on purpose.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Closes the connection.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

impl Shared {
    async fn pass(&self, request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, Closed> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Closed) };
        let request = ProxiedRequest {
            method: parts.method,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers: parts.headers,
            body: body.to_bytes(),
            number: self.requests.fetch_add(1, Ordering::Relaxed),
        };
        let rule = self.rule.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = rule.and_then(|rule| rule(&request));
        if fault.is_some() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        let answer = match fault {
            None => self.forward(&request).await,
            Some(Fault::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                self.forward(&request).await
            }
            Some(Fault::Drop) => None,
            Some(Fault::Cut) => {
                let _: Option<ProxiedAnswer> = self.forward(&request).await;
                None
            }
            Some(Fault::Answer(answer)) => Some(answer),
            Some(Fault::Change(change)) => self.forward(&request).await.map(|answer| change(answer)),
            Some(Fault::Part(body, change)) => {
                let part = ProxiedRequest { body, ..request.clone() };
                self.forward(&part).await.map(|answer| change(answer))
            }
            Some(Fault::Late(pause)) => {
                let answer = self.forward(&request).await;
                tokio::time::sleep(pause).await;
                answer
            }
            Some(Fault::Stall) => std::future::pending().await,
        };
        if let Some(recorded) = &mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
            && recorded.len() < RECORDED_MAX
        {
            recorded.push((request, answer.clone()));
        }
        let answer = answer.ok_or(Closed)?;
        let mut response = hyper::Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// `None`: the service closed the connection itself.
    async fn forward(&self, request: &ProxiedRequest) -> Option<ProxiedAnswer> {
        let uri: Uri = format!("{}{}", self.upstream, request.path).parse().ok()?;
        let mut forwarded = hyper::Request::new(Full::new(request.body.clone()));
        *forwarded.method_mut() = request.method.clone();
        *forwarded.uri_mut() = uri;
        *forwarded.headers_mut() = without_hop(request.headers.clone());
        let (parts, body) = self.http.request(forwarded).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let length = parts.headers.get(CONTENT_LENGTH).cloned();
        let mut headers = without_hop(parts.headers);
        if let Some(length) = length.filter(|_| request.method == Method::HEAD) {
            // The length of what is not sent.
            headers.insert(CONTENT_LENGTH, length);
        }
        Some(ProxiedAnswer { status: parts.status, headers, body })
    }
}

/// What concerns one connection alone (a client that expects to be told to go on was told so), and lengths, which are set anew.
fn without_hop(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    /// A service that counts what it carries out.
    async fn counting() -> (String, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let answer = move |body: String| async move { format!("{} {body}", counter.fetch_add(1, Ordering::Relaxed)) };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        (url, count)
    }

    #[tokio::test]
    async fn requests_pass_or_fail_as_told() {
        let (url, count) = counting().await;
        let proxy = FaultProxy::start(&url).await;
        let client = Client::new(proxy.url(), None);
        let carried_out = || count.load(Ordering::Relaxed);
        proxy.record();
        assert_eq!(client.post("x?y=1", "a").await.text(), "0 a");
        let recorded = proxy.take_recorded();
        assert_eq!((recorded[0].0.path.as_str(), recorded[0].0.body.as_ref()), ("/x?y=1", b"a".as_slice()));

        proxy.set_rule(|request| match request.path.as_str() {
            "/drop" => Some(Fault::Drop),
            "/cut" => Some(Fault::Cut),
            "/answer" => Some(Fault::Answer(ProxiedAnswer::aws_error(400, "ThrottlingException"))),
            "/change" => Some(Fault::Change(Arc::new(|answer| ProxiedAnswer { body: "changed".into(), ..answer }))),
            "/delay" => Some(Fault::Delay(Duration::from_millis(30))),
            "/late" => Some(Fault::Late(Duration::from_millis(30))),
            "/part" => Some(Fault::Part("part".into(), Arc::new(|answer| answer))),
            "/stall" => Some(Fault::Stall),
            _ => None,
        });
        assert!(client.try_send("POST", "drop", &[], "").await.is_err());
        assert_eq!(carried_out(), 1);
        assert!(client.try_send("POST", "cut", &[], "").await.is_err());
        assert_eq!(carried_out(), 2);
        let answer = client.post("answer", "").await;
        assert_eq!((answer.status, answer.json()["__type"].as_str()), (400, Some("ThrottlingException")));
        assert_eq!(carried_out(), 2);
        assert_eq!(client.post("change", "").await.text(), "changed");
        for (path, text) in [("delay", "3 b"), ("late", "4 b")] {
            let begun = std::time::Instant::now();
            assert_eq!(client.post(path, "b").await.text(), text);
            assert!(begun.elapsed() >= Duration::from_millis(30));
        }
        assert_eq!(client.post("part", "whole").await.text(), "5 part");
        assert!(tokio::time::timeout(Duration::from_millis(30), client.post("stall", "")).await.is_err());
        assert_eq!((proxy.faults(), client.post("other", "").await.status), (8, 200));
        assert_eq!(carried_out(), 7);
        let without_answer = proxy.take_recorded().iter().filter(|(_, answer)| answer.is_none()).count();
        assert_eq!(without_answer, 2);
        proxy.clear_rule();
        assert_eq!(client.post("drop", "").await.status, 200);
    }
    #[tokio::test]
    async fn connections_are_refused_and_taken_again() {
        let (url, _) = counting().await;
        let proxy = FaultProxy::start(&url).await;
        let client = Client::new(proxy.url(), None);
        assert_eq!(client.get("a").await.status, 200);
        proxy.refuse().await;
        assert!(client.try_send("GET", "a", &[], "").await.is_err());
        proxy.listen_again().await;
        assert_eq!(client.get("a").await.status, 200);
    }
}
