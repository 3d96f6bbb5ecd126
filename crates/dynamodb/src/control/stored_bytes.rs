//! How many bytes tenants have stored.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;
use fhirpool_authz::WriteAccess;
use fhirpool_storage::{Result, StoredBytes};

use super::{Control, key};
use crate::client::{Table, unexpected};
use crate::cost::Operation;
use crate::item::{damaged, integer, number};

const USAGE: &str = "usage";
const BYTES: &str = "b";

const COUNT: Operation = Operation("stored_bytes");

/// A write. Sent again where an answer was lost, so that it may count twice.
#[async_trait]
impl StoredBytes for Control {
    async fn add_bytes(&self, access: &WriteAccess, bytes: u64) -> Result<u64> {
        let key = key(&format!("T#{}#U", access.tenant()), USAGE);
        let send = || {
            let request = self.client.sdk().update_item().table_name(self.client.table(Table::Control)).set_key(Some(key.clone()));
            let request = request.update_expression(format!("ADD {BYTES} :bytes")).expression_attribute_values(":bytes", number(bytes));
            request.return_values(ReturnValue::UpdatedNew).send()
        };
        let updated = self.client.retry().send("UpdateItem", send).await?.map_err(|error| unexpected("UpdateItem", &error))?;
        self.client.count_write(COUNT, 0);
        integer(&updated.attributes.ok_or_else(|| damaged(BYTES))?, BYTES)
    }
}
