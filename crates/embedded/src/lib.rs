//! Every port of fhirpool on the local machine: one data folder, one process, one committer.
//!
//! | module | duty |
//! |---|---|
//! | `store` | [`EmbeddedStore`]: the ports of resources and of search |
//! | `prepare` | what a commit costs before it is the committer's turn |
//! | `committer`, `group`, `recent` | the one thread that writes; commits that share a sync; what they are checked against |
//! | `places`, `turns` | how much of one tenant may wait; who is next |
//! | `history` | pages of history |
//! | `audit` | the log of accesses |
//! | `search` | evaluation of searches |
//! | `key_ring` | tenants' keys, wrapped, in the data folder |
//! | [`maintenance`] | verify, backup, restore, repair |
//! | `database` | the key-value store below (`fjall`): snapshot, range, atomic batch |
//! | `keys` | stored keys as types |
//! | `tenants` | tenants as they are stored, and the scope that every key is made from |
//! | `registry` | the registry of tenants, and their removal |
//! | `record`, `feed`, `forward`, `meta` | stored values |
//!
//! # Invariants
//! - A batch holds whole commits: versions, postings and their lists, feeds, counters, the clock.
//! - Readers see pictures only, and a picture is published after the sync of what it shows.
//! - A resource that is there has a list of postings, and what it lists is what is posted; a deleted one has neither.
//! - Sequences and times of commits never fall.
//!
//! Deliberately absent: the meaning of a search value (`fhirpool_search`), FHIR's rules of interactions, HTTP.

mod audit;
mod committer;
mod database;
mod error;
mod faults;
mod feed;
mod forward;
mod group;
mod history;
mod key_ring;
mod keys;
mod lock;
pub mod maintenance;
mod meta;
mod picture;
mod places;
mod prepare;
mod recent;
mod record;
mod registry;
mod search;
mod settings;
mod shared;
mod store;
mod tenants;
#[cfg(test)]
mod testing;
mod turns;

pub use error::OpenError;
#[cfg(any(test, feature = "faults"))]
pub use faults::{Fault, Faults};
pub use key_ring::{KeyRingError, LocalKeyRing};
pub use search::SearchSettings;
pub use settings::Settings;
pub use shared::Now;
pub use store::{EmbeddedStore, Ports};
