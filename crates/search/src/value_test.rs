//! Tests on values.

use fhirpool_fhir::{DateInterval, Decimal, ResourceKey};

use crate::Pattern;
use crate::entry::KeyRange;
use crate::value::{Accept, Comparator, date, form, number, reference, string, token, uri};

/// What a parameter's value must be. Every value that passes lies in one of the ranges; one in a range passes if
/// [`ValueTest::accepts`] says so. A test never needs the resource itself: long texts carry a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueTest {
    ranges: Vec<KeyRange>,
    /// The ranges are those of one whole value each.
    single: bool,
    accept: Accept,
}

impl ValueTest {
    /// The ranges to scan, disjoint and ascending.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// Whether all values in the range of this number are one and the same, so that a scan gives ids in their order. That
    /// value is then [`KeyRange::from`], and it passes.
    pub fn is_single_value(&self, _range: usize) -> bool {
        self.single
    }

    /// Whether every value in the ranges passes, so that [`ValueTest::accepts`] need not be asked.
    pub fn accepts_all_in_ranges(&self) -> bool {
        self.accept.is_told_by_ranges()
    }

    /// Whether a value passes. Values outside of the ranges do not.
    pub fn accepts(&self, value: &[u8]) -> bool {
        let behind = self.ranges.partition_point(|range| range.from.as_slice() <= value);
        let in_range = behind.checked_sub(1).is_some_and(|index| value < self.ranges[index].to.as_slice());
        in_range && self.accept.accepts(value)
    }

    /// What an index must know to find what passes without asking.
    pub fn rule(&self) -> Rule<'_> {
        match &self.accept {
            Accept::Date(rule) => Rule::Dates { comparator: rule.comparator, sought: rule.sought },
            _ if self.single => Rule::Values,
            accept if accept.is_told_by_ranges() => Rule::Ranges,
            Accept::System(systems) => Rule::Systems(systems),
            _ => Rule::Pattern(self.pattern()),
        }
    }

    /// How the values are written that pass.
    pub fn pattern(&self) -> Pattern {
        if self.single {
            return Pattern::OneOf(self.ranges.iter().map(|range| Pattern::Bytes(range.from.clone())).collect());
        }
        if let Accept::Composite(_) = self.accept {
            // The components have ranges of their own.
            return self.accept.pattern(form::COMPOSITE);
        }
        let patterns = self.ranges.iter().flat_map(|range| {
            let forms = form::ALL.iter().filter(|form| range.overlaps_form(**form));
            forms.map(|form| Pattern::between(self.accept.pattern(*form), Some(&range.from), Some(&range.to)))
        });
        Pattern::OneOf(patterns.collect())
    }

    /// A test that each value in the ranges passes which the rule takes.
    pub(crate) fn new(ranges: impl IntoIterator<Item = KeyRange>, accept: Accept) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| range.from < range.to).collect();
        ranges.sort_unstable_by(|one, other| one.from.cmp(&other.from));
        ranges.dedup_by(|next, kept| {
            let overlaps = next.from <= kept.to;
            if overlaps && next.to > kept.to {
                kept.to = std::mem::take(&mut next.to);
            }
            overlaps
        });
        Self { ranges, single: false, accept }
    }

    /// Fewer tests of which a value passes one just when it passes one of these.
    pub(crate) fn merge(tests: Vec<Self>) -> Vec<Self> {
        let (single, mut others): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| test.single);
        if !single.is_empty() {
            let mut ranges: Vec<_> = single.into_iter().flat_map(|test| test.ranges).collect();
            ranges.sort_unstable_by(|one, other| one.from.cmp(&other.from));
            ranges.dedup();
            others.push(Self { ranges, single: true, accept: Accept::All });
        }
        others
    }

    /// A test that just these values pass.
    pub(crate) fn values(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut ranges: Vec<_> = values.into_iter().map(KeyRange::prefix).collect();
        ranges.sort_unstable_by(|one, other| one.from.cmp(&other.from));
        ranges.dedup();
        Self { ranges, single: true, accept: Accept::All }
    }
}

/// What a [`ValueTest`] comes down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule<'a> {
    /// It is one of [`KeyRange::from`] of the ranges.
    Values,
    /// It is in one of the ranges.
    Ranges,
    /// It is a date that compares so; what [`date_of_value`](crate::date_of_value) gives tells as much as the ranges.
    Dates {
        /// How.
        comparator: Comparator,
        /// With what.
        sought: DateInterval,
    },
    /// It is of the form of the ranges and [`system_of_value`](crate::system_of_value) is one of these.
    Systems(&'a [Vec<u8>]),
    /// It is written so.
    Pattern(Pattern),
}

/// For who makes tests without a query.
impl ValueTest {
    /// References to one of these resources of this server.
    pub fn references_to<'a>(keys: impl IntoIterator<Item = &'a ResourceKey>) -> Self {
        reference::local_test(keys)
    }

    /// Canonical references to this URL, in whatever version or (`Some`) in this one.
    pub fn canonicals_to(url: &str, version: Option<&str>) -> Self {
        match version {
            Some(version) => reference::canonical_test(url, version),
            None => reference::url_test(url, None),
        }
    }

    /// This code, of this system (empty: none) or of any.
    pub fn token(system: Option<&str>, code: &str) -> Self {
        token::test(token::Sought { system, code: Some(code), implied: false })
    }

    /// Text that is this, case and accents included.
    pub fn text(exact: &str) -> Self {
        string::exact(exact)
    }

    /// This URI.
    pub fn uri(uri: &str) -> Self {
        uri::test(uri)
    }

    /// Dates that compare so; for [`Comparator::Approximate`] widen the interval first.
    pub fn date(comparator: Comparator, sought: DateInterval) -> Self {
        date::test(comparator, sought)
    }

    /// Numbers that compare so.
    pub fn number(comparator: Comparator, sought: &Decimal) -> Self {
        number::test(comparator, sought, None)
    }
}
