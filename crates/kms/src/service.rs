//! Calls to KMS: their client, their encryption context, and what their failures mean.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use fhirpool_authz::TenantId;
use fhirpool_storage::{KeyEpoch, StorageError, TenantKey};

/// What the keys are for, in the encryption context: a grant or key policy can ask for it.
const PURPOSE: &str = "fhirpool-data";

const ATTEMPTS_MAX: u32 = 3;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where KMS is.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Its address; `None`: AWS's own of the region.
    pub endpoint: Option<String>,
    /// The region; `None`: by the environment.
    pub region: Option<String>,
}

/// A client of KMS, with credentials from the environment.
pub async fn client(settings: &Settings) -> Client {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    Client::new(&loader.load().await)
}

/// Why KMS gave no key.
#[derive(Debug)]
pub(crate) enum KmsError {
    /// It cannot be reached, or cannot answer now.
    Outage(String),
    /// It answered, and will not do it: the key is disabled or to be deleted, or the caller may not use it.
    Refused(String),
    /// The wrapped bytes are not what KMS gave for this tenant and epoch.
    Damaged(String),
}

impl From<KmsError> for StorageError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Outage(text) | KmsError::Refused(text) => Self::Unavailable(text),
            KmsError::Damaged(text) => Self::Damaged(text),
        }
    }
}

/// The one key of KMS under which tenants' keys are wrapped.
pub(crate) struct RootKey {
    pub client: Client,
    /// Its id, alias or ARN.
    pub id: String,
}

impl RootKey {
    /// Makes a data key: ready for use, and wrapped.
    pub async fn generate(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<(TenantKey, Vec<u8>), KmsError> {
        let request = self.client.generate_data_key().key_id(&self.id).key_spec(DataKeySpec::Aes256);
        let request = context(tenant, epoch).into_iter().fold(request, |request, (name, value)| request.encryption_context(name, value));
        let answer = request.send().await.map_err(|error| failure("GenerateDataKey", &error))?;
        let wrapped = answer.ciphertext_blob.map(Blob::into_inner).filter(|wrapped| !wrapped.is_empty());
        let wrapped = wrapped.ok_or_else(|| KmsError::Outage("GenerateDataKey gave no wrapped key".into()))?;
        Ok((tenant_key(epoch, answer.plaintext)?, wrapped))
    }

    /// Unwraps a data key.
    pub async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch, wrapped: &[u8]) -> Result<TenantKey, KmsError> {
        let request = self.client.decrypt().key_id(&self.id).ciphertext_blob(Blob::new(wrapped));
        let request = context(tenant, epoch).into_iter().fold(request, |request, (name, value)| request.encryption_context(name, value));
        let answer = request.send().await.map_err(|error| failure("Decrypt", &error))?;
        tenant_key(epoch, answer.plaintext)
    }
}

fn context(tenant: &TenantId, epoch: KeyEpoch) -> [(&'static str, String); 3] {
    [("tenant", tenant.to_string()), ("purpose", PURPOSE.to_owned()), ("epoch", epoch.0.to_string())]
}

fn tenant_key(epoch: KeyEpoch, plaintext: Option<Blob>) -> Result<TenantKey, KmsError> {
    let mut bytes = plaintext.map(Blob::into_inner).unwrap_or_default();
    let key = <&[u8; TenantKey::LENGTH]>::try_from(bytes.as_slice()).map(|bytes| TenantKey::new(epoch, bytes));
    // Clear text stays no longer than needed.
    bytes.fill(0);
    key.map_err(|_| KmsError::Damaged(format!("the data key of epoch {} has another length", epoch.0)))
}

fn failure<E>(operation: &'static str, error: &SdkError<E>) -> KmsError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let text = format!("KMS {operation}: {}", DisplayErrorContext(error));
    let kind = match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => "damaged",
        "DependencyTimeoutException" | "KeyUnavailableException" | "KMSInternalException" | "ThrottlingException" => "outage",
        "" => "outage",
        _ if status >= 500 || status == 429 => "outage",
        _ => "refused",
    };
    metrics::counter!("fhirpool_kms_failures_total", "operation" => operation, "kind" => kind).increment(1);
    match kind {
        "damaged" => KmsError::Damaged(text),
        "refused" => KmsError::Refused(text),
        _ => KmsError::Outage(text),
    }
}
