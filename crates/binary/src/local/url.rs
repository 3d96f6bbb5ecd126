//! Signed URLs of the server's own.
//!
//! `/$content/Binary/<id>/<version>?expires=…&type=…[&length=…]&signature=…`: the signature is HMAC-SHA256 over
//! method, object and terms, with a key that lies in the content folder.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_storage::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::OpenError;
use crate::object::ObjectName;

const KEY_FILE: &str = "url.key";
const KEY_LENGTH: usize = 32;
/// Longer queries are not looked at.
const QUERY_BYTES_MAX: usize = 8 << 10;
/// What stays as it is in a query's values.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// What a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Put,
    Get,
}

/// What a URL is bound to, besides method and object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Seconds since 1970; until then, that second included.
    pub expires_s: i64,
    pub content_type: String,
    /// Of the upload, where it is known.
    pub length: Option<u64>,
}

/// The key of URLs.
pub(super) struct UrlKey(hmac::Key);

impl UrlKey {
    /// The key of a folder; it is made on first use.
    pub fn load_or_create(folder: &Path) -> std::result::Result<Self, OpenError> {
        let path = folder.join(KEY_FILE);
        let mut bytes = Vec::new();
        match std::fs::File::open(&path) {
            Ok(file) => {
                file.take(KEY_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bytes = vec![0; KEY_LENGTH];
                SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("there are no random bytes"))?;
                let unfinished = path.with_extension("unfinished");
                let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                std::fs::rename(unfinished, path)?;
                std::fs::File::open(folder)?.sync_all()?;
            }
            Err(error) => return Err(error.into()),
        }
        if bytes.len() != KEY_LENGTH {
            return Err(OpenError::Damaged);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// A URL from the tenant's base.
    pub fn sign(&self, method: Method, object: &ObjectName, terms: &Terms) -> Result<String> {
        let name = object.for_url()?;
        let signature = hmac::sign(&self.0, &text(method, name, terms));
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let Terms { expires_s, content_type, length } = terms;
        let content_type = utf8_percent_encode(content_type, PLAIN);
        let length = length.map_or(String::new(), |length| format!("&length={length}"));
        // `tenant/<tenant>/Binary/…`: what comes behind the tenant goes below `$content`.
        let path = name[name.find("/Binary/").unwrap_or(name.len())..].replace("/_.", "/.");
        Ok(format!("/$content{path}?expires={expires_s}&type={content_type}{length}&signature={signature}"))
    }

    /// The terms of a query that was signed for this method and object; whether their time has passed is not looked at.
    pub fn check(&self, method: Method, object: &ObjectName, query: &str) -> Option<Terms> {
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
