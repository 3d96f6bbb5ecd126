//! Signed URLs of the server's own: what they say, and what comes by them.
//!
//! `/$content/Binary/<id>/<version>?expires=…&type=…[&length=…]&signature=…`: the signature is HMAC-SHA256 over
//! method, object and terms, with a key that all nodes have.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_authz::{Principal, WriteAccess};
use fhirpool_storage::{ContentInfo, ContentName, Result, SignedAddress, StorageError, Upload, UploadOutcome, UploadTerms};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;

use crate::object::ObjectName;

/// Bytes of a key.
pub(crate) const KEY_LENGTH: usize = 32;
/// Longer queries are not looked at.
const QUERY_BYTES_MAX: usize = 8 << 10;
/// What stays as it is in a query's values.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// What a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Put,
    Get,
}

/// What a URL is bound to, besides method and object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Seconds since 1970; until then, that second included.
    pub expires_s: i64,
    pub content_type: String,
    /// Of the upload, where it is known.
    pub length: Option<u64>,
}

/// Tells the time in seconds since 1970.
pub type NowSeconds = dyn Fn() -> i64 + Send + Sync;

/// Signs URLs, and knows what was signed.
pub(crate) struct Signing {
    key: UrlKey,
    now: Arc<NowSeconds>,
    length_max: u64,
}

/// What a URL leads to, in the name of the server, which signed it.
pub(crate) struct Granted {
    pub access: WriteAccess,
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "files know objects alone"))]
    pub name: ContentName,
    pub object: ObjectName,
    pub terms: Terms,
}

impl Signing {
    /// With this key; no upload may be longer than so many bytes, whatever its URL allows.
    pub fn new(key: &[u8; KEY_LENGTH], now: Arc<NowSeconds>, length_max: u64) -> Self {
        Self { key: UrlKey::new(key), now, length_max }
    }

    /// Most bytes of an upload.
    pub fn length_max(&self) -> u64 {
        self.length_max
    }

    pub fn upload_url(&self, object: &ObjectName, terms: &UploadTerms) -> Result<String> {
        self.url(Method::Put, object, &terms.content_type, terms.length, terms.ttl_s)
    }

    pub fn download_url(&self, object: &ObjectName, info: &ContentInfo, ttl_s: u32) -> Result<String> {
        self.url(Method::Get, object, &info.content_type, None, ttl_s)
    }

    fn url(&self, method: Method, object: &ObjectName, content_type: &str, length: Option<u64>, ttl_s: u32) -> Result<String> {
        let terms = Terms { expires_s: (self.now)() + i64::from(ttl_s), content_type: content_type.to_owned(), length };
        self.key.sign(method, object, &terms)
    }

    /// What a URL for downloads that was signed here, and is still good, leads to.
    pub fn check_download(&self, address: &SignedAddress<'_>) -> Result<Granted> {
        self.check(Method::Get, address)
    }

    /// The same of one for uploads; an outcome where nothing of the upload needs to be read.
    pub fn check_upload(&self, address: &SignedAddress<'_>, upload: &Upload<'_>) -> Result<std::result::Result<Granted, UploadOutcome>> {
        let granted = self.check(Method::Put, address)?;
        if upload.content_type.unwrap_or_default() != granted.terms.content_type {
            return Err(StorageError::Denied);
        }
        match (granted.terms.length, upload.length) {
            (Some(signed), Some(announced)) if signed != announced => Err(StorageError::Denied),
            (None, Some(announced)) if announced > self.length_max => Ok(Err(UploadOutcome::TooLarge(self.length_max))),
            _ => Ok(Ok(granted)),
        }
    }

    fn check(&self, method: Method, address: &SignedAddress<'_>) -> Result<Granted> {
        let access = WriteAccess::authorize(&Principal::operator(address.tenant.clone()), address.tenant);
        let access = access.map_err(|_| StorageError::Denied)?;
        let name = ContentName::Binary { id: address.id.clone(), version: address.version };
        let object = ObjectName::to_write(&access, &name)?;
        let terms = self.key.check(method, &object, address.query).ok_or(StorageError::Denied)?;
        if terms.expires_s < (self.now)() { Err(StorageError::Denied) } else { Ok(Granted { access, name, object, terms }) }
    }
}

/// The key of URLs.
struct UrlKey(hmac::Key);

impl UrlKey {
    fn new(bytes: &[u8; KEY_LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A URL from the tenant's base.
    fn sign(&self, method: Method, object: &ObjectName, terms: &Terms) -> Result<String> {
        let signature = hmac::sign(&self.0, &text(method, object.for_url()?, terms));
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let Terms { expires_s, content_type, length } = terms;
        let content_type = utf8_percent_encode(content_type, PLAIN);
        let length = length.map_or(String::new(), |length| format!("&length={length}"));
        let path = object.own().replace("/_.", "/.");
        Ok(format!("/$content/{path}?expires={expires_s}&type={content_type}{length}&signature={signature}"))
    }

    /// The terms of a query that was signed for this method and object; whether their time has passed is not looked at.
    fn check(&self, method: Method, object: &ObjectName, query: &str) -> Option<Terms> {
        if query.len() > QUERY_BYTES_MAX {
            return None;
        }
        let (mut expires_s, mut content_type, mut length, mut signature) = (None, None, None, None);
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=')?;
            let is_second = match name {
                "expires" => expires_s.replace(value.parse::<i64>().ok()?).is_some(),
                "type" => content_type.replace(percent_decode_str(value).decode_utf8().ok()?.into_owned()).is_some(),
                "length" => length.replace(value.parse::<u64>().ok()?).is_some(),
                "signature" => signature.replace(URL_SAFE_NO_PAD.decode(value).ok()?).is_some(),
                _ => true,
            };
            if is_second {
                return None;
            }
        }
        let terms = Terms { expires_s: expires_s?, content_type: content_type?, length };
        let text = text(method, object.for_url().ok()?, &terms);
        // In constant time.
        hmac::verify(&self.0, &text, &signature?).ok()?;
        Some(terms)
    }
}

/// What is signed: each part behind its length, so that no two are written alike.
fn text(method: Method, object: &str, terms: &Terms) -> Vec<u8> {
    let method = match method {
        Method::Put => "PUT",
        Method::Get => "GET",
    };
    let expires = terms.expires_s.to_string();
    let length = terms.length.map_or_else(|| "any".to_owned(), |length| length.to_string());
    let mut out = b"fhirpool url 1".to_vec();
    for part in [method, object, &expires, &terms.content_type, &length] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}
