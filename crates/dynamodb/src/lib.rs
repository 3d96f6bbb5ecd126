//! The store of resources on DynamoDB: versions as intents, one commit record.
//!
//! Deliberately absent: global secondary indexes, scans in requests, anything that rewrites a committed version, and the meaning
//! of searches.

mod client;
mod cost;
mod item;
mod keys;
mod tenants;

pub use client::{Client, ConnectionSettings, RetrySettings};
pub use cost::{Costs, Operation, UnitKind, Units};
pub use item::{NodeId, TransactionId};
pub use tenants::Tenants;
