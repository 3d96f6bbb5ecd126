//! Large bytes, and URLs by which clients up- and download the content of Binary resources: in S3 ([`S3Content`]) and in
//! files of a data folder ([`LocalContent`]).
//!
//! | module | duty |
//! |---|---|
//! | `object` | names of objects, made from an access |
//! | `signing` | URLs of the server's own |
//! | `seal` | the format of sealed content |
//! | `s3` | a bucket; what clients upload to S3 by URL lies there under the bucket's own encryption, what comes through the server sealed |
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
mod signing;

pub use local::{LocalContent, LocalSettings, OpenError};
#[cfg(feature = "s3")]
pub use s3::{Delivery, S3Content, S3Settings, ServedS3Content};
pub use signing::NowSeconds;
