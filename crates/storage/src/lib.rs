//! What fhirpool demands of any store: ports with written contracts, their errors, the value format, and the conformance
//! suite that every backend runs.
//!
//! Deliberately absent: a vendor, HTTP, FHIR's rules of interactions.

mod commit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod index;
mod keys;
#[cfg(any(test, feature = "conformance"))]
pub mod memory;
mod resource_store;
pub mod value;

pub use commit::{Assumption, Change, ChangeContent, ChangeOutcome, Commit, CommitOutcome, Method, Precondition};
pub use error::{Result, StorageError};
pub use index::{SearchHit, SearchIndex, SearchPage, SearchRequest, TotalMode};
pub use keys::{KeyEpoch, KeyRing, TenantKey};
pub use resource_store::{
    Content, HistoryEntry, HistoryPage, HistoryPosition, HistoryRequest, HistoryScope, ResourceStore, StoredVersion, View,
};
