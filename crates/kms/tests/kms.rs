//! The key ring on a KMS that checks encryption contexts and disabled keys.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use fhirpool_authz::TenantId;
use fhirpool_kms::{KmsKeyRing, Limits, Settings, client};
use fhirpool_storage::value::{open_bytes, seal_bytes};
use fhirpool_storage::{KeyEpoch, KeyRing, Result, StorageError, WrappedKey, WrappedKeys};

/// Wrapped keys in memory, which can be told to be out of reach.
#[derive(Default)]
struct Kept {
    keys: Mutex<BTreeMap<(TenantId, KeyEpoch), Vec<u8>>>,
    is_down: AtomicBool,
}

impl Kept {
    fn check(&self) -> Result<()> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(StorageError::Unavailable("the test has switched it off".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl WrappedKeys for Kept {
    async fn list(&self, tenant: &TenantId) -> Result<Vec<WrappedKey>> {
        self.check()?;
        let keys = self.keys.lock().unwrap();
        let own = keys.iter().filter(|((other, _), _)| other == tenant);
        Ok(own.map(|((_, epoch), wrapped)| WrappedKey { epoch: *epoch, wrapped: wrapped.clone() }).collect())
    }

    async fn add(&self, tenant: &TenantId, key: &WrappedKey) -> Result<bool> {
        self.check()?;
        let mut keys = self.keys.lock().unwrap();
        let place = (tenant.clone(), key.epoch);
        let is_new = !keys.contains_key(&place);
        keys.entry(place).or_insert_with(|| key.wrapped.clone());
        Ok(is_new)
    }

    async fn destroy(&self, tenant: &TenantId) -> Result<()> {
        self.check()?;
        let mut keys = self.keys.lock().unwrap();
        keys.iter_mut().filter(|((other, _), _)| other == tenant).for_each(|(_, wrapped)| wrapped.clear());
        Ok(())
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the local stack with `cargo xtask stack up`"))
}

async fn kms() -> Client {
    client(&Settings { endpoint: Some(setting("FHIRPOOL_KMS_ENDPOINT")), region: Some("us-east-1".into()) }).await
}

/// A key of KMS of its own: some tests disable theirs.
async fn root_key(kms: &Client) -> String {
    kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// A key ring that looks again every time.
fn forgetful(kms: &Client, root: &str, kept: &Arc<Kept>) -> KmsKeyRing {
    let limits = Limits { kept: Duration::ZERO, ..Limits::default() };
    KmsKeyRing::new(kms.clone(), root, Arc::clone(kept) as _, &limits)
}

fn remembering(kms: &Client, root: &str, kept: &Arc<Kept>) -> KmsKeyRing {
    KmsKeyRing::new(kms.clone(), root, Arc::clone(kept) as _, &Limits::default())
}

/// Bytes that only the right key opens.
async fn sealed(ring: &KmsKeyRing, tenant: &TenantId) -> Vec<u8> {
    let mut out = Vec::new();
    seal_bytes(&ring.data_key(tenant).await.unwrap(), &[b"test"], b"secret", &mut out);
    out
}

#[tokio::test]
async fn a_tenants_first_key_is_made_once_and_is_the_same_for_all_nodes() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme) = (root_key(&kms).await, tenant("acme"));
    let rings: Vec<_> = (0..8).map(|_| remembering(&kms, &root, &kept)).collect();
    let keys = futures_util::future::join_all(rings.iter().map(|ring| ring.data_key(&acme))).await;
    let mut value = Vec::new();
    seal_bytes(keys[0].as_ref().unwrap(), &[b"test"], b"secret", &mut value);
    for key in keys {
        let key = key.unwrap();
        assert_eq!(key.epoch(), KeyEpoch(1));
        assert_eq!(open_bytes(&key, &[b"test"], &value).unwrap(), b"secret");
    }
    assert_eq!(kept.list(&acme).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_value_moved_to_another_tenant_does_not_open_nor_does_its_wrapped_key() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme, demo) = (root_key(&kms).await, tenant("acme"), tenant("demo"));
    let ring = remembering(&kms, &root, &kept);
    let value = sealed(&ring, &acme).await;
    let other = ring.data_key(&demo).await.unwrap();
    assert!(matches!(open_bytes(&other, &[b"test"], &value), Err(StorageError::Damaged(_))));
    // The wrapped key itself is moved: the encryption context does not fit.
    let stolen = kept.list(&acme).await.unwrap().remove(0).wrapped;
    kept.keys.lock().unwrap().insert((demo.clone(), KeyEpoch(1)), stolen.clone());
    assert!(matches!(remembering(&kms, &root, &kept).data_key(&demo).await, Err(StorageError::Damaged(_))));
    // And to another epoch of the same tenant.
    kept.keys.lock().unwrap().insert((acme.clone(), KeyEpoch(2)), stolen);
    assert!(matches!(remembering(&kms, &root, &kept).unwrap(&acme, KeyEpoch(2)).await, Err(StorageError::Damaged(_))));
}

#[tokio::test]
async fn rotation_seals_anew_and_keeps_the_old_readable() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme) = (root_key(&kms).await, tenant("acme"));
    let (ring, other) = (remembering(&kms, &root, &kept), forgetful(&kms, &root, &kept));
    let old = sealed(&ring, &acme).await;
    assert_eq!(ring.rotate(&acme).await.unwrap(), KeyEpoch(2));
    assert_eq!(other.rotate(&acme).await.unwrap(), KeyEpoch(3));
    assert_eq!(ring.data_key(&acme).await.unwrap().epoch(), KeyEpoch(2), "a node may seal with the former for a while");
    assert_eq!(other.data_key(&acme).await.unwrap().epoch(), KeyEpoch(3));
    let newest = ring.unwrap(&acme, KeyEpoch(3)).await.unwrap();
    assert_eq!(newest.epoch(), KeyEpoch(3), "an epoch that a stored value names is looked for");
    assert_eq!(open_bytes(&other.unwrap(&acme, KeyEpoch(1)).await.unwrap(), &[b"test"], &old).unwrap(), b"secret");
    assert_eq!(ring.unwrap(&acme, KeyEpoch(9)).await.err(), Some(StorageError::UnknownTenant));
}

#[tokio::test]
async fn destroyed_keys_are_gone_and_no_new_one_is_made() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme) = (root_key(&kms).await, tenant("acme"));
    let (ring, other) = (remembering(&kms, &root, &kept), forgetful(&kms, &root, &kept));
    sealed(&ring, &acme).await;
    sealed(&other, &acme).await;
    kept.destroy(&acme).await.unwrap();
    assert_eq!(other.data_key(&acme).await.err(), Some(StorageError::UnknownTenant));
    assert_eq!(other.unwrap(&acme, KeyEpoch(1)).await.err(), Some(StorageError::UnknownTenant));
    assert_eq!(other.rotate(&acme).await.err(), Some(StorageError::UnknownTenant));
    ring.data_key(&acme).await.unwrap();
    ring.forget(&acme);
    assert_eq!(ring.data_key(&acme).await.err(), Some(StorageError::UnknownTenant));
    assert_eq!(ring.data_key(&tenant("demo")).await.unwrap().epoch(), KeyEpoch(1), "others' are as they were");
}

