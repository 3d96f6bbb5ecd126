//! Digests in keys: what must not be readable there is an HMAC under a key of the tenant.
//!
//! The tenant's first key makes them for ever, for a digest that changed with the key would no longer be found. It is destroyed
//! with all the others.

use fhirpool_authz::TenantId;
use fhirpool_storage::{KeyEpoch, KeyRing, Result};
use ring::hmac;

use crate::keys::DIGEST_BYTES;

const FIRST: KeyEpoch = KeyEpoch(1);

/// Makes the digests of one purpose and tenant.
pub(crate) struct Digester(hmac::Key);

impl Digester {
    pub(crate) async fn new(keys: &dyn KeyRing, tenant: &TenantId, purpose: &[u8]) -> Result<Self> {
        let mut key = keys.data_key(tenant).await?;
        if key.epoch() != FIRST {
            key = keys.unwrap(tenant, FIRST).await?;
        }
        Ok(Self(key.digest_key(purpose)))
    }

    /// Of parts, each behind its length, so that no two lists of parts are alike.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("the tag is 32 bytes")
    }
}

/// A digest as text of a key.
pub(crate) fn hexadecimal(digest: [u8; DIGEST_BYTES]) -> String {
    format!("{:032x}", u128::from_be_bytes(digest))
}
