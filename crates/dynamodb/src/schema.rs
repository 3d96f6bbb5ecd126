//! Tables as the migrations describe them.
//!
//! Names are `<prefix>-data` and `<prefix>-control`. Every table has the keys `pk` and `sk` and is billed on demand; what differs
//! stands in the description. The index of a table is deliberately absent: there is none.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ContinuousBackupsStatus, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use fhirpool_storage::{Migrate, Migration, MigrationPart, Result, StorageError};
use serde::Deserialize;

use crate::client::{Client, Table};
use crate::keys::{PARTITION, SORT};

/// What a description says of a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(rename = "why")]
    _why: serde::de::IgnoredAny,
    /// Behind the prefix.
    table: String,
    /// Which images the stream holds; `None`: there is no stream.
    stream: Option<String>,
    /// The attribute after whose time (seconds since 1970) an item may go.
    time_to_live: String,
    /// Asked for where the service has it.
    point_in_time_recovery: bool,
}

/// Makes and checks tables.
#[derive(Debug, Clone)]
pub struct Schema {
    client: Client,
}

/// How long a table may take to come to be, and how often it is looked at meanwhile.
const READY_WAIT: Duration = Duration::from_secs(180);
const READY_LOOK: Duration = Duration::from_millis(250);

impl Schema {
    /// Of the connection's tables.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Removes both tables with all that is in them: for tests and trials.
    pub async fn remove(&self) -> Result<()> {
        for table in [Table::Data, Table::Control] {
            let send = || self.client.sdk().delete_table().table_name(self.client.table(table)).send();
            match self.client.retry().send("DeleteTable", send).await? {
                Err(error) if !error.is_resource_not_found_exception() => return Err(refused("remove a table", &error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn name(&self, description: &Description) -> Result<String> {
        let table = match description.table.as_str() {
            "data" => Table::Data,
            "control" => Table::Control,
            other => return Err(StorageError::Damaged(format!("a migration describes a table {other} that nobody uses"))),
        };
        Ok(self.client.table(table).to_owned())
    }

    async fn describe(&self, name: &str) -> Result<Option<TableDescription>> {
        let send = || self.client.sdk().describe_table().table_name(name).send();
        match self.client.retry().send("DescribeTable", send).await? {
            Ok(output) => Ok(output.table),
            Err(error) if error.is_resource_not_found_exception() => Ok(None),
            Err(error) => Err(refused("describe a table", &error)),
        }
    }

    async fn create(&self, name: &str, description: &Description) -> Result<()> {
        let attribute = |name: &str| {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            attribute.build().expect("both members are given")
        };
        let key =
            |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("both members are given");
        let request = self.client.sdk().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        let request = request.attribute_definitions(attribute(PARTITION)).attribute_definitions(attribute(SORT));
        let request = request.key_schema(key(PARTITION, KeyType::Hash)).key_schema(key(SORT, KeyType::Range));
        let request = request.set_stream_specification(description.stream.as_deref().map(stream));
        match self.client.retry().send("CreateTable", || request.clone().send()).await? {
            // Another node makes it at the same time.
            Err(error) if error.is_resource_in_use_exception() => Ok(()),
            Err(error) => Err(refused("create a table", &error)),
            Ok(_) => Ok(()),
        }
    }

    async fn wait_until_active(&self, name: &str) -> Result<TableDescription> {
        wait(name, || async {
            let table = self.describe(name).await?;
            Ok(table.filter(|table| table.table_status == Some(TableStatus::Active)))
        })
        .await
    }

    async fn expiry_attribute(&self, name: &str) -> Result<Option<String>> {
        let send = || self.client.sdk().describe_time_to_live().table_name(name).send();
        let output = self.client.retry().send("DescribeTimeToLive", send).await?;
        let description = output.map_err(|error| refused("describe the time to live", &error))?.time_to_live_description;
        let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
        Ok(description
            .filter(|description| description.time_to_live_status.as_ref().is_some_and(|status| on.contains(status)))
            .and_then(|description| description.attribute_name))
    }

    async fn set_expiry(&self, name: &str, attribute: &str) -> Result<()> {
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
        let specification = specification.expect("both members are given");
        let request = self.client.sdk().update_time_to_live().table_name(name).time_to_live_specification(specification);
        let sent = self.client.retry().send("UpdateTimeToLive", || request.clone().send()).await?;
        sent.map(|_| ()).map_err(|error| refused("set the time to live", &error))
    }

    /// `None`: the service does not know of such a thing.
    async fn is_recoverable(&self, name: &str) -> Result<Option<bool>> {
        let send = || self.client.sdk().describe_continuous_backups().table_name(name).send();
        match self.client.retry().send("DescribeContinuousBackups", send).await? {
            Ok(output) => Ok(Some(output.continuous_backups_description.is_some_and(|backups| {
                backups.continuous_backups_status == ContinuousBackupsStatus::Enabled
                    && backups
                        .point_in_time_recovery_description
                        .is_some_and(|recovery| recovery.point_in_time_recovery_status == Some(PointInTimeRecoveryStatus::Enabled))
            }))),
            // The local engine has no backups.
            Err(error) if error.code() == Some("UnknownOperationException") => Ok(None),
            Err(error) => Err(refused("describe backups", &error)),
        }
    }

    async fn set_recoverable(&self, name: &str) -> Result<()> {
        let specification = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let specification = specification.expect("its one member is given");
        let request = self.client.sdk().update_continuous_backups().table_name(name);
        let request = request.point_in_time_recovery_specification(specification);
        let sent = self.client.retry().send("UpdateContinuousBackups", || request.clone().send()).await?;
        sent.map(|_| ()).map_err(|error| refused("set point-in-time recovery", &error))
    }

    async fn differences(&self, name: &str, table: &TableDescription, description: &Description) -> Result<Vec<String>> {
        let mut clauses = Vec::new();
        if !has_keys(table) {
            clauses.push(format!("the table {name} does not have the keys {PARTITION} and {SORT}"));
        }
        if let Some(images) = &description.stream
            && stream_of(table) != Some(images.as_str())
        {
            clauses.push(format!("the table {name} has no stream of {images}"));
        }
        if self.expiry_attribute(name).await?.as_deref() != Some(description.time_to_live.as_str()) {
            clauses.push(format!("the table {name} does not forget items by their attribute {}", description.time_to_live));
        }
        if description.point_in_time_recovery && self.is_recoverable(name).await? == Some(false) {
            clauses.push(format!("the table {name} has no point-in-time recovery"));
        }
        Ok(clauses)
    }
}

#[async_trait]
impl Migrate for Schema {
    fn part(&self) -> MigrationPart {
        MigrationPart::DynamoDb
    }

    async fn check(&self, migration: &Migration) -> Result<Vec<String>> {
        let description = read(migration)?;
        let name = self.name(&description)?;
        match self.describe(&name).await? {
            Some(table) => self.differences(&name, &table, &description).await,
            None => Ok(vec![format!("the table {name} does not exist")]),
        }
    }

    async fn apply(&self, migration: &Migration) -> Result<()> {
        let description = read(migration)?;
        let name = self.name(&description)?;
        if self.describe(&name).await?.is_none() {
            self.create(&name, &description).await?;
        }
        let table = self.wait_until_active(&name).await?;
        if !has_keys(&table) {
            // Keys cannot be changed, and the table is not ours to remove.
            return Err(StorageError::Unavailable(format!("the table {name} exists and has other keys than {PARTITION} and {SORT}")));
        }
        if let Some(images) = description.stream.as_deref()
            && stream_of(&table) != Some(images)
        {
            if stream_of(&table).is_some() {
                return Err(StorageError::Unavailable(format!("the table {name} exists and its stream does not hold {images}")));
            }
            let request = self.client.sdk().update_table().table_name(&name).stream_specification(stream(images));
            let sent = self.client.retry().send("UpdateTable", || request.clone().send()).await?;
            sent.map_err(|error| refused("set the stream", &error))?;
            self.wait_until_active(&name).await?;
        }
        if self.expiry_attribute(&name).await?.is_none() {
            self.set_expiry(&name, &description.time_to_live).await?;
        }
        if description.point_in_time_recovery && self.is_recoverable(&name).await? == Some(false) {
            self.set_recoverable(&name).await?;
        }
        let remaining = self.differences(&name, &table_again(self.describe(&name).await?, &name)?, &description).await?;
        if remaining.is_empty() { Ok(()) } else { Err(StorageError::Unavailable(remaining.join("; "))) }
    }
}

fn table_again(table: Option<TableDescription>, name: &str) -> Result<TableDescription> {
    table.ok_or_else(|| StorageError::Unavailable(format!("the table {name} is gone again")))
}

fn read(migration: &Migration) -> Result<Description> {
    serde_json::from_str(migration.description)
        .map_err(|error| StorageError::Damaged(format!("the description of migration {}: {error}", migration.number)))
}

fn stream(images: &str) -> StreamSpecification {
    let specification = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::from(images));
    specification.build().expect("what must be given is given")
}

fn stream_of(table: &TableDescription) -> Option<&str> {
    let stream = table.stream_specification.as_ref().filter(|stream| stream.stream_enabled)?;
    stream.stream_view_type.as_ref().map(StreamViewType::as_str)
}

fn has_keys(table: &TableDescription) -> bool {
    let mut keys: Vec<_> = table.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
    keys.sort_by_key(|(name, _)| *name);
    keys == [(PARTITION, &KeyType::Hash), (SORT, &KeyType::Range)]
}

async fn wait<T, F: Future<Output = Result<Option<T>>>>(name: &str, look: impl Fn() -> F) -> Result<T> {
    let deadline = tokio::time::Instant::now() + READY_WAIT;
    loop {
        if let Some(ready) = look().await? {
            return Ok(ready);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(StorageError::Unavailable(format!("the table {name} does not become active")));
        }
        tokio::time::sleep(READY_LOOK).await;
    }
}

/// These requests name tables alone, so that the service's text holds nothing of a tenant.
fn refused(what: &str, error: &impl ProvideErrorMetadata) -> StorageError {
    StorageError::Unavailable(format!("could not {what}: {} {}", error.code().unwrap_or_default(), error.message().unwrap_or_default()))
}
