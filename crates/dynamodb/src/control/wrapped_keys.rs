//! Tenants' wrapped keys.

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::TenantId;
use fhirpool_storage::{KeyEpoch, Result, WrappedKey, WrappedKeys};

use super::{Control, all, key};
use crate::client::{Condition, Table, Written};
use crate::cost::Operation;
use crate::item::{Item, damaged, text};
use crate::keys::SORT;

const WRAPPED: &str = "k";

const KEY: Operation = Operation("wrapped key");

fn partition(tenant: &TenantId) -> String {
    format!("T#{tenant}#K")
}

fn write(tenant: &TenantId, epoch: KeyEpoch, wrapped: &[u8]) -> Item {
    let mut item = key(&partition(tenant), &format!("{:010}", epoch.0));
    item.insert(WRAPPED.into(), AttributeValue::B(Blob::new(wrapped)));
    item
}

#[async_trait]
impl WrappedKeys for Control {
    async fn list(&self, tenant: &TenantId) -> Result<Vec<WrappedKey>> {
        all(&self.client, KEY, &partition(tenant)).await?.iter().map(read).collect()
    }

    async fn add(&self, tenant: &TenantId, key: &WrappedKey) -> Result<bool> {
        let item = write(tenant, key.epoch, &key.wrapped);
        Ok(match self.client.put(KEY, Table::Control, &item, &Condition::Absent).await? {
            Written::Done(_) => true,
            // An answer was lost, and the key there is this one.
            Written::Refused(there) => there.is_some_and(|there| there == item),
        })
    }

    /// Also of those that someone adds meanwhile: the list is read again until nothing of it can be unwrapped.
    async fn destroy(&self, tenant: &TenantId) -> Result<()> {
        loop {
            let mut keys = WrappedKeys::list(self, tenant).await?;
            keys.retain(|key| !key.wrapped.is_empty());
            if keys.is_empty() {
                return Ok(());
            }
            for key in keys {
                self.client.put(KEY, Table::Control, &write(tenant, key.epoch, &[]), &Condition::None).await?;
            }
        }
    }
}

fn read(item: &Item) -> Result<WrappedKey> {
    let epoch = text(item, SORT)?.parse().map_err(|_| damaged(SORT))?;
    let wrapped = item.get(WRAPPED).and_then(|wrapped| wrapped.as_b().ok()).ok_or_else(|| damaged(WRAPPED))?;
    Ok(WrappedKey { epoch: KeyEpoch(epoch), wrapped: wrapped.as_ref().to_vec() })
}
