//! The router over an embedded store in a folder of its own: what clients see.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

#[path = "router/access.rs"]
mod access;
#[path = "router/address.rs"]
mod address;
#[path = "router/binary.rs"]
mod binary;
#[path = "router/hostile.rs"]
mod hostile;
#[path = "router/limits.rs"]
mod limits;
#[path = "router/negotiation.rs"]
mod negotiation;
#[path = "router/quotas.rs"]
mod quotas;
#[path = "router/resources.rs"]
mod resources;
#[path = "router/scopes.rs"]
mod scopes;
#[path = "router/searches.rs"]
mod searches;
#[path = "router/support.rs"]
mod support;
#[path = "router/tenancy.rs"]
mod tenancy;
