//! Reading a request's body: bounded, decompressed, in time.

use std::io::Write;

use axum::body::{Body, Bytes};
use fhirpool_fhir::IssueCode;
use flate2::write::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::error::{ApiError, Result};
use crate::negotiation::single;

/// Room that a client gets for announcing a length, before it has sent anything.
const CAPACITY_MAX: usize = 1 << 20;

/// The whole body, decompressed, of at most so many bytes. The client has time to send it until the deadline.
pub(crate) async fn read(head: &Parts, body: Body, bytes_max: usize, deadline: Instant) -> Result<Vec<u8>> {
    match tokio::time::timeout_at(deadline, collect(head, body, bytes_max)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, IssueCode::Timeout, "the body took too long to arrive")),
    }
}

async fn collect(head: &Parts, mut body: Body, bytes_max: usize) -> Result<Vec<u8>> {
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let gzip = is_gzip(head)?;
    if announced.is_some_and(|announced| announced > bytes_max) {
        return Err(ApiError::too_large(bytes_max));
    }
    let bounded = Bounded { bytes: Vec::with_capacity(announced.unwrap_or(0).min(CAPACITY_MAX)), bytes_max };
    let mut sink = if gzip { Sink::Gzip(MultiGzDecoder::new(bounded)) } else { Sink::Plain(bounded) };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body could not be read to its end"))?;
        if let Ok(data) = frame.into_data() {
            sink.take(&data).map_err(|error| error.into_api(bytes_max))?;
        }
    }
    sink.finish().map_err(|error| error.into_api(bytes_max))
}

fn is_gzip(head: &Parts) -> Result<bool> {
    let unsupported = || {
        let error = ApiError::unsupported_type("the body's Content-Encoding is not supported; gzip is");
        error.with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
    };
    match single(&head.headers, &CONTENT_ENCODING).map_err(|()| unsupported())? {
        None => Ok(false),
        Some(name) if name.is_empty() || name.eq_ignore_ascii_case("identity") => Ok(false),
        Some(name) if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Ok(true),
        Some(_) => Err(unsupported()),
    }
}

enum Sink {
    Plain(Bounded),
    Gzip(MultiGzDecoder<Bounded>),
}

enum SinkError {
    TooLarge,
    Corrupt,
}

impl SinkError {
    fn of(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::FileTooLarge { Self::TooLarge } else { Self::Corrupt }
    }

    fn into_api(self, bytes_max: usize) -> ApiError {
        match self {
            Self::TooLarge => ApiError::too_large(bytes_max),
            Self::Corrupt => ApiError::bad_request("the body is not valid gzip"),
        }
    }
}

impl Sink {
    fn take(&mut self, data: &Bytes) -> std::result::Result<(), SinkError> {
        let written = match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        };
        written.map_err(|error| SinkError::of(&error))
    }

    fn finish(self) -> std::result::Result<Vec<u8>, SinkError> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|bounded| bounded.bytes).map_err(|error| SinkError::of(&error)),
        }
    }
}

/// Bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if data.len() > self.bytes_max - self.bytes.len() {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::Request;

    use super::*;

    async fn read_it(encoding: Option<&str>, bytes: Vec<u8>, bytes_max: usize) -> std::result::Result<Vec<u8>, StatusCode> {
        let mut request = Request::builder();
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let deadline = Instant::now() + Duration::from_secs(60);
        read(&head, Body::from(bytes), bytes_max, deadline).await.map_err(|error| error.into_refusal().status)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn plain_and_compressed_bodies_are_bounded_alike() {
        let body = vec![b'x'; 1000];
        for (encoding, bytes) in
            [(None, body.clone()), (Some("identity"), body.clone()), (Some("gzip"), gzip(&body)), (Some("X-GZIP"), gzip(&body))]
        {
            assert_eq!(read_it(encoding, bytes.clone(), 1000).await, Ok(body.clone()), "{encoding:?}");
            assert_eq!(read_it(encoding, bytes, 999).await, Err(StatusCode::PAYLOAD_TOO_LARGE), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn a_small_body_that_unpacks_to_a_huge_one_is_cut_at_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        assert_eq!(read_it(Some("gzip"), bomb, 1 << 20).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn what_is_no_gzip_is_refused() {
        let mut damaged = gzip(b"some text that is long enough");
        let cut = damaged[..damaged.len() - 9].to_vec();
        damaged[20] ^= 0xff;
        for bytes in [b"{}".to_vec(), damaged, cut, Vec::new()] {
            assert_eq!(read_it(Some("gzip"), bytes, 1000).await, Err(StatusCode::BAD_REQUEST));
        }
        assert_eq!(read_it(Some("br"), Vec::new(), 1000).await, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
}
