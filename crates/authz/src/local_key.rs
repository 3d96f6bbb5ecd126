//! The server's own issuer: an RS256 key in a file, and ID tokens shaped like Cognito's.

mod generate;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_fhir::json::Writer;
use jsonwebtoken::EncodingKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;

use crate::{ADMIN_SCOPE, Algorithm, Issuer, KeySet, Launch, TenantId};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum LocalKeyError {
    /// The file could not be read or written.
    #[error("issuer key file: {0}")]
    File(#[from] std::io::Error),
    /// The file holds no RSA private key of 2048 bits or more in PKCS#8 PEM.
    #[error("issuer key file: no RSA private key in PKCS#8 PEM, or an unsafe one")]
    Malformed,
    /// Others than its owner may read the file.
    #[error("issuer key file: readable by others than its owner; its mode must be 0600")]
    Exposed,
    /// No randomness, or the arithmetic failed on it.
    #[error("issuer key could not be made")]
    Generation,
}

/// A private key that signs tokens with RS256.
pub struct LocalKey {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    signing: EncodingKey,
    keys: KeySet,
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LocalKey {
    /// Reads the key from its file, or makes one (2048 bits, tens to hundreds of milliseconds on two threads) and writes it
    /// there with mode 0600, on stable storage. Of several callers at once one makes the key that all of them get.
    pub fn load_or_create(path: &Path) -> Result<Self, LocalKeyError> {
        match Self::load(path) {
            Err(LocalKeyError::File(error)) if error.kind() == ErrorKind::NotFound => Self::create(path),
            other => other,
        }
    }

    /// Reads the key from its file.
    pub fn load(path: &Path) -> Result<Self, LocalKeyError> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(LocalKeyError::Exposed);
        }
        let mut pem = String::new();
        // A PEM of 8192 bits is about 6 KiB.
        file.take(64 * 1024).read_to_string(&mut pem)?;
        Self::from_private(&RsaPrivateKey::from_pkcs8_pem(&pem).map_err(|_| LocalKeyError::Malformed)?)
    }

    fn create(path: &Path) -> Result<Self, LocalKeyError> {
        let private = generate::rsa_2048().ok_or(LocalKeyError::Generation)?;
        let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(|_| LocalKeyError::Generation)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, does not replace a key that someone else has put there meanwhile.
        let linked = std::fs::hard_link(&unfinished, path);
        std::fs::remove_file(&unfinished)?;
        File::open(folder)?.sync_all()?;
        match linked {
            Ok(()) => Self::from_private(&private),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::load(path),
            Err(error) => Err(error.into()),
        }
    }

    fn from_private(private: &RsaPrivateKey) -> Result<Self, LocalKeyError> {
        let (modulus, exponent) = (private.n().to_bytes_be(), private.e().to_bytes_be());
        let der = private.to_pkcs1_der().map_err(|_| LocalKeyError::Malformed)?;
        let id = thumbprint(&modulus, &exponent);
        let keys = KeySet::from_rsa(&id, &modulus, &exponent, Algorithm::Rs256).map_err(|_| LocalKeyError::Malformed)?;
        Ok(Self { id, modulus, exponent, signing: EncodingKey::from_rsa_der(der.as_bytes()), keys })
    }

    /// The public key.
    pub fn key_set(&self) -> &KeySet {
        &self.keys
    }

    /// The public key as a JWK Set (RFC 7517).
    pub fn jwks(&self) -> String {
        let mut writer = Writer::new();
        writer.begin_object().key("keys").begin_array().begin_object();
        writer.string_member("kty", "RSA").string_member("use", "sig").string_member("alg", "RS256").string_member("kid", &self.id);
        writer.string_member("n", &URL_SAFE_NO_PAD.encode(&self.modulus)).string_member("e", &URL_SAFE_NO_PAD.encode(&self.exponent));
        writer.end_object().end_array().end_object();
        writer.finish()
    }

    /// The key's id (`kid`).
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn sign(&self, payload: &str) -> Result<String, LocalKeyError> {
        let mut header = Writer::new();
        header.begin_object().string_member("kid", &self.id).string_member("alg", "RS256").end_object();
        self.sign_with_header(&header.finish(), payload)
    }

    pub(crate) fn sign_with_header(&self, header: &str, payload: &str) -> Result<String, LocalKeyError> {
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(token.as_bytes(), &self.signing, jsonwebtoken::Algorithm::RS256);
        token.push('.');
        token.push_str(&signature.map_err(|_| LocalKeyError::Generation)?);
        Ok(token)
    }
}

