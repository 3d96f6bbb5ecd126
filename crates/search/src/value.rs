//! The bytes of values: one module a parameter type, each with how its values are written and how they are sought.
//!
//! The first byte is the form. Values of one parameter that mean different things have different forms, so that a range within
//! one form never meets another. Forms below [`SORTED_FORMS_END`] carry the order of results; the others are further ways to
//! find the same. Texts end in a 0, which FHIR's strings cannot hold.

use crate::{Pattern, ValueTest};

pub(crate) mod composite;
pub(crate) mod date;
pub(crate) mod number;
pub(crate) mod reference;
pub(crate) mod string;
pub(crate) mod text;
pub(crate) mod token;
pub(crate) mod uri;

/// Forms of values. Stored keys hold them: they never change.
pub(crate) mod form {
    /// Folded text, exact text.
    pub const STRING: u8 = 0x10;
    /// Code, system.
    pub const TOKEN: u8 = 0x20;
    /// Low, high.
    pub const DATE: u8 = 0x30;
    /// Low, high.
    pub const NUMBER: u8 = 0x40;
    /// Low, high, unit.
    pub const QUANTITY: u8 = 0x41;
    /// Type, id.
    pub const REFERENCE: u8 = 0x50;
    /// URL of another server, URN, or what has no known shape.
    pub const REFERENCE_URL: u8 = 0x52;
    /// Canonical URL, version.
    pub const CANONICAL: u8 = 0x53;
    /// URI.
    pub const URI: u8 = 0x60;
    /// Component values.
    pub const COMPOSITE: u8 = 0x70;
    /// Folded text of a code.
    pub const TOKEN_TEXT: u8 = 0x90;
    /// Identifier value, code and system of its type.
    pub const TOKEN_OF_TYPE: u8 = 0x91;
    /// High, low; of long intervals only.
    pub const DATE_BY_HIGH: u8 = 0xA0;
    /// High, low; of intervals only.
    pub const NUMBER_BY_HIGH: u8 = 0xB0;
    /// High, low, unit; of intervals only.
    pub const QUANTITY_BY_HIGH: u8 = 0xB1;
    /// Type, id, version.
    pub const REFERENCE_VERSION: u8 = 0xC0;
    /// Identifier value, system.
    pub const REFERENCE_IDENTIFIER: u8 = 0xC1;
    /// All of them, ascending.
    pub const ALL: [u8; 17] = [
        STRING,
        TOKEN,
        DATE,
        NUMBER,
        QUANTITY,
        REFERENCE,
        REFERENCE_URL,
        CANONICAL,
        URI,
        COMPOSITE,
        TOKEN_TEXT,
        TOKEN_OF_TYPE,
        DATE_BY_HIGH,
        NUMBER_BY_HIGH,
        QUANTITY_BY_HIGH,
        REFERENCE_VERSION,
        REFERENCE_IDENTIFIER,
    ];
}

/// The first form that sorting does not look at.
pub(crate) const SORTED_FORMS_END: u8 = 0x80;

/// How the value of a search compares (R4 search.html#prefix).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparator {
    /// The sought range contains the value's.
    Equal,
    /// It does not.
    NotEqual,
    /// The range above the sought one overlaps the value's.
    Greater,
    /// The range below the sought one overlaps the value's.
    Less,
    /// [`Self::Greater`] or [`Self::Equal`].
    GreaterOrEqual,
    /// [`Self::Less`] or [`Self::Equal`].
    LessOrEqual,
    /// The value's range lies wholly above the sought one.
    StartsAfter,
    /// The value's range lies wholly below the sought one.
    EndsBefore,
    /// The two overlap, the sought one widened by a tenth.
    Approximate,
}

impl Comparator {
    /// Takes the prefix off a search value.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        let comparator = match text.as_bytes() {
            [b'e', b'q', ..] => Self::Equal,
            [b'n', b'e', ..] => Self::NotEqual,
            [b'g', b't', ..] => Self::Greater,
            [b'l', b't', ..] => Self::Less,
            [b'g', b'e', ..] => Self::GreaterOrEqual,
            [b'l', b'e', ..] => Self::LessOrEqual,
            [b's', b'a', ..] => Self::StartsAfter,
            [b'e', b'b', ..] => Self::EndsBefore,
            [b'a', b'p', ..] => Self::Approximate,
            _ => return (Self::Equal, text),
        };
        (comparator, &text[2..])
    }
}

