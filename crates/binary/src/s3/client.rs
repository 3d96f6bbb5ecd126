//! The client of S3, and what its failures mean.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use fhirpool_storage::StorageError;

const ATTEMPTS_MAX: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until the answer begins, its body aside.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Which bucket.
#[derive(Debug, Clone, Default)]
pub struct S3Settings {
    /// The address of S3; `None`: AWS's own of the region.
    pub endpoint: Option<String>,
    /// The address of S3 in signed URLs, where clients reach it by another one.
    pub public_endpoint: Option<String>,
    /// The region; `None`: by the environment.
    pub region: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// Whether the bucket's name is in the path instead of the host: for endpoints other than AWS's.
    pub path_style: bool,
    /// The KMS key (id, alias or ARN) under which the bucket encrypts; `None`: the bucket's own default.
    pub encryption_key: Option<String>,
}

/// The client, and the one that signs URLs.
pub(super) async fn clients(settings: &S3Settings) -> (Client, Client) {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        // The standard mode has a budget: retries stop when most calls fail.
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let shared = loader.load().await;
    let client = |endpoint: Option<&String>| {
        let mut builder = Builder::from(&shared)
            .force_path_style(settings.path_style)
            // A checksum would be one more thing that a signed URL demands of clients, and not every endpoint takes them.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Client::from_conf(builder.build())
    };
    let endpoint = settings.endpoint.as_ref();
    (client(endpoint), client(settings.public_endpoint.as_ref().or(endpoint)))
}

/// For bytes that come from clients or go to them: those may take their time, which their own side bounds.
pub(super) fn unhurried() -> Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).disable_read_timeout().build();
    Builder::new().timeout_config(timeouts).stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// Whether the object is not there.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("NoSuchKey" | "NotFound" | "NoSuchVersion"))
}

/// Whether the endpoint does not know the operation.
pub(super) fn is_not_implemented<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code == Some("NotImplemented") || error.raw_response().is_some_and(|response| response.status().as_u16() == 501)
}

/// All failures but those above: S3 cannot do it now, or will not.
pub(super) fn failure<E: std::error::Error + 'static>(operation: &'static str, error: &SdkError<E>) -> StorageError {
    metrics::counter!("fhirpool_s3_failures_total", "operation" => operation).increment(1);
    StorageError::Unavailable(format!("S3 {operation}: {}", DisplayErrorContext(error)))
}
