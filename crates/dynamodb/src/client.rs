//! The connection to DynamoDB: requests with our own retries, conditions as outcomes, and the price of each.
//!
//! The SDK's retries are off. A write whose answer was lost may have happened; here it is sent again with the same item, and where
//! its condition then fails the caller is shown what is there and knows its own write by its writer or transaction. Past the
//! budget of retries: [`StorageError::Unavailable`], and it is not known whether the write happened.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Region, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_http_client::{Builder, tls};
use fhirpool_storage::Result;

use crate::cost::{Costs, Operation, UnitKind, item_bytes, read_units, write_units};
use crate::item::{Item, key};
use crate::keys::{PARTITION, PartitionKey, SORT};

mod retry;

pub use retry::RetrySettings;
pub(crate) use retry::{Retry, unexpected};

/// Where the tables are.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Instead of AWS's own.
    pub endpoint: Option<String>,
    /// Instead of the environment's.
    pub region: Option<String>,
    /// What the tables' names begin with: `<prefix>-data` and `<prefix>-control`.
    pub table_prefix: String,
    /// How long and how often a request is tried.
    pub retry: RetrySettings,
}

impl ConnectionSettings {
    /// With common retries.
    pub fn new(endpoint: Option<String>, region: Option<String>, table_prefix: impl Into<String>) -> Self {
        Self { endpoint, region, table_prefix: table_prefix.into(), retry: RetrySettings::default() }
    }
}

/// A connection that all stores on these tables share; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sdk: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
    data_table: String,
    control_table: String,
    retry: Retry,
    costs: Costs,
}

/// One of our tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What tenants store.
    Data,
    /// What nodes agree on.
    Control,
}

/// How a read may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// With everything acknowledged before; a unit.
    Strong,
    /// Perhaps without what is newest; half a unit.
    Eventual,
}

/// On what a write depends, besides nothing.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Nothing.
    None,
    /// The item is not there.
    Absent,
    /// It is not there, or its attribute is this.
    AbsentOr(&'static str, AttributeValue),
    /// It is not there, or its attribute is less than this.
    AbsentOrLess(&'static str, AttributeValue),
    /// It is there and its attribute is this.
    Equals(&'static str, AttributeValue),
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    /// It happened. For a delete: what was there.
    Done(Option<Item>),
    /// The condition failed; what is there.
    Refused(Option<Item>),
}

/// Which sort keys of a partition.
#[derive(Debug, Clone)]
pub(crate) enum SortRange {
    /// All.
    All,
    /// Those that begin so.
    Prefix(String),
    /// From one to another, both included.
    Between(String, String),
}

/// A query of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub table: Table,
    /// The partition key's value.
    pub partition: AttributeValue,
    pub range: SortRange,
    pub descending: bool,
    /// At most so many items a page.
    pub limit: Option<i32>,
    pub consistency: Consistency,
    /// [`Page::next`] of the page before.
    pub after: Option<Item>,
}

/// A page of a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    /// Where the next page continues; `None` at the end.
    pub next: Option<Item>,
}

