//! Large bytes, and URLs by which clients up- and download the content of Binary resources: in S3 ([`S3Content`]) and in
//! files of a data folder ([`LocalContent`]).
//!
//! | module | duty |
//! |---|---|
//! | `object` | names of objects, made from an access |
//! | `seal` | the format of sealed content |
//! | `s3` | a bucket; what clients upload by URL lies there under the bucket's own encryption |
//! | `local` | files; all of them sealed, uploads too |
//!
//! # Invariants
//! - Every object's name begins with the tenant of the access it was made from.
//! - What was uploaded for a version of a Binary is not replaced: locally a second upload is refused; in S3 the first version of
//!   the object counts, whatever is put over it.
//!
//! Deliberately absent: FHIR's rules of Binary (`fhirpool_interactions`), HTTP (`fhirpool_api`).

mod local;
mod object;
#[cfg(feature = "s3")]
mod s3;
mod seal;

pub use local::{LocalContent, LocalSettings, OpenError};
#[cfg(feature = "s3")]
pub use s3::{S3Content, S3Settings};
