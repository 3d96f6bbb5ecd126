//! Tenants' keys and the port that gives them out.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::TenantId;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::{hkdf, hmac};

use crate::Result;

/// Which of a tenant's keys: they are counted from 1 and never used again once replaced or destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyEpoch(pub u32);

/// A tenant's key of one epoch, ready for use. It seals nothing itself: each item gets a key derived from it.
pub struct TenantKey {
    epoch: KeyEpoch,
    root: hkdf::Prk,
}

impl TenantKey {
    /// Length of a data key in bytes.
    pub const LENGTH: usize = 32;

    /// Of the data key's bytes, which must be random.
    pub fn new(epoch: KeyEpoch, data_key: &[u8; Self::LENGTH]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"fhirpool item keys 1").extract(data_key);
        Self { epoch, root }
    }

    /// Its epoch.
    pub fn epoch(&self) -> KeyEpoch {
        self.epoch
    }

    /// A key for one object that is sealed in pieces, by its name and salt; no item's key is ever the same.
    ///
    /// Whoever seals with it must never use a nonce twice.
    pub fn object_key(&self, name: &[&[u8]]) -> LessSafeKey {
        let mut info = b"\0object".to_vec();
        for part in name {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        let info = [info.as_slice()];
        let derived = self.root.expand(&info, &AES_256_GCM).expect("the key is shorter than 255 hashes");
        LessSafeKey::new(UnboundKey::from(derived))
    }

    /// A key for the digests of one purpose that stored keys hold; no item's key is ever the same.
    pub fn digest_key(&self, purpose: &[u8]) -> hmac::Key {
        let info = [b"\0digest".as_slice(), purpose];
        let derived = self.root.expand(&info, hmac::HMAC_SHA256).expect("the key is shorter than 255 hashes");
        hmac::Key::from(derived)
    }

    pub(crate) fn root(&self) -> &hkdf::Prk {
        &self.root
    }
}

impl std::fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Keeps tenants' data keys, wrapped, and gives them out.
///
/// Contract: a tenant's key of an epoch is always the same, or gone for good. What was sealed under a destroyed key cannot be
/// read again by anyone. Callers may keep a key in memory, but not beyond the closing of its tenant.
#[async_trait]
pub trait KeyRing: Send + Sync {
    /// The tenant's newest key, to seal with; the first call for a tenant makes it.
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>>;

    /// The tenant's key of an epoch that a stored value names; [`crate::StorageError::UnknownTenant`] if it was destroyed.
    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>>;

    /// Drops a tenant's keys from memory: the next call looks again at what there is.
    fn forget(&self, tenant: &TenantId);

    /// Destroys all keys of a tenant for good, here at once; it never gets another, though it had none. Other nodes follow once
    /// they forget what they keep.
    async fn destroy(&self, tenant: &TenantId) -> Result<()>;
}

/// A data key as it is stored: readable only by who may unwrap it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Its epoch.
    pub epoch: KeyEpoch,
    /// The wrapped bytes; empty: it was destroyed.
    pub wrapped: Vec<u8>,
}

/// Keeps wrapped keys where all nodes see them, apart from what they seal.
#[async_trait]
pub trait WrappedKeys: Send + Sync {
    /// All of a tenant's, by epoch, read strongly.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<WrappedKey>>;

    /// Adds a key of an epoch that has none; `false`: there is one already.
    async fn add(&self, tenant: &TenantId, key: &WrappedKey) -> Result<bool>;

    /// Destroys all of a tenant's for good; what remains says only that they were there.
    async fn destroy(&self, tenant: &TenantId) -> Result<()>;
}
