//! Names concrete parts: configuration, assembly, the command line. The only composition root.

mod access;
mod administration;
mod assembly;
pub mod command;
pub mod config;
#[cfg(feature = "embedded")]
mod content_copy;
#[cfg(feature = "embedded")]
mod control;
#[cfg(feature = "aws")]
pub mod deployment;
mod duties;
mod expiry;
mod issuer;
mod listen;
pub mod load;
mod observed;
mod stored_quota;
mod telemetry;
mod tenants;
mod tls;

pub use assembly::{Server, StartError};
