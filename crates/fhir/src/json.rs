//! The JSON tree of a client's resource, with the exact bytes of decimals and strings and the order of properties.
//!
//! A [`Document`] owns the source text and a flat list of nodes; a [`Value`] is a copyable cursor into it. Nothing is
//! decoded before it is asked for, so parsing costs one allocation whatever the size. Changing a tree means writing it
//! again with [`Edit`]s ([`Value::write_compact`], [`Value::write_edited`]).
//!
//! Refused, with the byte and the path of the place: duplicate keys, NUL and lone surrogates in strings, invalid UTF-8,
//! bytes after the value, depth over the limit.
//!
//! Deliberately absent: numbers as floats (their text is the value), in-place mutation, serde.

mod parse;
mod scan;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use parse::{Limits, ParseError, ParseErrorKind};
pub use value::{Document, Elements, Kind, Member, Members, Value};
pub use write::{Edit, Writer, write_string};
