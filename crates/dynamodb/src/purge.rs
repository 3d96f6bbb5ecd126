//! Forgetting a tenant: whatever stands under its part of the keys, in both tables.
//!
//! The tables are read through: keys hold digests that nobody can make any more once the tenant's keys are gone, and what the
//! change log lacks must go too. It costs a strong read of all that is in them, twice.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_storage::tenants::PurgeTenant;
use fhirpool_storage::{Result, StorageError};
use futures_util::future::try_join_all;

use crate::client::{Client, Consistency, Table, unexpected};
use crate::cost::Operation;
use crate::item::{Item, text};
use crate::keys::{PARTITION, SORT};

const PURGE: Operation = Operation("purge");

/// Parts of the table that are read beside each other.
const SEGMENTS: i32 = 4;
/// A page is no longer, in bytes: DynamoDB's own limit.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// DynamoDB takes no more at once.
const REMOVALS_AT_ONCE: usize = 25;
/// Rounds for what it did not get to, with growing pauses between.
const ROUNDS_MAX: u32 = 12;

/// The items of tenants in both tables.
#[derive(Debug, Clone)]
pub struct TenantItems {
    client: Client,
}

impl TenantItems {
    /// Over a connection.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn purge_table(&self, table: Table, tenant: &TenantId) -> Result<u64> {
        Ok(try_join_all((0..SEGMENTS).map(|segment| self.purge_segment(table, tenant, segment))).await?.into_iter().sum())
    }

    async fn purge_segment(&self, table: Table, tenant: &TenantId, segment: i32) -> Result<u64> {
        let (mut after, mut removed) = (None, 0);
        loop {
            let send = || {
                let request = self.client.sdk().scan().table_name(self.client.table(table)).consistent_read(true);
                let request = request.segment(segment).total_segments(SEGMENTS).set_exclusive_start_key(after.clone());
                let request = request.filter_expression(format!("begins_with({PARTITION}, :tenant)"));
                let request = request.projection_expression(format!("{PARTITION}, {SORT}"));
                request.expression_attribute_values(":tenant", AttributeValue::S(format!("T#{tenant}#"))).send()
            };
            let page = self.client.retry().send("Scan", send).await?.map_err(|error| unexpected("Scan", &error))?;
            self.client.count_read(PURGE, Consistency::Strong, PAGE_BYTES_MAX);
            let mut keys = page.items.unwrap_or_default();
            if table == Table::Control {
                // What is left of wrapped keys opens nothing, and says that none may be made.
                let wrapped_keys = format!("T#{tenant}#K");
                keys.retain(|key| text(key, PARTITION).is_ok_and(|partition| partition != wrapped_keys));
            }
            removed += keys.len() as u64;
            for chunk in keys.chunks(REMOVALS_AT_ONCE) {
                self.remove(table, chunk).await?;
            }
            match page.last_evaluated_key.filter(|key| !key.is_empty()) {
                Some(last) => after = Some(last),
                None => return Ok(removed),
            }
        }
    }

    async fn remove(&self, table: Table, keys: &[Item]) -> Result<()> {
        let removal = |key: &Item| {
            let request = DeleteRequest::builder().set_key(Some(key.clone())).build().expect("the key is given");
            WriteRequest::builder().delete_request(request).build()
        };
        let mut left = HashMap::from([(self.client.table(table).to_owned(), keys.iter().map(removal).collect::<Vec<_>>())]);
        for round in 0..ROUNDS_MAX {
            let send = || self.client.sdk().batch_write_item().set_request_items(Some(left.clone())).send();
            let answer = self.client.retry().send("BatchWriteItem", send).await?;
            let answer = answer.map_err(|error| unexpected("BatchWriteItem", &error))?;
            keys.iter().for_each(|_| self.client.count_write(PURGE, 0));
            left = answer.unprocessed_items.unwrap_or_default();
            if left.values().all(Vec::is_empty) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20 << round.min(8))).await;
        }
        Err(StorageError::Overloaded)
    }
}

#[async_trait]
impl PurgeTenant for TenantItems {
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        let tenant = access.tenant();
        let (data, control) = (self.purge_table(Table::Data, tenant).await?, self.purge_table(Table::Control, tenant).await?);
        Ok(vec![("items", data), ("marks", control)])
    }
}
