//! Only tests need it: a server under test, a small client, data-driven scenarios, faults of its services.
#![expect(clippy::unwrap_used, reason = "in a test, a surprise is a failure")]

mod client;
pub mod data;
mod deployment;
mod fault_proxy;
pub mod faults;
mod process;
mod scenario;
mod server;

pub use client::{Client, Response};
pub use deployment::Deployment;
pub use fault_proxy::{AnswerChange, Fault, FaultProxy, ProxiedAnswer, ProxiedRequest};
pub use process::{ServerProcess, program, token};
pub use scenario::{Scenario, run_scenario};
pub use server::TestServer;
