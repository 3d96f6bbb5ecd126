//! Dates (R4 search.html#date): intervals of microseconds, both ends included.
//!
//! Every interval is posted by its beginning; one longer than [`SHORT_MICROS`] by its end as well. So what ends behind some
//! moment is either found by its end, or began at most that long before.

use std::ops::RangeInclusive;

use fhirpool_fhir::DateInterval;

use super::{Accept, Comparator, form};
use crate::entry::{KeyRange, successor};
use crate::{Pattern, ValueTest};

/// A day with its change of clocks.
const SHORT_MICROS: i64 = 25 * 3_600_000_000;

/// Lengths that precisions give: nothing, milli-, whole second, minute, day. Stored values hold their places.
const USUAL_LENGTHS: [i64; 5] = [0, 999, 999_999, 59_999_999, 86_399_999_999];
const OTHER_LENGTH: u8 = u8::MAX;

/// Gives the values of an interval.
pub(crate) fn write(interval: DateInterval, give: &mut dyn FnMut(Vec<u8>)) {
    let DateInterval { low, high } = interval;
    let mut value = Vec::with_capacity(18);
    value.push(form::DATE);
    value.extend_from_slice(&ordered(low));
    let length = high.saturating_sub(low);
    match USUAL_LENGTHS.iter().position(|usual| *usual == length) {
        Some(place) => value.push(place as u8),
        None => {
            value.push(OTHER_LENGTH);
            value.extend_from_slice(&ordered(high));
        }
    }
    give(value);
    if length > SHORT_MICROS {
        give([&[form::DATE_BY_HIGH], ordered(high).as_slice(), &ordered(low)].concat());
    }
}

fn ordered(micros: i64) -> [u8; 8] {
    (micros as u64 ^ (1 << 63)).to_be_bytes()
}

fn micros(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?) ^ (1 << 63)) as i64)
}

/// How many bytes behind the form of [`form::DATE`] are the value.
pub(super) fn len(bytes: &[u8]) -> Option<usize> {
    Some(if *bytes.get(8)? == OTHER_LENGTH { 17 } else { 9 })
}

/// The interval of a value of [`form::DATE`]; `None` for any other value, also one that says an interval again by its end.
pub fn date_of_value(value: &[u8]) -> Option<DateInterval> {
    (value.first() == Some(&form::DATE)).then(|| read(value)).flatten()
}

fn read(value: &[u8]) -> Option<DateInterval> {
    let (form, rest) = value.split_first()?;
    let first = micros(rest)?;
    if *form == form::DATE_BY_HIGH {
        return Some(DateInterval { low: micros(&rest[8..])?, high: first });
    }
    let high = match *rest.get(8)? {
        OTHER_LENGTH => micros(&rest[9..])?,
        place => first + USUAL_LENGTHS.get(usize::from(place))?,
    };
    Some(DateInterval { low: first, high })
}

/// How an interval must compare with the sought one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DateRule {
    pub comparator: Comparator,
    pub sought: DateInterval,
}

impl DateRule {
    fn compares(&self, value: DateInterval) -> bool {
        let sought = self.sought;
        let equal = sought.contains(value);
        match self.comparator {
            Comparator::Equal => equal,
            Comparator::NotEqual => !equal,
            Comparator::Greater => value.high > sought.high,
            Comparator::Less => value.low < sought.low,
            Comparator::GreaterOrEqual => value.high > sought.high || equal,
            Comparator::LessOrEqual => value.low < sought.low || equal,
            Comparator::StartsAfter => value.low > sought.high,
            Comparator::EndsBefore => value.high < sought.low,
            Comparator::Approximate => sought.overlaps(value),
        }
    }

    pub(super) fn accepts(&self, value: &[u8]) -> bool {
        read(value).is_some_and(|interval| self.compares(interval))
    }

    /// Whether the ranges of [`test`] hold nothing else.
    pub(super) fn is_told_by_ranges(&self) -> bool {
        matches!(self.comparator, Comparator::Less | Comparator::StartsAfter)
    }
}

