//! Dates (R4 search.html#date): intervals of microseconds, both ends included.
//!
//! Every interval is posted by its beginning; one longer than [`SHORT_MICROS`] by its end as well. So what ends behind some
//! moment is either found by its end, or began at most that long before.

use std::ops::RangeInclusive;

use fhirpool_fhir::DateInterval;

use super::{Accept, Comparator, form};
use crate::ValueTest;
use crate::entry::{KeyRange, successor};

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
    comparator: Comparator,
    sought: DateInterval,
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
}

/// Intervals that compare so with the sought one. [`Comparator::Approximate`] expects it widened already.
pub(crate) fn test(comparator: Comparator, sought: DateInterval) -> ValueTest {
    let DateInterval { low, high } = sought;
    let (from, to) = (i64::MIN, i64::MAX);
    let began_before_end = high.saturating_sub(SHORT_MICROS);
    let by_low = |range| bounds(form::DATE, range);
    let by_high = |range| bounds(form::DATE_BY_HIGH, range);
    let (ranges, all) = match comparator {
        Comparator::Equal => (vec![by_low(low..=high)], false),
        Comparator::NotEqual => (vec![by_low(from..=to)], false),
        Comparator::Greater => (vec![by_low(began_before_end..=to), by_high(high.saturating_add(1)..=to)], false),
        Comparator::GreaterOrEqual => (vec![by_low(began_before_end.min(low)..=to), by_high(high.saturating_add(1)..=to)], false),
        Comparator::Less => (vec![by_low(from..=low.saturating_sub(1))], true),
        Comparator::LessOrEqual => (vec![by_low(from..=high)], false),
        Comparator::StartsAfter => (vec![by_low(high.saturating_add(1)..=to)], true),
        Comparator::EndsBefore => (vec![by_low(from..=low.saturating_sub(1))], false),
        Comparator::Approximate => (vec![by_low(low.saturating_sub(SHORT_MICROS)..=high), by_high(low..=to)], false),
    };
    let accept = if all { Accept::All } else { Accept::Date(DateRule { comparator, sought }) };
    ValueTest::new(ranges, accept)
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
