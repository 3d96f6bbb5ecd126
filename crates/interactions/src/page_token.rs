//! Page tokens: where a result continues, sealed.
//!
//! A token is AES-256-GCM over its query, its place in the order and its time of expiry, with the tenant, the subject, the
//! application, what both are granted, and the address as associated data. It tells nothing, cannot be made or changed by others,
//! and is worth nothing under another tenant, for another subject, under other grants or at another address.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fhirpool_authz::ReadAccess;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{InteractionError, Interactions, Randomness, Result};

/// Where a result continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The query of the first page.
    pub query: String,
    /// The total that the first page gave.
    pub total: Option<u64>,
    /// The place in the order, in bytes of whoever made them.
    pub position: Vec<u8>,
}

impl Interactions {
    /// A token for the page that comes next at this address.
    pub(crate) fn seal_page(&self, access: &ReadAccess, address: &str, page: &Page) -> String {
        let expires = self.clock.now().0.saturating_add(self.limits.page_token_ttl_ms);
        let mut content = expires.to_be_bytes().to_vec();
        content.extend_from_slice(&page.total.unwrap_or(u64::MAX).to_be_bytes());
        content.extend_from_slice(&(page.query.len() as u32).to_be_bytes());
        content.extend_from_slice(page.query.as_bytes());
        content.extend_from_slice(&page.position);
        self.page_tokens.seal(access, address, &content)
    }

    /// What a token says that was made for this access and address, and has not expired.
    pub(crate) fn open_page(&self, access: &ReadAccess, address: &str, token: &str) -> Result<Page> {
        let page = self.page_tokens.open(access, address, token).and_then(|content| read_page(&content));
        match page {
            Some((expires, page)) if self.clock.now().0 <= expires => Ok(page),
            Some(_) => Err(InteractionError::bad_request("the page link has expired; search again")),
            None => Err(InteractionError::bad_request("the page link is not one of this server, client and address")),
        }
    }
}

fn read_page(content: &[u8]) -> Option<(i64, Page)> {
    let (expires, content) = content.split_first_chunk()?;
    let (total, content) = content.split_first_chunk()?;
    let (length, content) = content.split_first_chunk()?;
    let (query, position) = content.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let total = Some(u64::from_be_bytes(*total)).filter(|total| *total != u64::MAX);
    let page = Page { query: String::from_utf8(query.to_vec()).ok()?, total, position: position.to_vec() };
    Some((i64::from_be_bytes(*expires), page))
}

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
    for part in [access.tenant().as_str(), access.issuer(), access.subject(), access.client().unwrap_or_default(), address] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data.extend_from_slice(&access.extent());
    data
}
