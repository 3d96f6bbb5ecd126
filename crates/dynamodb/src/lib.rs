//! The store of resources on DynamoDB: versions as intents, one commit record.
//!
//! Deliberately absent: global secondary indexes, scans in requests, anything that rewrites a committed version, and the meaning
//! of searches.

mod audit_log;
mod bodies;
mod change_log;
mod client;
mod commit;
mod concurrent;
mod conditional;
mod control;
mod cost;
mod digest;
mod faults;
mod feed;
mod item;
mod keys;
mod node;
mod purge;
mod schema;
mod store;
mod sweep;
mod tenants;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction;

pub use audit_log::DynamoAuditLog;
pub use change_log::DynamoChangeLog;
pub use client::{Client, ConnectionSettings, RetrySettings};
pub use control::{ClientMarks, Control, SECRET_BYTES};
pub use cost::{Costs, Operation, UnitKind, Units};
#[cfg(any(test, feature = "faults"))]
pub use faults::{Hook, Step};
pub use feed::StreamFeed;
pub use item::{NodeId, TransactionId};
pub use node::Clock;
pub use purge::TenantItems;
pub use schema::Schema;
pub use store::{DynamoStore, StorePorts, StoreSettings, TenantBase};
pub use tenants::Tenants;
