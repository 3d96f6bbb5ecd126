//! Answers: what a handler gives, and how it becomes an HTTP response.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::response::Response;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{OperationOutcome, Timestamp, VersionId};
use fhirpool_interactions::{BundleOutcome, entity_tag};
use fhirpool_storage::ContentStream;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::negotiation::JsonType;

/// What a handler gives.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

/// What an answer holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing.
    None,
    /// A resource's JSON.
    Json(String),
    /// JSON that many answers share.
    Shared(Arc<str>),
    /// Anything else, of this type.
    Raw(HeaderValue, Vec<u8>),
    /// The same, of this many bytes that come piece by piece.
    Stream(HeaderValue, u64, Pieces),
}

/// Bytes that come piece by piece.
pub(crate) struct Pieces(ContentStream);

impl From<ContentStream> for Pieces {
    fn from(stream: ContentStream) -> Self {
        Self(stream)
    }
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pieces")
    }
}

/// Lets a body refer to a shared text instead of copying it.
struct SharedText(Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// In what form the client wants an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Form {
    pub json: JsonType,
    pub pretty: bool,
    pub gzip: bool,
}

/// Smaller answers are not compressed.
const GZIP_BYTES_MIN: usize = 1024;
/// Larger answers are indented and compressed on a thread of their own.
const BLOCKING_BYTES_MIN: usize = 256 << 10;

impl Answer {
    pub fn new(status: StatusCode, content: Content) -> Self {
        Self { status, headers: HeaderMap::with_capacity(8), content }
    }

    /// 200 with a resource.
    pub fn json(json: String) -> Self {
        Self::new(StatusCode::OK, Content::Json(json))
    }

    /// An OperationOutcome.
    pub fn outcome(status: StatusCode, outcome: &OperationOutcome) -> Self {
        Self::new(status, Content::Json(outcome.to_json()))
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// With an address in a header; one that is no header value is left out.
    pub fn with_address(self, name: HeaderName, address: String) -> Self {
        match HeaderValue::try_from(address) {
            Ok(value) => self.with_header(name, value),
            Err(_) => self,
        }
    }

    /// With `ETag` and `Last-Modified` (R4 http.html#versioning).
    pub fn with_version(self, version: Option<VersionId>, last_updated: Option<Timestamp>) -> Self {
        let tag = version.and_then(|version| HeaderValue::try_from(entity_tag(version)).ok());
        let time = last_updated.and_then(|time| HeaderValue::try_from(http_date(time)).ok());
        let with_tag = match tag {
            Some(tag) => self.with_header(ETAG, tag),
            None => self,
        };
        match time {
            Some(time) => with_tag.with_header(LAST_MODIFIED, time),
            None => with_tag,
        }
    }

    /// The response.
    pub async fn into_response(self, form: Form) -> Response {
        let Self { status, mut headers, content } = self;
        let (mut bytes, may_compress) = match content {
            Content::None => (Bytes::new(), false),
            Content::Json(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.json.content_type()));
                (if form.pretty { pretty(json).await } else { json.into() }, true)
            }
            Content::Shared(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.json.content_type()));
                (if form.pretty { pretty((*json).to_owned()).await } else { Bytes::from_owner(SharedText(json)) }, true)
            }
            Content::Raw(content_type, bytes) => {
                insert_foreign(&mut headers, content_type);
                (bytes.into(), true)
            }
            Content::Stream(content_type, length, pieces) => {
                insert_foreign(&mut headers, content_type);
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                let mut response = Response::new(Body::from_stream(pieces.0));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                return response;
            }
        };
        if may_compress && form.gzip && bytes.len() >= GZIP_BYTES_MIN {
            bytes = gzip(bytes).await;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// The headers of a client's content: no browser may take it for a page of this server's.
fn insert_foreign(headers: &mut HeaderMap, content_type: HeaderValue) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(CONTENT_TYPE, content_type);
}

impl From<BundleOutcome> for Answer {
    fn from(bundle: BundleOutcome) -> Self {
        Self::json(bundle.json)
    }
}

async fn pretty(json: String) -> Bytes {
    on_a_fitting_thread(json.len(), move || match Document::parse(json.as_str()) {
        Ok(document) => document.root().to_pretty().into(),
        Err(_) => json.into(),
    })
    .await
}

async fn gzip(bytes: Bytes) -> Bytes {
    on_a_fitting_thread(bytes.len(), move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
        written.expect("writing to memory does not fail").into()
    })
    .await
}

/// Does small work here and large work where it holds nobody up.
async fn on_a_fitting_thread(size: usize, work: impl FnOnce() -> Bytes + Send + 'static) -> Bytes {
    if size < BLOCKING_BYTES_MIN {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(bytes) => bytes,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// An instant as HTTP writes it, to the second.
pub(crate) fn http_date(time: Timestamp) -> String {
    // HTTP has four digits for the year.
    let millis = time.0.clamp(0, 253_402_300_799_000) as u64;
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

/// The instant of an HTTP date; `None` for what is none, which RFC 9110 says to ignore.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    async fn bytes_of(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn large_answers_are_compressed_where_that_is_accepted() {
        let form = Form { gzip: true, ..Form::default() };
        for size in [2000, 1_000_000] {
            let json = format!("\"{}\"", "x".repeat(size));
            let response = Answer::json(json.clone()).into_response(form).await;
            assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
            let mut unpacked = String::new();
            flate2::read::GzDecoder::new(&bytes_of(response).await[..]).read_to_string(&mut unpacked).unwrap();
            assert_eq!(unpacked, json);
        }
        let response = Answer::json("{}".into()).into_response(form).await;
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn pretty_answers_keep_their_bytes_between_the_white_space() {
        let form = Form { pretty: true, json: JsonType::Json, gzip: false };
        let response = Answer::json("{\"a\":[1.00,\"\\u00e9\"]}".into()).into_response(form).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(bytes_of(response).await, "{\n  \"a\": [\n    1.00,\n    \"\\u00e9\"\n  ]\n}");
    }

    #[test]
    fn dates_to_the_second() {
        assert_eq!(http_date(Timestamp(784_111_777_123)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
        assert_eq!(parse_http_date("yesterday"), None);
    }
}
