//! The registry of tenants.
//!
//! A record is an item of its own, `R` and the tenant's id: its state, its revision, and the whole as JSON. Items that earlier
//! versions wrote have the state `open` and neither of the others. What writes one counts the epoch's item in the same
//! transaction.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::Result;
use fhirpool_storage::tenants::{TenantRecord, TenantRegistry, TenantState};

use super::{Control, all, key};
use crate::client::{Client, Consistency, Table, unexpected};
use crate::cost::Operation;
use crate::item::{Item, damaged, integer, number, text};
use crate::keys::{PARTITION, SORT};

const REGISTRY: &str = "R";
const STATE: &str = "s";
const REVISION: &str = "n";
const RECORD: &str = "d";
/// Microseconds since 1970: what earlier versions knew.
const REGISTERED_AT: &str = "a";
/// How earlier versions call the state of a tenant that is served; nodes of them may still run.
const OPEN: &str = "open";

const EPOCH: &str = "E";
const EPOCH_NAME: &str = "tenants";
const EPOCH_NUMBER: &str = "n";

const TENANTS: Operation = Operation("tenants");

#[async_trait]
impl TenantRegistry for Control {
    async fn epoch(&self) -> Result<u64> {
        let item = self.client.get(TENANTS, Table::Control, key(EPOCH, EPOCH_NAME), Consistency::Strong).await?;
        item.map_or(Ok(0), |item| integer(&item, EPOCH_NUMBER))
    }

    async fn list(&self) -> Result<Vec<TenantRecord>> {
        all(&self.client, TENANTS, REGISTRY).await?.iter().map(read).collect()
    }

    async fn read(&self, tenant: &TenantId) -> Result<Option<TenantRecord>> {
        let item = self.client.get(TENANTS, Table::Control, key(REGISTRY, tenant.as_str()), Consistency::Strong).await?;
        item.as_ref().map(read).transpose()
    }

    async fn create(&self, record: &TenantRecord) -> Result<bool> {
        let put = Put::builder().condition_expression(format!("attribute_not_exists({PARTITION})"));
        keep(&self.client, record, put).await
    }

    async fn replace(&self, record: &TenantRecord) -> Result<bool> {
        let put = match record.revision.checked_sub(1) {
            None => return Ok(false),
            Some(0) => {
                let unrecorded = format!("attribute_exists({PARTITION}) AND attribute_not_exists({REVISION})");
                Put::builder().condition_expression(unrecorded)
            }
            Some(before) => {
                Put::builder().condition_expression(format!("{REVISION} = :before")).expression_attribute_values(":before", number(before))
            }
        };
        keep(&self.client, record, put).await
    }
}

/// Writes a record on a condition, and counts the epoch; `false`: the condition does not hold.
async fn keep(client: &Client, record: &TenantRecord, put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<bool> {
    let put = put.table_name(client.table(Table::Control)).set_item(Some(write(record)));
    let update = Update::builder().table_name(client.table(Table::Control)).set_key(Some(key(EPOCH, EPOCH_NAME)));
    let update = update.update_expression(format!("ADD {EPOCH_NUMBER} :one")).expression_attribute_values(":one", number(1));
    let writes = vec![
        TransactWriteItem::builder().put(put.build().expect("table and item are given")).build(),
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are given")).build(),
    ];
    for _ in 0..CONFLICTS_MAX {
        // One token for all tries of one request: a lost answer is told again.
        let token = uuid::Uuid::new_v4().to_string();
        let send = || client.sdk().transact_write_items().set_transact_items(Some(writes.clone())).client_request_token(&token).send();
        let answer = client.retry().send("TransactWriteItems", send).await?;
        // Two items, each at the double price of a transaction.
        (0..4).for_each(|_| client.count_write(TENANTS, 0));
        let error = match answer {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        let TransactWriteItemsError::TransactionCanceledException(cancelled) = &error else {
            return Err(unexpected("TransactWriteItems", &error));
        };
        let is_for = |code: &str| cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some(code));
        if is_for("ConditionalCheckFailed") {
            return Ok(false);
        }
        // Another change of the registry was under way: the epoch's item is common to all.
        if !is_for("TransactionConflict") {
            return Err(unexpected("TransactWriteItems", &error));
        }
    }
    Err(fhirpool_storage::StorageError::Busy)
}

/// So many changes of the registry may come between.
const CONFLICTS_MAX: usize = 16;

fn write(record: &TenantRecord) -> Item {
    let mut item = key(REGISTRY, record.id.as_str());
    let state = if record.state == TenantState::Active { OPEN } else { record.state.name() };
    item.insert(STATE.into(), AttributeValue::S(state.into()));
    item.insert(REVISION.into(), number(record.revision));
    item.insert(RECORD.into(), AttributeValue::S(record.to_json()));
    if let Some(created_at) = record.created_at {
        item.insert(REGISTERED_AT.into(), number(created_at.0.saturating_mul(1_000)));
    }
    item
}

fn read(item: &Item) -> Result<TenantRecord> {
    let tenant = TenantId::parse(text(item, SORT)?).ok_or_else(|| damaged(SORT))?;
    if !item.contains_key(RECORD) {
        let registered_at: i64 = integer(item, REGISTERED_AT)?;
        return Ok(TenantRecord::unrecorded(tenant, Some(Timestamp(registered_at.div_euclid(1_000)))));
    }
    let record = TenantRecord::from_json(text(item, RECORD)?.as_bytes())?;
    if record.id == tenant { Ok(record) } else { Err(damaged(RECORD)) }
}
