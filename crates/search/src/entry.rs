//! Index entries and the tests on them.

use fhirpool_fhir::definitions::ParameterNumber;

/// One value of one search parameter of a resource, in bytes that compare as search demands. Values are self-delimiting,
/// so that an index may put the resource's id behind them.
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first.
    pub from: Vec<u8>,
    /// The first that is too large.
    pub to: Vec<u8>,
}

/// What a parameter's value must be. Every value that passes lies in one of the ranges; one in a range passes if
/// [`ValueTest::accepts`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueTest {
    pub(crate) ranges: Vec<KeyRange>,
}

impl ValueTest {
    /// The ranges to scan, disjoint and ascending.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// Whether all values in the range of this number are one and the same, so that a scan gives ids in their order.
    pub fn is_single_value(&self, _range: usize) -> bool {
        false
    }

    /// Whether a value passes.
    pub fn accepts(&self, value: &[u8]) -> bool {
        self.ranges.iter().any(|range| range.from.as_slice() <= value && value < range.to.as_slice())
    }
}