impl DateRule {
    /// How the values of the form are written that pass.
    pub(super) fn pattern(&self, form: u8) -> Pattern {
        let DateInterval { low, high } = self.sought;
        let (before, behind) = (low.checked_sub(1), high.checked_add(1));
        // Bounds of the beginning and of the end; what is out of reach is passed by none.
        let bounds: Vec<[Bounds; 2]> = match self.comparator {
            Comparator::Equal => vec![[(Some(low), None), (None, Some(high))]],
            Comparator::NotEqual => {
                let early = before.map(|before| [(None, Some(before)), (None, None)]);
                early.into_iter().chain(behind.map(|behind| [(None, None), (Some(behind), None)])).collect()
            }
            Comparator::Greater => behind.map(|behind| [(None, None), (Some(behind), None)]).into_iter().collect(),
            Comparator::GreaterOrEqual => {
                let equal = [(Some(low), None), (None, Some(high))];
                [equal].into_iter().chain(behind.map(|behind| [(None, None), (Some(behind), None)])).collect()
            }
            Comparator::Less => before.map(|before| [(None, Some(before)), (None, None)]).into_iter().collect(),
            Comparator::LessOrEqual => {
                let equal = [(Some(low), None), (None, Some(high))];
                [equal].into_iter().chain(before.map(|before| [(None, Some(before)), (None, None)])).collect()
            }
            Comparator::StartsAfter => behind.map(|behind| [(Some(behind), None), (None, None)]).into_iter().collect(),
            Comparator::EndsBefore => before.map(|before| [(None, None), (None, Some(before))]).into_iter().collect(),
            Comparator::Approximate => vec![[(None, Some(high)), (Some(low), None)]],
        };
        Pattern::OneOf(bounds.into_iter().flat_map(|[begin, end]| interval_patterns(form, begin, end)).collect())
    }
}

/// The least and the greatest, both included.
type Bounds = (Option<i64>, Option<i64>);

fn moment_pattern((from, to): Bounds) -> Pattern {
    let to = to.map(|to| [ordered(to).as_slice(), &[0]].concat());
    Pattern::between(Pattern::AnyBytes(8), from.map(ordered).as_ref().map(<[u8; 8]>::as_slice), to.as_deref())
}

/// Values of intervals that begin and end within the bounds.
fn interval_patterns(form: u8, begin: Bounds, end: Bounds) -> Vec<Pattern> {
    let form = Pattern::byte(form);
    if form == Pattern::byte(form::DATE_BY_HIGH) {
        return vec![Pattern::sequence([form, moment_pattern(end), moment_pattern(begin)])];
    }
    let usual = USUAL_LENGTHS.iter().enumerate().map(|(place, length)| {
        let (from, to) = (end.0.map(|from| from.saturating_sub(*length)), end.1.map(|to| to.saturating_sub(*length)));
        let to = [begin.1, to].into_iter().flatten().min();
        Pattern::sequence([form.clone(), moment_pattern((begin.0.max(from), to)), Pattern::byte(place as u8)])
    });
    let other = Pattern::sequence([form.clone(), moment_pattern(begin), Pattern::byte(OTHER_LENGTH), moment_pattern(end)]);
    usual.chain([other]).collect()
}

/// How a value of [`form::DATE`] goes on behind the form.
pub(super) fn value_pattern() -> Pattern {
    let usual = (0..USUAL_LENGTHS.len()).map(|place| Pattern::byte(place as u8));
    let other = Pattern::sequence([Pattern::byte(OTHER_LENGTH), Pattern::AnyBytes(8)]);
    Pattern::sequence([Pattern::AnyBytes(8), Pattern::OneOf(usual.chain([other]).collect())])
}

