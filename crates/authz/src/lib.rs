//! From a token to an access. Verifying a token makes a [`Principal`]; authorizing one makes a [`ReadAccess`] or
//! [`WriteAccess`], which every tenant-scoped function of a store takes first. None of them can be made in any other way.
//!
//! Deliberately absent: search (a limit is data here, `interactions` compiles it), HTTP, stores.

mod access;
mod principal;
mod tenant;

pub use access::{AccessDenied, Limit, ReadAccess, TypeSet, WriteAccess};
pub use principal::Principal;
pub use tenant::TenantId;
