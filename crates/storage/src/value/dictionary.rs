//! The dictionaries that bodies are compressed with.
//!
//! Each is checked in under `dictionaries/` and never changed or removed again, for stored values name it. They hold pieces
//! of public synthetic data only; `cargo xtask dictionary` trains a new one.

use std::sync::LazyLock;

use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Names a dictionary for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DictionaryId(u8);

/// The level of compression with a dictionary: above it, a body of common size costs much more time than it saves space.
pub(super) const LEVEL: i32 = 3;

/// In the order of their numbers, from 1.
static DICTIONARIES: [&[u8]; 1] = [include_bytes!("../../dictionaries/1.zdict")];

pub(super) struct Prepared {
    pub encoder: EncoderDictionary<'static>,
    pub decoder: DecoderDictionary<'static>,
}

static PREPARED: [LazyLock<Prepared>; DICTIONARIES.len()] = [LazyLock::new(|| prepare(0))];

fn prepare(index: usize) -> Prepared {
    let dictionary = DICTIONARIES[index];
    Prepared { encoder: EncoderDictionary::copy(dictionary, LEVEL), decoder: DecoderDictionary::copy(dictionary) }
}

impl DictionaryId {
    /// No dictionary.
    pub const NONE: Self = Self(0);
    /// The one that new values are made with.
    pub const NEWEST: Self = Self(DICTIONARIES.len() as u8);

    /// The number by which a value names it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The dictionary of a number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) <= DICTIONARIES.len()).then_some(Self(number))
    }

    pub(super) fn prepared(self) -> Option<&'static Prepared> {
        usize::from(self.0).checked_sub(1).map(|index| LazyLock::force(&PREPARED[index]))
    }
}
