//! Bounded GETs.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use fhirpool_authz::is_safe_address;
use fhirpool_fhir::json::{Document, Limits};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Why something was not fetched. It names no content of an answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The system's certificates cannot be read.
    #[error("the certificates of this machine cannot be used: {0}")]
    Certificates(std::io::Error),
    /// The address is not one that keys come from.
    #[error("the address is neither https nor of this machine")]
    Address,
    /// There is no answer.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The answer is none.
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    /// The answer took too long.
    #[error("the answer takes too long")]
    TooSlow,
    /// The answer is larger than allowed, or was cut.
    #[error("the answer is too large or incomplete")]
    TooLarge,
    /// The discovery document is not of its form, or another issuer's.
    #[error("the discovery document is malformed or of another issuer")]
    Discovery,
}

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

#[derive(Debug)]
pub(crate) struct Fetch {
    /// Made when it is needed first: a machine on which nobody is asked needs no certificates.
    client: OnceLock<HttpsClient>,
    time_max: Duration,
    bytes_max: usize,
}

impl Fetch {
    pub(crate) fn new(time_max: Duration, bytes_max: usize) -> Self {
        Self { client: OnceLock::new(), time_max, bytes_max }
    }

    pub(crate) fn client(&self) -> Result<&HttpsClient, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(rustls::crypto::ring::default_provider());
        let connector = builder.map_err(FetchError::Certificates)?.https_or_http().enable_http1().build();
        Ok(self.client.get_or_init(|| Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The body behind an address. Redirects are refused as any status but 200 is.
    pub(crate) async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        if !is_safe_address(address) {
            return Err(FetchError::Address);
        }
        let request = Request::get(address).header("accept", "application/json").body(Empty::new()).map_err(|_| FetchError::Address)?;
        let client = self.client()?;
        let work = async {
            let response = client.request(request).await.map_err(|error| FetchError::Unreachable(error.to_string()))?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), self.bytes_max).collect().await.map_err(|_| FetchError::TooLarge)?;
            Ok(body.to_bytes().to_vec())
        };
        tokio::time::timeout(self.time_max, work).await.unwrap_or(Err(FetchError::TooSlow))
    }

    /// Where an issuer's keys are (OpenID Connect Discovery 1.0, section 4).
    pub(crate) async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let document = self.get(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
        let document = Document::parse_with(document, &Limits { depth_max: 16 }).map_err(|_| FetchError::Discovery)?;
        let root = document.root();
        // Section 4.3: it must be the issuer that was asked.
        if root.get_str("issuer").as_deref() != Some(issuer) {
            return Err(FetchError::Discovery);
        }
        let uri = root.get_str("jwks_uri").ok_or(FetchError::Discovery)?.into_owned();
        // An issuer elsewhere has nothing to ask of this machine.
        if issuer.starts_with("https://") && !uri.starts_with("https://") { Err(FetchError::Discovery) } else { Ok(uri) }
    }
}