/// Intervals that compare so with the sought one. [`Comparator::Approximate`] expects it widened already.
pub(crate) fn test(comparator: Comparator, sought: DateInterval) -> ValueTest {
    let DateInterval { low, high } = sought;
    let (from, to) = (i64::MIN, i64::MAX);
    let began_before_end = high.saturating_sub(SHORT_MICROS);
    let by_low = |range| bounds(form::DATE, range);
    let by_high = |range| bounds(form::DATE_BY_HIGH, range);
    let ranges = match comparator {
        Comparator::Equal => vec![by_low(low..=high)],
        Comparator::NotEqual => vec![by_low(from..=to)],
        Comparator::Greater => vec![by_low(began_before_end..=to), by_high(high.saturating_add(1)..=to)],
        Comparator::GreaterOrEqual => vec![by_low(began_before_end.min(low)..=to), by_high(high.saturating_add(1)..=to)],
        Comparator::Less => vec![by_low(from..=low.saturating_sub(1))],
        Comparator::LessOrEqual => vec![by_low(from..=high)],
        Comparator::StartsAfter => vec![by_low(high.saturating_add(1)..=to)],
        Comparator::EndsBefore => vec![by_low(from..=low.saturating_sub(1))],
        Comparator::Approximate => vec![by_low(low.saturating_sub(SHORT_MICROS)..=high), by_high(low..=to)],
    };
    ValueTest::new(ranges, Accept::Date(DateRule { comparator, sought }))
}

fn bounds(form: u8, range: RangeInclusive<i64>) -> KeyRange {
    let at = |micros| [&[form], ordered(micros).as_slice()].concat();
    KeyRange { from: at(*range.start()), to: successor(&at(*range.end())) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_fhir::Date;

    use super::*;

    fn interval(text: &str) -> DateInterval {
        match text.split_once("..") {
            None => Date::parse(text).unwrap().interval,
            Some((low, high)) => DateInterval {
                low: if low.is_empty() { DateInterval::MIN } else { interval(low).low },
                high: if high.is_empty() { DateInterval::MAX } else { interval(high).high },
            },
        }
    }

    fn values(interval: DateInterval) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        write(interval, &mut |value| values.push(value));
        values
    }

    const ALL: [Comparator; 9] = [
        Comparator::Equal,
        Comparator::NotEqual,
        Comparator::Greater,
        Comparator::Less,
        Comparator::GreaterOrEqual,
        Comparator::LessOrEqual,
        Comparator::StartsAfter,
        Comparator::EndsBefore,
        Comparator::Approximate,
    ];

    #[test]
    fn the_postings_find_just_what_the_comparison_takes() {
        let texts = [
            "2013",
            "2013-01",
            "2013-01-14",
            "2013-01-13",
            "2013-01-15",
            "2013-01-14T10:00:00Z",
            "2013-01-14T23:59:59.999Z",
            "2013-01-15T00:00:00Z",
            "2013-01-14..2013-01-15",
            "2013-01-01..2013-01-14",
            "2013-01-14..",
            "..2013-01-14",
            "2012-12-31..",
            "..2013-02-01",
            "..",
            "1950-06",
            "2013-01-14T00:00:00Z..2013-01-14T05:00:00Z",
        ];
        for sought in texts.map(interval) {
            for comparator in ALL {
                let rule = DateRule { comparator, sought };
                let test = test(comparator, sought);
                for value in texts.map(interval) {
                    let found = values(value).iter().any(|value| test.accepts(value));
                    assert_eq!(found, rule.compares(value), "{comparator:?} {sought:?} {value:?}");
                    for bytes in values(value) {
                        assert_eq!(test.pattern().matches(&bytes), test.accepts(&bytes), "{comparator:?} {sought:?} {value:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_order_by_beginning_and_are_read_back() {
        for text in ["2013", "1890-01-01..", "2013-01-14T10:00:00.123Z", "2013-01-14"] {
            for value in values(interval(text)) {
                assert_eq!(read(&value), Some(interval(text)), "{text}");
                assert_eq!(crate::value::value_len(&value), Some(value.len()));
            }
        }
        assert!(values(interval("1969-12-31T23:59:59Z")) < values(interval("1970-01-01T00:00:00Z")));
    }
}
