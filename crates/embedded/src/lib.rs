//! Every port of fhirpool on the local machine: one data folder, one process, one committer.
//!
//! | module | duty |
//! |---|---|
//! | `database` | the key-value store below (`fjall`): snapshot, range, atomic batch |
//! | `keys` | stored keys as types |
//! | `tenants` | tenants' numbers; [`tenants::Scope`], what every key is made from |
//! | `picture` | what a view holds |
//! | `forward`, `meta` | small stored records |
//!
//! Deliberately absent: the meaning of a search value (`search`), FHIR's rules of interactions, HTTP.

mod database;
mod forward;
mod keys;
mod meta;
mod picture;
mod settings;
mod tenants;

pub use settings::Settings;
