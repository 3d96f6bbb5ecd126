//! Only tests need it: a server under test, a small client, data-driven scenarios.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

mod client;
pub mod data;
mod deployment;
mod fault_proxy;
mod process;
mod scenario;
mod server;

pub use client::{Client, Response};
pub use deployment::Deployment;
pub use fault_proxy::{Fault, FaultProxy, ProxiedAnswer, ProxiedRequest};
pub use process::{ServerProcess, program, token};
pub use scenario::{Scenario, run_scenario};
pub use server::TestServer;
