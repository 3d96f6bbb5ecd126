//! The compact form of a signed token (RFC 7515, section 7.1), taken apart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_fhir::json::{Document, Limits};

use super::TokenError;

/// A token in its parts; nothing is verified yet.
pub(super) struct Signed<'a> {
    /// Header and payload, as they were signed.
    pub message: &'a str,
    /// The signature, in base64url.
    pub signature: &'a str,
    /// The header's `alg`.
    pub algorithm: String,
    /// The header's `kid`.
    pub key_id: String,
    payload: &'a str,
}

impl<'a> Signed<'a> {
    /// Takes a token apart and reads its header: of it only `alg` and `kid`, and that there is no `crit`.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = parse_object(&decode(header)?)?;
        let header = header.root();
        if header.get("crit").is_some() {
            return Err(TokenError::CriticalHeader);
        }
        let algorithm = header.get_str("alg").ok_or(TokenError::Malformed)?.into_owned();
        let key_id = header.get_str("kid").ok_or(TokenError::UnknownKey)?.into_owned();
        Ok(Self { message, signature, algorithm, key_id, payload })
    }

    /// The payload's bytes.
    pub fn payload(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.payload)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Parses a JSON object, of which no property may stand twice, whatever its depth.
pub(super) fn parse_object(text: &[u8]) -> Result<Document, TokenError> {
    let document = Document::parse_with(text, &Limits { depth_max: 16 }).map_err(|_| TokenError::Malformed)?;
    if document.root().is_object() { Ok(document) } else { Err(TokenError::Malformed) }
}
