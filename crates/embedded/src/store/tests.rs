#![expect(clippy::unwrap_used, reason = "tests")]

mod commits;
mod failures;
mod histories;
