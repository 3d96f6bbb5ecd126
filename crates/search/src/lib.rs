//! The meaning of a search, without IO: parsing a query, extracting index entries, order, and matching in memory.
//!
//! An index only stores [`IndexEntry`] bytes, scans the [`KeyRange`]s of a [`ValueTest`] and asks [`ValueTest::accepts`];
//! it never interprets a value. So every index answers alike.

mod compartment;
mod entry;
mod extract;
mod matches;
pub mod parse;
mod pattern;
mod query;
mod sort;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;
mod value_test;

pub use compartment::{compartment_clause, compartments_of};
pub use entry::{IndexEntry, KeyRange};
pub use extract::{Extractors, ReferenceTarget};
pub use matches::{Alone, Related, Undecided, matches};
pub use parse::QueryError;
pub use pattern::Pattern;
pub use query::{Clause, Include, Position, Query, SortBy, SortTarget, Summary, Total, TypeSearch};
pub use sort::{compare_keys, position, sort_key, sort_key_of_value, sort_range};
pub use value::Comparator;
pub use value::date::date_of_value;
pub use value::reference::{reference_target, reference_value};
pub use value::token::{is_token, system_of_value};
pub use value_test::{Rule, ValueTest};
