//! Tenants' keys under AWS KMS: data keys are made and unwrapped by KMS and kept, wrapped, behind [`fhirpool_storage::WrappedKeys`].
//!
//! Every call to KMS names the encryption context `{tenant, purpose, epoch}`, which KMS authenticates: the wrapped key of one
//! tenant or epoch does not unwrap as another's.
//!
//! Deliberately absent: where wrapped keys are kept, and what is sealed with keys (`fhirpool_storage::value`).

mod key_ring;
mod known;
mod service;

pub use key_ring::{KmsKeyRing, Limits};
pub use service::{Settings, client};
