//! Tokens (R4 search.html#token): code, then system, so that one value answers `code`, `system|code` and `|code`; `system|`
//! looks through the parameter's values.
//!
//! Codes compare with case, as most code systems and identifiers do; R4 leaves it to the server.

use super::{Accept, form, text};
use crate::ValueTest;
use crate::entry::KeyRange;

/// Stands for the system of an element whose system is implied by its binding or type.
pub(crate) const IMPLIED: &str = "\u{1}";

/// The value of a code with its system: a URI, empty for none, or [`IMPLIED`].
pub(crate) fn value(code: &str, system: &str) -> Vec<u8> {
    pair(form::TOKEN, code, system)
}

/// Whether a value is a code with its system, and not a further way to find one.
pub fn is_token(value: &[u8]) -> bool {
    value.first() == Some(&form::TOKEN)
}

/// The identifier of a logical reference.
pub(crate) fn reference_identifier(identifier: &str, system: &str) -> Vec<u8> {
    pair(form::REFERENCE_IDENTIFIER, identifier, system)
}

fn pair(form: u8, code: &str, system: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(code.len() + system.len() + 3);
    out.push(form);
    text::write(code, text::CODE_BYTES_MAX, &mut out);
    text::write(system, text::CODE_BYTES_MAX, &mut out);
    out
}

/// A text that goes with a code; `None` for an empty one.
pub(crate) fn text_value(display: &str) -> Option<Vec<u8>> {
    let folded = text::fold(display);
    (!folded.is_empty()).then(|| [&[form::TOKEN_TEXT], folded.as_bytes(), &[0]].concat())
}

/// An identifier with its type.
pub(crate) fn of_type_value(identifier: &str, type_code: &str, type_system: &str) -> Vec<u8> {
    let mut out = vec![form::TOKEN_OF_TYPE];
    for part in [identifier, type_code, type_system] {
        text::write(part, text::CODE_BYTES_MAX, &mut out);
    }
    out
}

/// Which codes are sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sought<'a> {
    /// The system; empty: none must be there; `None`: any.
    pub system: Option<&'a str>,
    /// The code; `None`: any of the system.
    pub code: Option<&'a str>,
    /// Whether an implied system counts as this one.
    pub implied: bool,
}

/// A code, or any of a system.
pub(crate) fn test(sought: Sought<'_>) -> ValueTest {
    test_of(form::TOKEN, sought)
}

/// The same on the identifiers of references.
pub(crate) fn reference_identifier_test(sought: Sought<'_>) -> ValueTest {
    test_of(form::REFERENCE_IDENTIFIER, sought)
}

fn test_of(form: u8, sought: Sought<'_>) -> ValueTest {
    let implied = sought.implied.then_some(IMPLIED);
    match (sought.system, sought.code) {
        (Some(system), Some(code)) => ValueTest::values([system].into_iter().chain(implied).map(|system| pair(form, code, system))),
        (None, code) => {
            let mut prefix = vec![form];
            if let Some(code) = code {
                text::write(code, text::CODE_BYTES_MAX, &mut prefix);
            }
            ValueTest::new([KeyRange::prefix(prefix)], Accept::All)
        }
        (Some(system), None) => {
            let written = |system: &str| {
                let mut out = Vec::new();
                text::write(system, text::CODE_BYTES_MAX, &mut out);
                out.pop();
                out
            };
            let systems = [system].into_iter().chain(implied).map(written).collect();
            ValueTest::new([KeyRange::prefix(vec![form])], Accept::System(systems))
        }
    }
}

/// A text that goes with a code and begins so; `None` where the value is too long.
pub(crate) fn text_test(sought: &str) -> Option<ValueTest> {
    let folded = text::fold_whole(sought)?;
    Some(ValueTest::new([KeyRange::prefix([&[form::TOKEN_TEXT], folded.as_bytes()].concat())], Accept::All))
}

/// An identifier of a type.
pub(crate) fn of_type_test(identifier: &str, type_code: &str, type_system: &str) -> ValueTest {
    ValueTest::values([of_type_value(identifier, type_code, type_system)])
}

/// Form and system of a value that has a code and a system; `None` for any other value. A system that is too long is cut and
/// carries a digest, as in [`Rule::Systems`](crate::Rule::Systems).
pub fn system_of_value(value: &[u8]) -> Option<(u8, &[u8])> {
    let form = value.first().copied().filter(|form| matches!(*form, form::TOKEN | form::REFERENCE_IDENTIFIER))?;
    Some((form, system_of(value)?))
}

pub(super) fn system_of(value: &[u8]) -> Option<&[u8]> {
    let (_, rest) = text::split(value.get(1..)?)?;
    Some(text::split(rest)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought<'a>(system: Option<&'a str>, code: Option<&'a str>) -> ValueTest {
        test(Sought { system, code, implied: false })
    }

    #[test]
    fn the_four_forms() {
        let (with, without, other) = (value("a", "s"), value("a", ""), value("a", "t"));
        let passing = |test: ValueTest| [&with, &without, &other].map(|value| test.accepts(value));
        assert_eq!(passing(sought(None, Some("a"))), [true, true, true]);
        assert_eq!(passing(sought(Some("s"), Some("a"))), [true, false, false]);
        assert_eq!(passing(sought(Some(""), Some("a"))), [false, true, false]);
        assert_eq!(passing(sought(Some("s"), None)), [true, false, false]);
        assert_eq!(passing(sought(None, Some("A"))), [false, false, false]);
        assert_eq!(passing(sought(None, Some("ab"))), [false, false, false]);
    }

    #[test]
    fn an_implied_system_counts_where_it_is_said() {
        let implied = value("final", IMPLIED);
        let with = |implied| test(Sought { system: Some("s"), code: Some("final"), implied });
        assert!(with(true).accepts(&implied) && !with(false).accepts(&implied));
        assert!(sought(None, Some("final")).accepts(&implied));
    }

    #[test]
    fn one_code_of_one_system_is_a_single_value() {
        assert!(sought(Some("s"), Some("a")).is_single_value(0));
        assert!(!sought(None, Some("a")).is_single_value(0));
    }
}
