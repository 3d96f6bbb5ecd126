//! Where a chain begins whose first blocks have expired.

use fhirpool_authz::TenantId;

use super::{BlockDigest, SEALED_AS_ANCHOR, damaged};
use crate::value::{Seal, open_bytes, seal_bytes, seal_of};
use crate::{KeyRing, Result, TenantKey};

/// What the first block that a chain still has follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditAnchor {
    /// The chain.
    pub chain: u64,
    /// Its last block that has expired; all ahead of it have, too.
    pub sequence: u64,
    /// That block's digest.
    pub digest: BlockDigest,
    /// How many places of what has expired were broken when it did: a block was missing there, or another than was appended.
    pub broken: u32,
}

/// An anchor as it is stored. Whoever has not the tenant's key can neither make one nor move it to another chain: to put an earlier
/// one in its place makes blocks seem missing, and to remove it, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAnchor {
    /// The chain.
    pub chain: u64,
    /// [`AuditAnchor::sequence`]
    pub sequence: u64,
    /// The rest, sealed: `crate::value::seal_bytes` of the digest and the number of broken places (4 bytes, big-endian).
    pub bytes: Vec<u8>,
}

impl AuditAnchor {
    /// Seals it.
    pub fn seal(&self, key: &TenantKey, tenant: &TenantId) -> SealedAnchor {
        let Self { chain, sequence, digest, broken } = *self;
        let text = [&digest[..], &broken.to_be_bytes()].concat();
        let mut bytes = Vec::new();
        seal_bytes(key, &name(tenant, &chain.to_be_bytes(), &sequence.to_be_bytes()), &text, &mut bytes);
        SealedAnchor { chain, sequence, bytes }
    }
}

impl SealedAnchor {
    /// What it says, by a key of the ring.
    ///
    /// # Errors
    /// [`crate::StorageError::Damaged`] where it is not what was sealed for this tenant and chain.
    pub async fn open_with(&self, keys: &dyn KeyRing, tenant: &TenantId) -> Result<AuditAnchor> {
        self.open(&*keys.unwrap(tenant, self.epoch()?).await?, tenant)
    }

    /// What it says, by the key that it was sealed with.
    ///
    /// # Errors
    /// As [`SealedAnchor::open_with`].
    pub fn open(&self, key: &TenantKey, tenant: &TenantId) -> Result<AuditAnchor> {
        let Self { chain, sequence, bytes } = self;
        let text = open_bytes(key, &name(tenant, &chain.to_be_bytes(), &sequence.to_be_bytes()), bytes)?;
        let read = || {
            let (digest, broken) = text.split_first_chunk::<32>()?;
            Some(AuditAnchor { chain: *chain, sequence: *sequence, digest: *digest, broken: u32::from_be_bytes(broken.try_into().ok()?) })
        };
        read().ok_or_else(|| damaged("an anchor"))
    }

    /// Which key opens it.
    ///
    /// # Errors
    /// As [`SealedAnchor::open_with`].
    pub fn epoch(&self) -> Result<crate::KeyEpoch> {
        match seal_of(&self.bytes)? {
            Seal::Key(epoch) => Ok(epoch),
            _ => Err(damaged("an anchor is not sealed")),
        }
    }
}

fn name<'a>(tenant: &'a TenantId, chain: &'a [u8; 8], sequence: &'a [u8; 8]) -> [&'a [u8]; 4] {
    [SEALED_AS_ANCHOR, tenant.as_str().as_bytes(), chain, sequence]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::KeyEpoch;

    #[test]
    fn an_anchor_opens_for_its_tenant_chain_and_place_alone() {
        let (key, tenant) = (TenantKey::new(KeyEpoch(2), &[7; TenantKey::LENGTH]), TenantId::parse("acme").unwrap());
        let anchor = AuditAnchor { chain: 9, sequence: 70, digest: [5; 32], broken: 3 };
        let sealed = anchor.seal(&key, &tenant);
        assert_eq!((sealed.epoch(), sealed.open(&key, &tenant)), (Ok(KeyEpoch(2)), Ok(anchor)));
        assert!(sealed.open(&key, &TenantId::parse("demo").unwrap()).is_err());
        assert!(SealedAnchor { chain: 8, ..sealed.clone() }.open(&key, &tenant).is_err());
        assert!(SealedAnchor { sequence: 71, ..sealed.clone() }.open(&key, &tenant).is_err());
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert!(changed.open(&key, &tenant).is_err(), "byte {place}");
        }
    }
}
