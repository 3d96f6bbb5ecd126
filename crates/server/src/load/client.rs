//! The HTTP side: one pooled client, retries where the server asks for them.

use std::time::Duration;

use fhirpool_fhir::json::{Document, Value};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::LoadError;
use super::request::{Request, of_updates};

const TRIES_MAX: u32 = 8;
const RETRY_SECONDS_MAX: u64 = 30;
const ANSWER_BYTES_MAX: usize = 1 << 30;

pub(super) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Uri,
    authorization: HeaderValue,
}

/// What the server said of a Bundle.
#[derive(Default)]
pub(super) struct Answer {
    pub accepted: u64,
    /// The server's words for each refused entry.
    pub refused: Vec<String>,
    /// The same for those that the server says to send later, with their positions.
    later: Vec<(usize, String)>,
}

impl Client {
    pub(super) fn new(base: &str, token: &str) -> Result<Self, LoadError> {
        let uri: Uri = base.parse().map_err(|_| LoadError::Base(base.to_owned()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(LoadError::Base(base.to_owned()));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| LoadError::Token)?;
        authorization.set_sensitive(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|cause| LoadError::Base(format!("{base} (no root certificates: {cause})")))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { http: HttpClient::builder(TokioExecutor::new()).build(connector), base: uri, authorization })
    }

    /// Sends a Bundle; tries again while the server says 429 or 503, or cannot be reached at all. Of a batch the updates that
    /// were answered so are sent again; a create may have happened all the same, and would happen twice.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, String> {
        let mut body = Bytes::from(request.body.clone());
        let mut all = Answer::default();
        let mut tries = 1;
        loop {
            let wait = match self.post(body.clone()).await {
                Ok((StatusCode::OK, wait, answer)) => {
                    let answer = read_answer(answer)?;
                    all.accepted += answer.accepted;
                    all.refused.extend(answer.refused);
                    match of_updates(&body, answer.later.iter().map(|(position, _)| *position)).filter(|_| tries < TRIES_MAX) {
                        Some(updates) => body = updates.into(),
                        None => {
                            all.refused.extend(answer.later.into_iter().map(|(_, words)| words));
                            return Ok(all);
                        }
                    }
                    wait
                }
                Ok((StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, wait, _)) if tries < TRIES_MAX => wait,
                Ok((status, _, answer)) => return Err(format!("{status}: {}", first_diagnostics(answer))),
                Err(cause) if cause.is_connect() && tries < TRIES_MAX => Duration::from_secs(1),
                Err(cause) => return Err(format!("no answer: {cause}")),
            };
            tries += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn post(&self, body: Bytes) -> Result<(StatusCode, Duration, Vec<u8>), hyper_util::client::legacy::Error> {
        let request = hyper::Request::builder()
            .method(Method::POST)
            .uri(self.base.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/fhir+json")
            .header(ACCEPT, "application/fhir+json")
            .header("prefer", "return=minimal")
            .body(Full::new(body))
            .expect("method, URI and headers were checked when the client was made");
        let response = self.http.request(request).await?;
        let status = response.status();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(1);
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let answer = answer.map(|collected| collected.to_bytes().to_vec()).unwrap_or_default();
        Ok((status, Duration::from_secs(u64::min(seconds, RETRY_SECONDS_MAX)), answer))
    }
}

fn read_answer(answer: Vec<u8>) -> Result<Answer, String> {
    let document = Document::parse(answer).map_err(|cause| format!("unreadable answer: {cause}"))?;
    let mut result = Answer::default();
    for (position, entry) in document.root().get("entry").into_iter().flat_map(Value::elements).enumerate() {
        let response = entry.get("response");
        let status = response.and_then(|response| response.get_str("status")).unwrap_or_default();
        if status.starts_with('2') {
            result.accepted += 1;
        } else {
            let outcome = response.and_then(|response| response.get("outcome"));
            let words = format!("entry {position}: {status}: {}", outcome.map(diagnostics).unwrap_or_default());
            if status.starts_with("429") || status.starts_with("503") {
                result.later.push((position, words));
            } else {
                result.refused.push(words);
            }
        }
    }
    Ok(result)
}

fn first_diagnostics(answer: Vec<u8>) -> String {
    Document::parse(answer).map(|document| diagnostics(document.root())).unwrap_or_default()
}

fn diagnostics(outcome: Value<'_>) -> String {
    let issue = outcome.get("issue").and_then(|issues| issues.elements().next());
    issue.and_then(|issue| issue.get_str("diagnostics")).map(std::borrow::Cow::into_owned).unwrap_or_default()
}
