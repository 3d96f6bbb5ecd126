//! Index entries.

use fhirpool_fhir::definitions::ParameterNumber;

/// One value of one search parameter of a resource, in bytes that compare as search demands. Values are self-delimiting (none
/// is the beginning of another), so that an index may put the resource's id behind them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexEntry {
    /// The parameter.
    pub parameter: ParameterNumber,
    /// The value, at most [`IndexEntry::VALUE_BYTES_MAX`].
    pub value: Vec<u8>,
}

impl IndexEntry {
    /// No value is longer.
    pub const VALUE_BYTES_MAX: usize = 2048;
}

/// Values from `from` (included) to `to` (excluded).
///
/// No value is the beginning of a `to`: whatever an index puts behind the values, the same bounds hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first.
    pub from: Vec<u8>,
    /// The first that is too large.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// Whether a value lies within.
    pub fn contains(&self, value: &[u8]) -> bool {
        self.from.as_slice() <= value && value < self.to.as_slice()
    }

    /// Whether values of the form may lie within.
    pub(crate) fn overlaps_form(&self, form: u8) -> bool {
        self.from.first().is_some_and(|first| *first <= form) && self.to.as_slice() > [form].as_slice()
    }

    /// Everything that begins with these bytes, of which at least one is not 255.
    pub(crate) fn prefix(prefix: Vec<u8>) -> Self {
        let to = successor(&prefix);
        Self { from: prefix, to }
    }
}

/// The first byte string behind all that begin with the prefix.
pub(crate) fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut to = prefix.to_vec();
    while to.last() == Some(&u8::MAX) {
        to.pop();
    }
    if let Some(last) = to.last_mut() {
        *last += 1;
    }
    to
}
