//! Between a store's change stream and an index, both ways.
//!
//! | module | duty |
//! |---|---|
//! | `poller`, `shard`, `progress`, `balance` | following the stream's shards under leases shared with other indexers |
//! | `apply`, `extraction`, `refresher` | taking changes to the index, the change log and the dead letters |
//! | `watermark` | up to when the index knows everything |
//! | `marks`, `freshness` | which clients have written, and how long a search waits |
//! | `fresh_index`, `marked_store` | the ports of search and of resources over the two |
//! | `redrive`, `rebuild` | indexing dead letters, and everything, anew |
//! | `lambda` | the same core for a function that is handed the stream's events |
//!
//! The order on which all rests: a change is in the index and in the change log before the checkpoint passes it, and it can be
//! found before the watermark passes it. Applying it twice, late or out of order changes nothing, so whoever takes a shard over
//! goes on from its checkpoint.
//!
//! Deliberately absent: vendors; what is written in an index, and how.

mod apply;
mod balance;
mod clock;
mod extraction;
mod fresh_index;
mod freshness;
pub mod lambda;
mod marked_store;
mod marks;
mod poller;
mod progress;
mod rebuild;
mod redrive;
mod refresher;
mod seen;
mod settings;
mod shard;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watermark;

pub use clock::{Clock, NodeClock};
pub use extraction::{Extraction, TenantBase};
pub use fresh_index::{FreshIndex, FreshIndexParts};
pub use freshness::Recency;
pub use marked_store::MarkedStore;
pub use poller::{Indexer, IndexerPorts};
pub use rebuild::{RebuildPorts, Rebuilt, rebuild};
pub use redrive::{RedrivePorts, Redriven, redrive};
pub use settings::{FreshnessSettings, IndexerSettings};
pub use watermark::{Watermarks, read_watermark};
