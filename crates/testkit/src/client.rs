//! A client for tests: one base URL, one token, answers read whole.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Sends requests below one base URL.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    /// Such as `http://127.0.0.1:1234/tenant/demo`.
    pub base: String,
    /// The server's root, where `base` and what is sent to is not what a name service knows.
    root: Option<String>,
    token: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Response {
    /// The body as JSON; `null` where it is empty.
    pub fn json(&self) -> serde_json::Value {
        if self.body.is_empty() {
            return serde_json::Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("the body is no JSON ({cause}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// A client for a base URL with a token.
    pub fn new(base: impl Into<String>, token: Option<String>) -> Self {
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, base: base.into(), root: None, token }
    }

    /// The same, with every request sent to the server at this root under the host of its URL, as if that were its name.
    pub fn at(self, root: impl Into<String>) -> Self {
        Self { root: Some(root.into()), ..self }
    }

    /// Sends one request. A path that begins with `http` is taken as it is, one that begins with `/` is below the server's
    /// root, any other below the base.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|cause| panic!("{method} {path}: no answer: {cause}"))
    }

    /// As [`Client::send`]; an error where no answer came.
    pub async fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Response, String> {
        let mut url = self.url(path);
        let mut host = None;
        if let Some(root) = &self.root {
            let (_, rest) = url.split_once("://").expect("URLs of tests are absolute");
            let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (host, url) = (Some(name.to_owned()), format!("{root}{path}"));
        }
        let mut request =
            hyper::Request::builder().method(method).uri(&url).body(Full::new(body.into())).map_err(|cause| cause.to_string())?;
        if let Some(token) = &self.token {
            request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        if matches!(method, "POST" | "PUT") {
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/fhir+json"));
        }
        if let Some(host) = host {
            request.headers_mut().insert("host", HeaderValue::from_str(&host).unwrap());
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().remove(&name);
            if !value.is_empty() {
                request.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        let response = self.http.request(request).await.map_err(|cause| format!("{cause:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|cause| cause.to_string())?.to_bytes();
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], Bytes::new()).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Response {
        self.send("POST", path, &[], body).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Response {
        self.send("PUT", path, &[], body).await
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") {
            return path.to_owned();
        }
        if path.starts_with('/') {
            let host_at = self.base.find("://").map_or(0, |at| at + 3);
            let host = self.base[host_at..].find('/').map_or(self.base.as_str(), |at| &self.base[..host_at + at]);
            return format!("{host}{path}");
        }
        if path.is_empty() || path.starts_with('?') { format!("{}{path}", self.base) } else { format!("{}/{path}", self.base) }
    }
}
