//! Page tokens: where a result continues, sealed.
//!
//! A token is AES-256-GCM over its query, its place in the order and its time of expiry, with the tenant, the subject and the
//! address as associated data. It tells nothing, cannot be made or changed by others, and is worth nothing under another
//! tenant, for another subject or at another address.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_authz::ReadAccess;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::Randomness;

/// Seals and opens page tokens.
#[derive(Clone)]
pub struct PageTokens {
    key: Arc<LessSafeKey>,
    randomness: Arc<dyn Randomness>,
}

impl PageTokens {
    /// Tokens under this key.
    pub fn new(key: &[u8; 32], randomness: Arc<dyn Randomness>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes");
        Self { key: Arc::new(LessSafeKey::new(key)), randomness }
    }

    /// The content sealed for this access and address.
    pub(crate) fn seal(&self, access: &ReadAccess, address: &str, content: &[u8]) -> String {
        let mut nonce = [0; NONCE_LEN];
        self.randomness.fill(&mut nonce);
        let mut sealed = nonce.to_vec();
        let mut text = content.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated_data(access, address)), &mut text)
            .expect("a token is far below the limit of the cipher");
        sealed.extend_from_slice(&text);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The content of a token that was sealed for this access and address; `None` for any other text.
    pub(crate) fn open(&self, access: &ReadAccess, address: &str, token: &str) -> Option<Vec<u8>> {
        let mut sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        if sealed.len() < NONCE_LEN {
            return None;
        }
        let mut content = sealed.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).ok()?;
        let length = self.key.open_in_place(nonce, Aad::from(associated_data(access, address)), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

fn associated_data(access: &ReadAccess, address: &str) -> Vec<u8> {
    let mut data = b"fhirpool page 1".to_vec();
    for part in [access.tenant().as_str(), access.subject(), address] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}
