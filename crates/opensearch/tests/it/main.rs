//! The index on a real cluster.

#![expect(clippy::unwrap_used, reason = "tests")]

mod harness;

mod cases;
mod isolation;
mod random;
mod rebuild;
mod versions;
