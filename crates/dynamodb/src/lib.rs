//! The store of resources on DynamoDB: versions as intents, one commit record.
//!
//! Deliberately absent: global secondary indexes, scans in requests, anything that rewrites a committed version, and the meaning
//! of searches.

mod client;
mod control;
mod cost;
mod digest;
mod item;
mod keys;
mod schema;
mod tenants;
#[cfg(test)]
mod testing;

pub use client::{Client, ConnectionSettings, RetrySettings};
pub use control::{ClientMarks, Control, SECRET_BYTES, TenantRegistry};
pub use cost::{Costs, Operation, UnitKind, Units};
pub use item::{NodeId, TransactionId};
pub use schema::Schema;
pub use tenants::Tenants;
