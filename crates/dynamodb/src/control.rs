//! The control table: what nodes agree on.
//!
//! | what | pk | sk | attributes |
//! |---|---|---|---|
//! | leases of the stream's shards | `L` | shard | `o` owner, `c` counter, `p` checkpoint, `u` applied until, `f` finished, `w` pending sweeps |
//! | tenants | `R` | tenant | `s` state, `a` registered at |
//! | epoch of the tenants | `E` | `tenants` | `n` |
//! | wrapped keys | `T#t#K` | epoch | `k` wrapped key, empty where destroyed |
//! | write marks | `T#t#M` | digest of the client | `u` until, `ttl` expiry |
//! | buckets of points | `T#t#Q` | `tenant`, or kind and hash of the name | `l` level, `a` as of, `c` counter, `w` writer, `ttl` expiry |
//! | bytes stored | `T#t#U` | `usage` | `b` sum |
//! | duties that one node does | `D` | duty | `o` owner, `c` counter |
//! | migrations | `M` | number | `n` name, `a` applied at |
//! | secrets | `S` | name | `v` |
//!
//! What is a tenant's begins with `T#tenant#`, as in the data table. Nothing here is the cause of a version being committed or
//! not, so the table may be lost without loss of resources, all but the wrapped keys.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_storage::Result;

use crate::client::{Client, Condition, Consistency, Query, SortRange, Table, Written};
use crate::cost::Operation;
use crate::item::{Item, number};
use crate::keys::{PARTITION, SORT};

mod duties;
mod leases;
mod marks;
mod migrations;
mod quotas;
mod secrets;
mod stored_bytes;
mod tenants;
#[cfg(test)]
mod tests;
mod wrapped_keys;

pub use marks::ClientMarks;
pub use secrets::SECRET_BYTES;

/// Leases, wrapped keys, secrets and the record of migrations; cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    client: Client,
}

/// Counts the versions of an item.
const COUNTER: &str = "c";

/// No list of the control table is longer.
const ITEMS_MAX: usize = 1_000_000;

impl Control {
    /// Over a connection.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Puts an item whose counter tells its versions. `false`: another is there.
    async fn put_counted(&self, operation: Operation, item: &Item, expected: Option<u64>) -> Result<bool> {
        Ok(match self.client.put(operation, Table::Control, item, &counted(expected)).await? {
            Written::Done(_) => true,
            // An answer was lost, and the item is ours.
            Written::Refused(there) => there.is_some_and(|there| there == *item),
        })
    }
}

/// That a counter is as it was read; `None`: nothing was there.
fn counted(expected: Option<u64>) -> Condition {
    expected.map_or(Condition::Absent, |counter| Condition::Equals(COUNTER, number(counter)))
}

/// All items of a partition, strongly.
async fn all(client: &Client, operation: Operation, partition: &str) -> Result<Vec<Item>> {
    let query = Query {
        table: Table::Control,
        partition: AttributeValue::S(partition.to_owned()),
        range: SortRange::All,
        descending: false,
        limit: None,
        consistency: Consistency::Strong,
        after: None,
    };
    let items = client.query_all(operation, query, ITEMS_MAX).await?;
    items.ok_or(fhirpool_storage::StorageError::TooCostly("a list of the control table"))
}

fn key(partition: &str, sort: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    Item::from([(PARTITION.to_owned(), text(partition)), (SORT.to_owned(), text(sort))])
}

/// Microseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}
