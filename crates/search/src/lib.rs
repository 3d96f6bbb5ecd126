//! The meaning of a search, without IO: parsing a query, extracting index entries, order, and matching in memory.
//!
//! An index only stores [`IndexEntry`] bytes, scans the [`KeyRange`]s of a [`ValueTest`] and asks [`ValueTest::accepts`];
//! it never interprets a value. So every index answers alike.

mod entry;
mod query;

pub use entry::{IndexEntry, KeyRange, ValueTest};
pub use query::{Clause, Position, SortBy, SortTarget, TypeSearch};
