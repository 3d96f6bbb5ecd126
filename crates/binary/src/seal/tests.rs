#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_authz::{Principal, WriteAccess};
use fhirpool_storage::ContentName;

use super::*;

/// Keys that follow from tenant and epoch.
struct PlainKeys;

#[async_trait]
impl KeyRing for PlainKeys {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.unwrap(tenant, KeyEpoch(2)).await
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        let mut bytes = [epoch.0 as u8; TenantKey::LENGTH];
        bytes[..tenant.as_str().len()].copy_from_slice(tenant.as_str().as_bytes());
        Ok(Arc::new(TenantKey::new(epoch, &bytes)))
    }

    fn forget(&self, _tenant: &TenantId) {}

    async fn destroy(&self, _tenant: &TenantId) -> Result<()> {
        Err(StorageError::Denied)
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn name(of: &str, body: &str) -> ObjectName {
    let access = WriteAccess::authorize(&Principal::operator(tenant(of)), &tenant(of)).unwrap();
    ObjectName::to_write(&access, &ContentName::Body(body.into())).unwrap()
}

#[tokio::test]
async fn content_of_every_length_comes_back() {
    let (acme, x) = (tenant("acme"), name("acme", "x"));
    for length in [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 3 * CHUNK_LENGTH, 3 * CHUNK_LENGTH + 7] {
        let clear: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        let sealed = seal(&PlainKeys, &acme, &x, "image/png", &clear).await.unwrap();
        let head = Head::read(&sealed).unwrap().unwrap();
        assert_eq!((head.content_type.as_str(), head.epoch), ("image/png", KeyEpoch(2)));
        assert_eq!(head.clear_length(sealed.len() as u64).unwrap(), length as u64);
        assert_eq!(open(&PlainKeys, &acme, &x, &sealed).await.unwrap(), clear, "{length}");
        // The same comes out whatever the pieces are.
        let (mut out, mut opener) = (Vec::new(), Opener::begin(&PlainKeys, &acme, &x, &head).await.unwrap());
        for piece in sealed[head.length()..].chunks(1000) {
            opener.push(piece, &mut out).unwrap();
        }
        opener.finish(&mut out).unwrap();
        assert_eq!(out, clear, "{length}");
    }
}

#[tokio::test]
async fn content_does_not_open_elsewhere() {
    let sealed = seal(&PlainKeys, &tenant("acme"), &name("acme", "x"), "text/plain", b"secret").await.unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    for (other, object) in [("acme", name("acme", "y")), ("demo", name("demo", "x")), ("demo", name("acme", "x"))] {
        let opened = open(&PlainKeys, &tenant(other), &object, &sealed).await;
        assert!(matches!(opened, Err(StorageError::Damaged(_))), "{object:?}");
    }
}

#[tokio::test]
async fn nothing_can_be_changed_moved_or_cut_off() {
    let (acme, x) = (tenant("acme"), name("acme", "x"));
    let clear = vec![7; 2 * CHUNK_LENGTH + 10];
    let sealed = seal(&PlainKeys, &acme, &x, "text/plain", &clear).await.unwrap();
    let head = HEAD_LENGTH_MIN + "text/plain".len();
    let mut damaged = Vec::new();
    for at in [3, 7, 20, head - 1, head, head + SEALED_CHUNK_LENGTH, sealed.len() - 1] {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        damaged.push(changed);
    }
    for length in [0, 10, head, head + SEALED_CHUNK_LENGTH, sealed.len() - 1] {
        damaged.push(sealed[..length].to_vec());
    }
    let chunks: Vec<&[u8]> = sealed[head..].chunks(SEALED_CHUNK_LENGTH).collect();
    damaged.push([&sealed[..head], chunks[1], chunks[0], chunks[2]].concat());
    damaged.push([&sealed[..head], chunks[0], chunks[2]].concat());
    for (case, bytes) in damaged.into_iter().enumerate() {
        assert!(matches!(open(&PlainKeys, &acme, &x, &bytes).await, Err(StorageError::Damaged(_))), "case {case}");
    }
}