#[tokio::test]
async fn a_disabled_key_of_kms_stops_all_tenants_until_it_is_enabled() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme) = (root_key(&kms).await, tenant("acme"));
    let ring = forgetful(&kms, &root, &kept);
    let value = sealed(&ring, &acme).await;
    kms.disable_key().key_id(&root).send().await.unwrap();
    assert!(matches!(ring.data_key(&acme).await, Err(StorageError::Unavailable(_))));
    assert!(matches!(ring.unwrap(&acme, KeyEpoch(1)).await, Err(StorageError::Unavailable(_))));
    assert!(matches!(ring.data_key(&tenant("new")).await, Err(StorageError::Unavailable(_))));
    kms.enable_key().key_id(&root).send().await.unwrap();
    assert_eq!(open_bytes(&ring.unwrap(&acme, KeyEpoch(1)).await.unwrap(), &[b"test"], &value).unwrap(), b"secret");
}

#[tokio::test]
async fn while_nobody_can_be_reached_keys_in_memory_go_on() {
    let (kms, kept) = (kms().await, Arc::new(Kept::default()));
    let (root, acme) = (root_key(&kms).await, tenant("acme"));
    let ring = forgetful(&kms, &root, &kept);
    let value = sealed(&ring, &acme).await;
    kept.is_down.store(true, Ordering::SeqCst);
    assert_eq!(open_bytes(&ring.data_key(&acme).await.unwrap(), &[b"test"], &value).unwrap(), b"secret");
    assert!(matches!(ring.data_key(&tenant("new")).await, Err(StorageError::Unavailable(_))));
    // The same with KMS itself out of reach.
    let nowhere = client(&Settings { endpoint: Some("http://127.0.0.1:1".into()), region: Some("us-east-1".into()) }).await;
    kept.is_down.store(false, Ordering::SeqCst);
    let cut_off = forgetful(&nowhere, &root, &kept);
    assert!(matches!(cut_off.data_key(&acme).await, Err(StorageError::Unavailable(_))));
    assert!(matches!(cut_off.data_key(&tenant("new")).await, Err(StorageError::Unavailable(_))));
    assert_eq!(kept.list(&tenant("new")).await.unwrap(), []);
}
