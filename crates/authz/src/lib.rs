//! From a token to an access. Verifying a token makes a [`Principal`]; authorizing one makes a [`ReadAccess`] or
//! [`WriteAccess`], which every tenant-scoped function of a store takes first. None of them can be made in any other way.
//!
//! The way: [`TokenVerifier::verify`] checks signature and claims and decides once what the principal's groups grant
//! ([`Grants`]); [`authorize`] holds that against the tenant, the interaction and the type of a request.
//!
//! Deliberately absent: search (a limit is data here, `interactions` compiles it), HTTP, stores.

mod access;
mod grants;
mod local_key;
mod principal;
mod tenant;
mod token;

pub use access::{Access, AccessDenied, Limit, ReadAccess, TypeSet, WriteAccess, authorize};
pub use grants::{Grants, Interaction};
pub use local_key::{LocalIssuer, LocalKey, LocalKeyError, TokenRequest};
pub use principal::Principal;
pub use tenant::TenantId;
pub use token::{Algorithm, Issuer, KeyError, KeySet, TokenError, TokenVerifier};
