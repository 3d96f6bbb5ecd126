//! What fhirpool demands of any store: ports with written contracts, their errors, the value format, and the conformance
//! suite that every backend runs.
//!
//! Deliberately absent: a vendor, HTTP, FHIR's rules of interactions.

mod audit;
#[cfg(any(test, feature = "conformance"))]
pub mod audit_conformance;
mod candidates;
mod change_feed;
mod commit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod content;
mod duties;
mod error;
mod index;
mod keys;
#[cfg(any(test, feature = "conformance"))]
pub mod memory;
mod migration;
mod quota_leases;
mod resource_store;
mod stored_bytes;
pub mod tenants;
pub mod value;

pub use audit::{
    AUDIT_BLOCK_BYTES_MAX, AUDIT_HOUR_MS, AUDIT_SPAN_MS, AuditAnchor, AuditBlock, AuditLog, AuditPage, AuditRange, BlockDigest, BlockName,
    Chain, ChainCheck, ChainEnd, ExpiredBlocks, SealedAnchor, check_audit,
};
pub use candidates::{Candidate, CandidateIndex, CandidatePage, IndexDocument, IndexOutcome, IndexRebuild, IndexWriter};
pub use change_feed::{
    ChangeFeed, ChangeLog, DeadLetter, DeadLetters, FeedChange, FeedPage, FeedPosition, FeedRecord, FeedVersion, Lease, Leases, LogEntry,
    PendingSweep, Shard, ShardId, WriteMarks,
};
pub use commit::{Assumption, Change, ChangeContent, ChangeOutcome, Commit, CommitOutcome, Method, Precondition};
pub use content::{
    ContentInfo, ContentName, ContentStore, ContentStream, SignedAddress, SignedContent, Upload, UploadOutcome, UploadTerms,
};
pub use duties::{DutyLease, DutyLeases};
pub use error::{Result, StorageError};
pub use index::{ExactLookup, Freshness, SearchHit, SearchIndex, SearchPage, SearchRequest, TotalMode};
pub use keys::{KeyEpoch, KeyRing, TenantKey, WrappedKey, WrappedKeys};
pub use migration::{MIGRATIONS, Migrate, Migration, MigrationPart, MigrationRecord, apply_migrations, missing_migrations};
pub use quota_leases::QuotaLeases;
pub use resource_store::{
    Content, HistoryEntry, HistoryPage, HistoryPosition, HistoryRequest, HistoryScope, ResourceStore, StoredVersion, View,
};
pub use stored_bytes::StoredBytes;
