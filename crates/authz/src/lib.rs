//! From a token to an access. Verifying a token makes a [`Principal`]; authorizing one makes a [`ReadAccess`] or
//! [`WriteAccess`], which every tenant-scoped function of a store takes first. None of them can be made in any other way.
//!
//! The way: [`TokenVerifier::verify`] checks signature and claims and decides once what the principal's groups ([`Policy`]) and
//! SMART scopes grant ([`Grants`]); [`authorize`] holds that against the tenant, the interaction and the type of a request. What
//! is granted of a type may be narrowed ([`Limit`]): an access carries that as data, and `interactions` keeps to it.
//!
//! Deliberately absent: search (a limit is data here, `interactions` compiles it), HTTP, stores.

mod access;
mod addresses;
mod api_key;
mod grants;
mod local_key;
#[cfg(test)]
mod model;
mod policy;
mod principal;
mod quota;
mod smart;
mod tenant;
mod token;
mod types;

pub use access::{Access, AccessDenied, ReadAccess, WriteAccess, authorize};
pub use addresses::{AddressError, Place, TenantAddresses};
pub use api_key::{ApiKey, ApiKeyRefused, ApiKeys};
pub use grants::{Grants, Leave, Limit};
pub use local_key::{LocalIssuer, LocalKey, LocalKeyError, TokenRequest};
pub use policy::{AccessFile, AuthorizationServer, Policy, PolicyError, TenantAccess};
pub use principal::Principal;
pub use quota::{
    Account, Admission, Asker, CurrentQuotas, Draw, Drawn, QuotaOf, QuotaRules, Quotas, Rate, Refusal, SharedBucket, Shortage, Standing,
    TenantQuota, points,
};
pub use smart::Launch;
pub use tenant::TenantId;
pub use token::{
    ADMIN_SCOPE, AdminError, Administrator, Algorithm, Issuer, IssuerName, KeyError, KeySet, KeySource, RemoteIssuer, TokenError,
    TokenVerifier, is_safe_address,
};
pub use types::{Interaction, InteractionSet, TypeSet};