/// The key's id: its JWK thumbprint (RFC 7638).
fn thumbprint(modulus: &[u8], exponent: &[u8]) -> String {
    let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
    let canonical = format!("{{\"e\":\"{e}\",\"kty\":\"RSA\",\"n\":\"{n}\"}}");
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()))
}

/// Issues tokens of the server's own.
#[derive(Debug)]
pub struct LocalIssuer {
    key: LocalKey,
    url: String,
    audience: String,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The tenant (`custom:tenantId`).
    pub tenant: TenantId,
    /// The subject (`sub`).
    pub subject: String,
    /// The groups (`cognito:groups`); left out where there are none.
    pub groups: Vec<String>,
    /// The scopes (`scope`); left out where there are none.
    pub scopes: Vec<String>,
    /// How long it is valid, in seconds.
    pub ttl_s: u32,
}

impl LocalIssuer {
    /// An issuer with this key, `iss` and `aud`.
    pub fn new(key: LocalKey, url: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { key, url: url.into(), audience: audience.into() }
    }

    /// What a [`crate::TokenVerifier`] needs to accept its tokens.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            url: self.url.clone(),
            audiences: vec![self.audience.clone()],
            admin_audiences: vec![self.admin_audience()],
            tenant_audience_bases: Vec::new(),
            token_uses: vec!["id".into()],
            tenants: Vec::new(),
            keys: self.key.keys.clone(),
        }
    }

    fn admin_audience(&self) -> String {
        format!("{}-admin", self.audience)
    }

    /// A token for the administration of tenants, of the audience `<audience>-admin` and valid for so many seconds.
    pub fn issue_admin(&self, subject: &str, ttl_s: u32, now: i64) -> Result<String, LocalKeyError> {
        let mut writer = Writer::new();
        writer.begin_object().string_member("sub", subject).string_member("iss", &self.url);
        writer.string_member("aud", &self.admin_audience()).string_member("scope", ADMIN_SCOPE).string_member("token_use", "id");
        writer.raw_member("iat", &now.to_string()).raw_member("exp", &now.saturating_add(i64::from(ttl_s)).to_string());
        writer.end_object();
        self.key.sign(&writer.finish())
    }

    /// The key.
    pub fn key(&self) -> &LocalKey {
        &self.key
    }

    /// A token of the shape of Cognito's ID token. `now` is in seconds since 1970-01-01T00:00:00Z.
    pub fn issue(&self, request: &TokenRequest, now: i64) -> Result<String, LocalKeyError> {
        self.issue_launched(request, &Launch::default(), now)
    }

    /// As [`LocalIssuer::issue`], with the context of a SMART launch.
    pub fn issue_launched(&self, request: &TokenRequest, launch: &Launch, now: i64) -> Result<String, LocalKeyError> {
        let now_text = now.to_string();
        let mut writer = Writer::new();
        writer.begin_object().string_member("sub", &request.subject);
        if !request.groups.is_empty() {
            writer.key("cognito:groups").begin_array();
            request.groups.iter().for_each(|group| {
                writer.string(group);
            });
            writer.end_array();
        }
        writer.string_member("iss", &self.url).string_member("cognito:username", &request.subject);
        writer.string_member("custom:tenantId", request.tenant.as_str()).string_member("aud", &self.audience);
        if !request.scopes.is_empty() {
            writer.string_member("scope", &request.scopes.join(" "));
        }
        if let Some(patient) = &launch.patient {
            writer.string_member("patient", patient.as_str());
        }
        if let Some(encounter) = &launch.encounter {
            writer.string_member("encounter", encounter.as_str());
        }
        if let Some(user) = &launch.user {
            writer.string_member("fhirUser", &user.to_string());
        }
        writer.string_member("token_use", "id").raw_member("auth_time", &now_text).raw_member("iat", &now_text);
        writer.raw_member("exp", &now.saturating_add(i64::from(request.ttl_s)).to_string());
        writer.end_object();
        self.key.sign(&writer.finish())
    }
}

/// One key for all tests: making one is slow without optimization.
#[cfg(test)]
pub(crate) fn shared_test_key() -> &'static LocalKey {
    static KEY: std::sync::OnceLock<LocalKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| LocalKey::from_private(&generate::rsa_2048().expect("randomness")).expect("a good key"))
}

#[cfg(test)]
mod tests;
