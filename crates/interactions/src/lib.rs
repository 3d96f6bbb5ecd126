//! What FHIR says an interaction does, without HTTP and without a vendor: one file an interaction.
//!
//! Each function takes an access first, then a plain request, and gives an outcome value or an [`InteractionError`]. Whatever
//! an interaction must decide at the moment of its commit (versions, criteria) goes into the [`fhirpool_storage::Commit`];
//! what happens after it (subscriptions) follows from the store's changes and is absent here.
//!
//! Deliberately absent: headers, content negotiation, routes, backends, and any state but what [`Interactions`] names.

use std::sync::Arc;

use fhirpool_fhir::Definitions;
use fhirpool_search::Extractors;
use fhirpool_storage::{ContentStore, ResourceStore, SearchIndex};

mod access;
mod audit;
mod binary;
mod bundle;
mod capabilities;
mod commit;
mod conditions;
mod create;
mod criteria;
mod delete;
mod error;
mod history;
mod json_patch;
mod limits;
mod outcome;
mod page_token;
mod parameters;
mod patch;
mod prepare;
mod reach;
mod read;
mod search;
mod sources;
mod status;
mod subset;
#[cfg(test)]
mod tests;
mod update;
mod vread;

pub use audit::AuditSearch;
pub use binary::EMPTY_DATA_MEMBER;
pub use bundle::{BundleProgress, BundleRequest, BundleSoFar};
pub use capabilities::{CapabilityCache, Security};
pub use create::CreateRequest;
pub use delete::DeleteRequest;
pub use error::{ErrorKind, InteractionError, Result};
pub use history::HistoryInteraction;
pub use limits::Limits;
pub use outcome::{BundleOutcome, Effect, Handling, ReadOutcome, Representation, Returning, WriteOutcome, entity_tag};
pub use page_token::PageTokens;
pub use parameters::{check_no_parameters, first_parameter, query_of_parameters};
pub use patch::{PatchFormat, PatchRequest};
pub use read::ReadRequest;
pub use search::{EverythingRequest, SearchInteraction, SearchScope};
pub use sources::{Clock, IdSource, Randomness, SeededIds, SystemClock, SystemRandomness, UuidV7Ids};
pub use status::Status;
pub use update::{Target, UpdateRequest};
pub use vread::VersionReadRequest;

/// What the interactions work with. Cheap to clone.
#[derive(Clone)]
pub struct Interactions {
    /// Resources and their versions.
    pub store: Arc<dyn ResourceStore>,
    /// Search.
    pub index: Arc<dyn SearchIndex>,
    /// The content of Binary resources, where it is large or uploaded by URL.
    pub content: Arc<dyn ContentStore>,
    /// R4's definitions.
    pub definitions: Arc<Definitions>,
    /// What makes index entries of resources.
    pub extractors: Arc<Extractors>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of new resources.
    pub ids: Arc<dyn IdSource>,
    /// What a request may cost.
    pub limits: Arc<Limits>,
    /// Where pages continue.
    pub page_tokens: PageTokens,
    /// What the server says of itself.
    pub capability_cache: CapabilityCache,
}
