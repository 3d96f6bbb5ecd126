//! Sealed values: made, put where they fit, fetched and opened.

use std::sync::Arc;

use bytes::Bytes;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_storage::value::{self, Codec, Compressed, ItemName, Seal};
use fhirpool_storage::{Content, ContentName, ContentStore, KeyRing, Method, Result, StorageError, StoredVersion, TenantKey};

use crate::digest::Digester;
use crate::item::{OBJECT_CONTENT_TYPE, SealedValue, TransactionId, VersionItem};

/// Seals and opens.
pub(crate) struct Bodies {
    keys: Arc<dyn KeyRing>,
    content: Arc<dyn ContentStore>,
    codec: Codec,
    /// Sealed values that are longer go to the content store.
    inline_bytes_max: usize,
}

impl Bodies {
    pub(crate) fn new(keys: Arc<dyn KeyRing>, content: Arc<dyn ContentStore>, inline_bytes_max: usize) -> Self {
        Self { keys, content, codec: Codec::default(), inline_bytes_max }
    }

    /// The keys that values are sealed with.
    pub(crate) fn keys(&self) -> &dyn KeyRing {
        &*self.keys
    }

    pub(crate) fn compress(&self, method: Method, content: &Content) -> Compressed {
        self.codec.compress(method, content)
    }

    /// Whether a value will stand in its item.
    pub(crate) fn fits(&self, compressed: &Compressed) -> bool {
        compressed.length() <= self.inline_bytes_max
    }

    /// The key that new values are sealed with.
    pub(crate) async fn sealing_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.keys.data_key(tenant).await
    }

    /// Makes the digests that stand for identifiers in keys.
    pub(crate) async fn digester(&self, tenant: &TenantId) -> Result<Digester> {
        Digester::new(&*self.keys, tenant, b"identifiers").await
    }

    /// Seals a version of a resource for its item.
    pub(crate) fn seal(
        &self,
        tenant_key: &TenantKey,
        access: &WriteAccess,
        name: &VersionName<'_>,
        compressed: &Compressed,
        last_updated: Timestamp,
    ) -> Vec<u8> {
        let mut sealed = Vec::new();
        compressed.seal(tenant_key, &name.item(access.tenant()), last_updated, &mut sealed);
        sealed
    }

    /// Puts a sealed value of a transaction where it belongs: into the item, or ahead of it into the content store.
    pub(crate) async fn place(
        &self,
        access: &WriteAccess,
        transaction: TransactionId,
        index: usize,
        sealed: Vec<u8>,
    ) -> Result<SealedValue> {
        if sealed.len() <= self.inline_bytes_max {
            return Ok(SealedValue::Inline(sealed));
        }
        let name = object_name(transaction, index);
        let info = self.content.put(access, &ContentName::Body(name.clone()), OBJECT_CONTENT_TYPE, Bytes::from(sealed)).await?;
        Ok(SealedValue::Object { name, info })
    }

    /// Removes what [`Bodies::place`] put into the content store, if it came to that.
    pub(crate) async fn remove(&self, access: &WriteAccess, transaction: TransactionId, index: usize) -> Result<()> {
        self.content.delete(access, &ContentName::Body(object_name(transaction, index))).await
    }

    /// Opens a stored version.
    pub(crate) async fn open(&self, access: &ReadAccess, key: &ResourceKey, item: &VersionItem) -> Result<StoredVersion> {
        let fetched;
        let sealed = match &item.value {
            SealedValue::Inline(bytes) => bytes.as_slice(),
            SealedValue::Object { name, info } => {
                let bytes = self.content.get(access, &ContentName::Body(name.clone()), info, info.length).await?;
                fetched = bytes.ok_or_else(|| StorageError::Damaged("a body is missing from the content store".into()))?;
                &fetched
            }
        };
        let Seal::Key(epoch) = value::seal_of(sealed)? else {
            return Err(StorageError::Damaged("a stored version is not sealed".into()));
        };
        let tenant_key = self.keys.unwrap(access.tenant(), epoch).await?;
        let name = VersionName { key, version: item.version, transaction: item.transaction() };
        value::open(&tenant_key, &name.item(access.tenant()), sealed)
    }
}

/// Of the entry at this place of a transaction's manifest.
fn object_name(transaction: TransactionId, index: usize) -> String {
    format!("{transaction}/{index}")
}

/// What a version is sealed as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionName<'a> {
    pub key: &'a ResourceKey,
    pub version: VersionId,
    pub transaction: Option<TransactionId>,
}

impl VersionName<'_> {
    fn item<'b>(&'b self, tenant: &'b TenantId) -> ItemName<'b> {
        ItemName {
            tenant,
            resource_type: self.key.resource_type,
            id: &self.key.id,
            version: self.version,
            transaction: self.transaction.as_ref().map_or(&[], TransactionId::bytes),
        }
    }
}
