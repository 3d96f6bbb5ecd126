//! Facts about the behaviour of a whole server, over HTTP. One binary; a module a subject.
#![cfg(test)]
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

mod addresses;
mod audit;
mod audit_expiry;
mod crash;
mod differential;
mod edges;
mod fuzz;
mod indexing;
mod isolation;
mod nodes;
mod profiles;
mod quotas;
mod scenarios;
mod scopes;
mod services;
mod settings;
mod synthea;
mod telemetry;
mod tenant_access;
mod tenants;
mod tls;
mod wire;
