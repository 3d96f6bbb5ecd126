//! The record of migrations.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_storage::{Migration, MigrationRecord, Result};

use super::{Control, key, now};
use crate::client::{Condition, Table, unexpected};
use crate::cost::Operation;
use crate::item::{damaged, number, text};
use crate::keys::SORT;

const MIGRATIONS: &str = "M";
const NAME: &str = "n";
const APPLIED_AT: &str = "a";

const MIGRATION: Operation = Operation("migration");

#[async_trait]
impl MigrationRecord for Control {
    async fn applied(&self) -> Result<Vec<u32>> {
        if !self.is_there().await? {
            return Ok(Vec::new());
        }
        let items = super::all(&self.client, MIGRATION, MIGRATIONS).await?;
        items.iter().map(|item| text(item, SORT)?.parse().map_err(|_| damaged(SORT))).collect()
    }

    async fn record(&self, migration: &Migration) -> Result<()> {
        let mut item = key(MIGRATIONS, &format!("{:04}", migration.number));
        item.insert(NAME.into(), AttributeValue::S(migration.name.into()));
        item.insert(APPLIED_AT.into(), number(now()));
        self.client.put(MIGRATION, Table::Control, &item, &Condition::Absent).await.map(|_| ())
    }
}

impl Control {
    /// Whether there is a control table to ask: before the first migration there is none.
    async fn is_there(&self) -> Result<bool> {
        let send = || self.client.sdk().describe_table().table_name(self.client.table(Table::Control)).send();
        match self.client.retry().send("DescribeTable", send).await? {
            Ok(_) => Ok(true),
            Err(error) if error.is_resource_not_found_exception() => Ok(false),
            Err(error) => Err(unexpected("DescribeTable", &error)),
        }
    }
}
