//! Write marks of clients.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_storage::{KeyRing, Result, StorageError, WriteMarks};

use super::key;
use crate::client::{Client, Consistency, Table, unexpected};
use crate::cost::{Operation, item_bytes};
use crate::digest::{Digester, hexadecimal};
use crate::item::{EXPIRY, Item, integer, number};
use crate::tenants::Tenants;

const UNTIL: &str = "u";

const MARK: Operation = Operation("mark");

/// A mark is of no use long before this, and may then be forgotten.
const KEPT_S: i64 = 24 * 60 * 60;
const MICROS_PER_S: i64 = 1_000_000;

/// Which clients have written of late. A client is a subject and an application of a tenant, and a digest here.
#[derive(Clone)]
pub struct ClientMarks {
    client: Client,
    keys: Arc<dyn KeyRing>,
    tenants: Arc<dyn Tenants>,
}

impl ClientMarks {
    /// On the control table; the keys make the digests, for tenants that are there.
    pub fn new(client: Client, keys: Arc<dyn KeyRing>, tenants: Arc<dyn Tenants>) -> Self {
        Self { client, keys, tenants }
    }

    async fn key(&self, access: &ReadAccess) -> Result<Item> {
        let tenant = access.tenant();
        // Marks come ahead of the store: a tenant that is none must not get a key here.
        if !self.tenants.is_known(tenant).await? {
            return Err(StorageError::UnknownTenant);
        }
        let digester = Digester::new(self.keys.as_ref(), tenant, b"client").await?;
        // A client without an application is none with an empty one.
        let application = access.client().map(str::as_bytes);
        let digest = digester.digest(&[access.subject().as_bytes(), &[u8::from(application.is_some())], application.unwrap_or_default()]);
        Ok(key(&format!("T#{tenant}#M"), &hexadecimal(digest)))
    }
}

#[async_trait]
impl WriteMarks for ClientMarks {
    /// Never takes back what another node noted.
    async fn mark(&self, access: &WriteAccess, until: i64) -> Result<()> {
        let mut item = self.key(access.as_read()).await?;
        let send = || {
            let request = self.client.sdk().update_item().table_name(self.client.table(Table::Control)).set_key(Some(item.clone()));
            let request = request.update_expression(format!("SET {UNTIL} = :until, #expiry = :expiry"));
            let request = request.expression_attribute_names("#expiry", EXPIRY);
            let request = request.condition_expression(format!("attribute_not_exists({UNTIL}) OR {UNTIL} < :until"));
            let request = request.expression_attribute_values(":until", number(until));
            request.expression_attribute_values(":expiry", number(until / MICROS_PER_S + KEPT_S)).send()
        };
        let answer = self.client.retry().send("UpdateItem", send).await?;
        item.extend([(UNTIL.to_owned(), number(until)), (EXPIRY.to_owned(), number(until))]);
        self.client.count_write(MARK, item_bytes(&item));
        match answer {
            Ok(_) | Err(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            Err(error) => Err(unexpected("UpdateItem", &error)),
        }
    }

    async fn marked_until(&self, access: &ReadAccess) -> Result<Option<i64>> {
        let key = self.key(access).await?;
        let item = self.client.get(MARK, Table::Control, key, Consistency::Strong).await?;
        item.map(|item| integer(&item, UNTIL)).transpose()
    }
}