/// What a value in the ranges of a test must be besides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Accept {
    /// Nothing more.
    All,
    /// Its folded text contains this.
    Contains(Vec<u8>),
    /// Its system is one of these.
    System(Vec<Vec<u8>>),
    /// Its interval compares so.
    Date(date::DateRule),
    /// Its interval and unit compare so.
    Number(number::NumberRule),
    /// Its components pass these.
    Composite(Vec<ValueTest>),
}

impl Accept {
    /// Whether the ranges alone tell.
    pub(crate) fn is_told_by_ranges(&self) -> bool {
        match self {
            Self::All => true,
            Self::Date(rule) => rule.is_told_by_ranges(),
            Self::Number(rule) => rule.is_told_by_ranges(),
            Self::Contains(_) | Self::System(_) | Self::Composite(_) => false,
        }
    }

    pub(crate) fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Contains(needle) => string::contains(value, needle),
            Self::System(systems) => token::system_of(value).is_some_and(|system| systems.iter().any(|sought| sought == system)),
            Self::Date(rule) => rule.accepts(value),
            Self::Number(rule) => rule.accepts(value),
            Self::Composite(tests) => composite::accepts(value, tests),
        }
    }
}

impl Accept {
    /// How the values of some form are written that pass.
    pub(crate) fn pattern(&self, form: u8) -> Pattern {
        match self {
            Self::All => value_pattern(form),
            Self::Contains(needle) => {
                let rest = || Pattern::Until(0);
                let found = Pattern::sequence([Pattern::TextWith(needle.clone()), Pattern::byte(0)]);
                Pattern::sequence([Pattern::byte(form), found, rest()])
            }
            Self::System(systems) => {
                let systems = systems.iter().map(|system| Pattern::Bytes([system.as_slice(), &[0]].concat()));
                Pattern::sequence([Pattern::byte(form), Pattern::Until(0), Pattern::OneOf(systems.collect())])
            }
            Self::Date(rule) => rule.pattern(form),
            Self::Number(rule) => rule.pattern(form),
            Self::Composite(tests) => {
                let components = tests.iter().map(ValueTest::pattern);
                Pattern::sequence([Pattern::byte(form)].into_iter().chain(components))
            }
        }
    }
}

/// How values of a form are written: what [`value_len`] reads.
pub(crate) fn value_pattern(form: u8) -> Pattern {
    let texts = |count| Pattern::sequence(std::iter::repeat_n(Pattern::Until(0), count));
    let rest = match form {
        form::STRING | form::TOKEN | form::CANONICAL | form::REFERENCE_IDENTIFIER => texts(2),
        form::TOKEN_OF_TYPE => texts(3),
        form::REFERENCE_URL | form::URI | form::TOKEN_TEXT => texts(1),
        form::DATE => date::value_pattern(),
        form::DATE_BY_HIGH => Pattern::AnyBytes(16),
        form::NUMBER | form::NUMBER_BY_HIGH => number::interval_pattern(),
        form::QUANTITY | form::QUANTITY_BY_HIGH => Pattern::sequence([number::interval_pattern(), texts(3)]),
        form::REFERENCE => reference::pattern(),
        form::REFERENCE_VERSION => Pattern::sequence([reference::pattern(), texts(1)]),
        _ => return Pattern::OneOf(Vec::new()),
    };
    Pattern::sequence([Pattern::byte(form), rest])
}

/// How many bytes at the front are one value; `None` if none is.
pub(crate) fn value_len(bytes: &[u8]) -> Option<usize> {
    let (form, rest) = bytes.split_first()?;
    let len = match *form {
        form::STRING | form::TOKEN | form::CANONICAL | form::REFERENCE_IDENTIFIER => text::len(rest, 2)?,
        form::TOKEN_OF_TYPE => text::len(rest, 3)?,
        form::REFERENCE_URL | form::URI | form::TOKEN_TEXT => text::len(rest, 1)?,
        form::DATE => date::len(rest)?,
        form::DATE_BY_HIGH => 16,
        form::NUMBER | form::NUMBER_BY_HIGH => number::interval_len(rest)?,
        form::QUANTITY | form::QUANTITY_BY_HIGH => {
            let interval = number::interval_len(rest)?;
            interval + text::len(&rest[interval..], 3)?
        }
        form::REFERENCE => reference::len(rest)?,
        form::REFERENCE_VERSION => {
            let key = reference::len(rest)?;
            key + text::len(&rest[key..], 1)?
        }
        _ => return None,
    };
    (rest.len() >= len).then_some(len + 1)
}