impl Client {
    /// Connects; nothing is sent yet.
    pub async fn connect(settings: ConnectionSettings) -> Self {
        let http = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(settings.retry.connect_timeout_ms))
            .operation_attempt_timeout(Duration::from_millis(settings.retry.attempt_timeout_ms))
            .build();
        let mut config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = settings.region {
            config = config.region(Region::new(region));
        }
        if let Some(endpoint) = settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let config = config.load().await;
        Self(Arc::new(Shared {
            sdk: aws_sdk_dynamodb::Client::new(&config),
            streams: aws_sdk_dynamodbstreams::Client::new(&config),
            data_table: format!("{}-data", settings.table_prefix),
            control_table: format!("{}-control", settings.table_prefix),
            retry: Retry::new(settings.retry),
            costs: Costs::default(),
        }))
    }

    /// What was sent so far.
    pub fn costs(&self) -> &Costs {
        &self.0.costs
    }

    /// The SDK's client, for requests about tables; to be sent through [`Client::retry`].
    pub(crate) fn sdk(&self) -> &aws_sdk_dynamodb::Client {
        &self.0.sdk
    }

    /// The SDK's client of streams; to be sent through [`Client::retry`].
    pub(crate) fn streams(&self) -> &aws_sdk_dynamodbstreams::Client {
        &self.0.streams
    }

    /// Sends with retries; see [`Retry::send`].
    pub(crate) fn retry(&self) -> &Retry {
        &self.0.retry
    }

    /// A table's name.
    pub(crate) fn table(&self, table: Table) -> &str {
        match table {
            Table::Data => &self.0.data_table,
            Table::Control => &self.0.control_table,
        }
    }

    /// The item of a key.
    pub(crate) async fn get(&self, operation: Operation, table: Table, key: Item, consistency: Consistency) -> Result<Option<Item>> {
        let send = || {
            let request = self.0.sdk.get_item().table_name(self.table(table)).set_key(Some(key.clone()));
            request.consistent_read(consistency == Consistency::Strong).send()
        };
        let item = self.0.retry.send("GetItem", send).await?.map_err(|error| unexpected("GetItem", &error))?.item;
        self.count_read(operation, consistency, item.as_ref().map_or(0, item_bytes));
        Ok(item)
    }

    /// The item of a key of the data table.
    pub(crate) async fn get_data(
        &self,
        operation: Operation,
        partition: &PartitionKey,
        sort: impl Into<String>,
        consistency: Consistency,
    ) -> Result<Option<Item>> {
        self.get(operation, Table::Data, key(partition, sort.into()), consistency).await
    }

    /// Writes an item under a condition. Sent again where an answer was lost, so a condition may fail through the write itself.
    pub(crate) async fn put(&self, operation: Operation, table: Table, item: &Item, condition: &Condition) -> Result<Written> {
        let (expression, value) = condition.expression();
        let send = || {
            let request = self.0.sdk.put_item().table_name(self.table(table)).set_item(Some(item.clone()));
            let request = request.set_condition_expression(expression.clone()).set_expression_attribute_values(value.clone());
            request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send()
        };
        match self.0.retry.send("PutItem", send).await? {
            Ok(_) => {
                self.count_write(operation, item_bytes(item));
                Ok(Written::Done(None))
            }
            Err(PutItemError::ConditionalCheckFailedException(failed)) => {
                self.count_write(operation, failed.item.as_ref().map_or(0, item_bytes));
                Ok(Written::Refused(failed.item))
            }
            Err(error) => Err(unexpected("PutItem", &error)),
        }
    }

    /// Deletes an item under a condition; gives what was there.
    pub(crate) async fn delete(&self, operation: Operation, table: Table, key: Item, condition: &Condition) -> Result<Written> {
        let (expression, value) = condition.expression();
        let send = || {
            let request = self.0.sdk.delete_item().table_name(self.table(table)).set_key(Some(key.clone()));
            let request = request.set_condition_expression(expression.clone()).set_expression_attribute_values(value.clone());
            let request = request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            request.return_values(ReturnValue::AllOld).send()
        };
        match self.0.retry.send("DeleteItem", send).await? {
            Ok(deleted) => {
                self.count_write(operation, deleted.attributes.as_ref().map_or(0, item_bytes));
                Ok(Written::Done(deleted.attributes))
            }
            Err(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                self.count_write(operation, failed.item.as_ref().map_or(0, item_bytes));
                Ok(Written::Refused(failed.item))
            }
            Err(error) => Err(unexpected("DeleteItem", &error)),
        }
    }

    /// A page of a partition.
    pub(crate) async fn query(&self, operation: Operation, query: Query) -> Result<Page> {
        let (expression, values) = query.expression();
        let send = || {
            let request = self.0.sdk.query().table_name(self.table(query.table)).key_condition_expression(&expression);
            let request = request.set_expression_attribute_values(Some(values.clone())).scan_index_forward(!query.descending);
            let request = request.set_limit(query.limit).set_exclusive_start_key(query.after.clone());
            request.consistent_read(query.consistency == Consistency::Strong).send()
        };
        let page = self.0.retry.send("Query", send).await?.map_err(|error| unexpected("Query", &error))?;
        let items = page.items.unwrap_or_default();
        self.count_read(operation, query.consistency, items.iter().map(item_bytes).sum());
        Ok(Page { items, next: page.last_evaluated_key.filter(|key| !key.is_empty()) })
    }

    /// All pages of a query, if there are not more items than this in all; `None`: there are.
    pub(crate) async fn query_all(&self, operation: Operation, mut query: Query, items_max: usize) -> Result<Option<Vec<Item>>> {
        let mut items = Vec::new();
        loop {
            let page = self.query(operation, query.clone()).await?;
            items.extend(page.items);
            if items.len() > items_max {
                return Ok(None);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(Some(items)),
            }
        }
    }

    pub(crate) fn count_read(&self, operation: Operation, consistency: Consistency, bytes: usize) {
        let kind = if consistency == Consistency::Strong { UnitKind::StrongRead } else { UnitKind::EventualRead };
        self.0.costs.add(operation, kind, read_units(bytes));
    }

    pub(crate) fn count_write(&self, operation: Operation, bytes: usize) {
        self.0.costs.add(operation, UnitKind::Write, write_units(bytes));
    }
}

impl Condition {
    fn expression(&self) -> (Option<String>, Option<Item>) {
        let value = |value: &AttributeValue| Some(Item::from([(":value".to_owned(), value.clone())]));
        match self {
            Self::None => (None, None),
            Self::Absent => (Some(format!("attribute_not_exists({PARTITION})")), None),
            Self::AbsentOr(name, is) => (Some(format!("attribute_not_exists({PARTITION}) OR {name} = :value")), value(is)),
            Self::AbsentOrLess(name, than) => (Some(format!("attribute_not_exists({PARTITION}) OR {name} < :value")), value(than)),
            Self::Equals(name, is) => (Some(format!("{name} = :value")), value(is)),
        }
    }
}

impl Query {
    /// Strongly, ascending, everything of a partition of the data table.
    pub(crate) fn data(partition: &PartitionKey, range: SortRange) -> Self {
        Self {
            table: Table::Data,
            partition: partition.attribute(),
            range,
            descending: false,
            limit: None,
            consistency: Consistency::Strong,
            after: None,
        }
    }

    fn expression(&self) -> (String, Item) {
        let text = |name: &str, text: &str| (name.to_owned(), AttributeValue::S(text.to_owned()));
        let partition = (":partition".to_owned(), self.partition.clone());
        match &self.range {
            SortRange::All => (format!("{PARTITION} = :partition"), Item::from([partition])),
            SortRange::Prefix(prefix) => {
                (format!("{PARTITION} = :partition AND begins_with({SORT}, :prefix)"), Item::from([partition, text(":prefix", prefix)]))
            }
            SortRange::Between(from, to) => (
                format!("{PARTITION} = :partition AND {SORT} BETWEEN :from AND :to"),
                Item::from([partition, text(":from", from), text(":to", to)]),
            ),
        }
    }
}
