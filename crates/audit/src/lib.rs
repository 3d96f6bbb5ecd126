//! Who looked at or changed what: a record of every access, allowed or denied.
//!
//! | module | duty |
//! |---|---|
//! | `record` | what a record says, and its bytes |
//! | `mention` | the patients that an answer is about |
//! | `trail` | [`AuditTrail`]: the bounded buffer between requests and the log |
//! | `writer` | the one task that seals what waits and appends it |
//! | `outage` | when to try again what failed, and what is told of it |
//! | [`sink`] | the second place that records go to |
//! | `search` | finding records in a tenant's log |
//! | `event` | a record as R4's AuditEvent |
//! | `verify` | whether a log is whole |
//! | `expiry` | removing what is older than a log is to be kept |
//!
//! # Invariants
//! - Nothing is dropped: a request takes its place in the buffer before it does anything, and waits while there is none.
//! - A record holds names of parameters and references, never their values or any other content of resources.
//! - Records of one tenant are sealed under its key alone, and no record says who another tenant's client is.
//!
//! Deliberately absent: HTTP, and where blocks are stored ([`fhirpool_storage::AuditLog`]).

mod event;
mod expiry;
mod mention;
mod outage;
mod record;
mod search;
pub mod sink;
mod trail;
mod verify;
mod writer;

pub use event::write_event;
pub use expiry::expire;
pub use mention::{parameter_names, patients_in};
pub use record::{Access, Activity, Agent, Record, TOUCHED_MAX, Touched};
pub use search::{AuditQuery, Found, Place, Reader, RecordId, SearchError};
pub use trail::{AuditTrail, Room, Settings};
pub use verify::{Verified, verify};
pub use writer::Ports;
