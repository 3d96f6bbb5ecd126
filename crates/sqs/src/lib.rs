//! Dead letters in an SQS queue: what could not be indexed waits there until someone has dealt with it.
//!
//! A letter names a tenant, a resource and a cause and holds no patient data. A letter that was taken and not removed comes
//! again once its visibility timeout has passed.
//!
//! Deliberately absent: what becomes of letters (`fhirpool redrive`).

mod letter;
mod migrate;
mod queue;

pub use queue::{Queue, Settings};
