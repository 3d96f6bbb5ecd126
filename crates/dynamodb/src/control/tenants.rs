//! The registry of tenants.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use fhirpool_authz::TenantId;
use fhirpool_storage::Result;

use super::{all, key, now};
use crate::client::{Client, Consistency, Table, unexpected};
use crate::cost::Operation;
use crate::item::{damaged, integer, number, text};
use crate::keys::{PARTITION, SORT};
use crate::tenants::Tenants;

const REGISTRY: &str = "R";
const STATE: &str = "s";
const REGISTERED_AT: &str = "a";
const OPEN: &str = "open";

const EPOCH: &str = "E";
const EPOCH_NAME: &str = "tenants";
const EPOCH_NUMBER: &str = "n";

const TENANTS: Operation = Operation("tenants");

/// What is known is looked at again after so long.
const STALE_AFTER: Duration = Duration::from_secs(4);
/// Before a tenant is said to be unknown, what is known is looked at again, if it is older than this: a tenant that was just
/// registered through another node is met at once, and asking for tenants that are not there costs little.
const STALE_AFTER_UNKNOWN: Duration = Duration::from_millis(500);

/// The tenants of a deployment; clones share what they know.
///
/// A node looks at the epoch's item at most every few seconds, and reads the list only when that has changed.
#[derive(Debug, Clone)]
pub struct TenantRegistry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    known: RwLock<Option<Known>>,
    /// Held by who looks, so that one does it for all.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Known {
    open: Arc<BTreeSet<TenantId>>,
    epoch: u64,
    looked_at: Instant,
}

impl TenantRegistry {
    /// On the control table.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Shared { client, known: RwLock::new(None), looking: tokio::sync::Mutex::new(()) }))
    }

    /// Registers a tenant. `false`: it was already.
    pub async fn register(&self, tenant: &TenantId) -> Result<bool> {
        let client = &self.0.client;
        let mut item = key(REGISTRY, tenant.as_str());
        item.insert(STATE.into(), AttributeValue::S(OPEN.into()));
        item.insert(REGISTERED_AT.into(), number(now()));
        let put = Put::builder().table_name(client.table(Table::Control)).set_item(Some(item));
        let put = put.condition_expression(format!("attribute_not_exists({PARTITION})"));
        let update = Update::builder().table_name(client.table(Table::Control)).set_key(Some(key(EPOCH, EPOCH_NAME)));
        let update = update.update_expression(format!("ADD {EPOCH_NUMBER} :one")).expression_attribute_values(":one", number(1));
        let writes = vec![
            TransactWriteItem::builder().put(put.build().expect("table and item are given")).build(),
            TransactWriteItem::builder().update(update.build().expect("table, key and expression are given")).build(),
        ];
        let token = uuid::Uuid::new_v4().to_string();
        let send = || client.sdk().transact_write_items().set_transact_items(Some(writes.clone())).client_request_token(&token).send();
        let answer = client.retry().send("TransactWriteItems", send).await?;
        // Two items, each at the double price of a transaction.
        (0..4).for_each(|_| client.count_write(TENANTS, 0));
        let registered = match answer {
            Ok(_) => true,
            Err(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
            {
                false
            }
            Err(error) => return Err(unexpected("TransactWriteItems", &error)),
        };
        self.look(Instant::now()).await?;
        Ok(registered)
    }

    /// All that are open, by name, as of some seconds ago.
    pub async fn list(&self) -> Result<Vec<TenantId>> {
        Ok(self.known(STALE_AFTER).await?.open.iter().cloned().collect())
    }

    /// What was known at most so long ago.
    async fn known(&self, stale_after: Duration) -> Result<Known> {
        match self.kept(|known| known.looked_at.elapsed() < stale_after) {
            Some(known) => Ok(known),
            None => self.look(Instant::now()).await,
        }
    }

    fn kept(&self, wanted: impl FnOnce(&Known) -> bool) -> Option<Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone().filter(wanted)
    }

    /// Looks, unless someone else did since.
    async fn look(&self, since: Instant) -> Result<Known> {
        let _looking = self.0.looking.lock().await;
        if let Some(known) = self.kept(|known| known.looked_at > since) {
            return Ok(known);
        }
        let client = &self.0.client;
        let looked_at = Instant::now();
        let item = client.get(TENANTS, Table::Control, key(EPOCH, EPOCH_NAME), Consistency::Strong).await?;
        let epoch = item.map_or(Ok(0), |item| integer(&item, EPOCH_NUMBER))?;
        let known = match self.kept(|known| known.epoch == epoch) {
            Some(known) => Known { looked_at, ..known },
            None => Known { open: Arc::new(self.read_all().await?), epoch, looked_at },
        };
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    async fn read_all(&self) -> Result<BTreeSet<TenantId>> {
        let mut open = BTreeSet::new();
        for item in all(&self.0.client, TENANTS, REGISTRY).await? {
            let tenant = TenantId::parse(text(&item, SORT)?).ok_or_else(|| damaged(SORT))?;
            if text(&item, STATE)? == OPEN {
                open.insert(tenant);
            }
        }
        Ok(open)
    }
}

#[async_trait]
impl Tenants for TenantRegistry {
    async fn is_known(&self, tenant: &TenantId) -> Result<bool> {
        if self.known(STALE_AFTER).await?.open.contains(tenant) {
            return Ok(true);
        }
        Ok(self.known(STALE_AFTER_UNKNOWN).await?.open.contains(tenant))
    }
}
