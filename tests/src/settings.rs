//! How a test's long form is asked for.

use std::fmt::Debug;
use std::str::FromStr;

/// The value of an environment variable, where it is set; fails where it is none of its kind.
pub(crate) fn setting<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
