#![expect(clippy::unwrap_used, reason = "tests")]

//! The evaluator against a plain reading of the same requests.

mod against_plain;
mod memory;
mod plain;
mod requests;
mod with_commits;
