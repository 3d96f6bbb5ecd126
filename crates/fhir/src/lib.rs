//! Published FHIR facts, true without a server: the JSON tree, ids, references, instants, outcomes and the R4 definitions.
//!
//! Deliberately absent: anything that needs a store, a clock, a tenant or HTTP.

pub mod date;
pub mod decimal;
pub mod definitions;
pub mod id;
pub mod json;
pub mod outcome;
pub mod reference;
pub mod resource;
pub mod resource_type;
pub mod service_base;
pub mod temporal;

pub use date::{Date, DateInterval};
pub use decimal::Decimal;
pub use definitions::Definitions;
pub use id::{OrderedId, ResourceId, ResourceKey, VersionId};
pub use outcome::{Issue, IssueCode, OperationOutcome, Severity};
pub use reference::{Canonical, Reference};
pub use resource::ResourceBody;
pub use resource_type::ResourceType;
pub use service_base::ServiceBase;
pub use temporal::Timestamp;
