//! Dates with the precision they were written in (R4 datatypes.html#dateTime, search.html#date).
//!
//! `date`, `dateTime` and `instant` of a resource and the values of a search are read by one grammar into the span of
//! time that they cover. It takes a little more than each of the three allows (a time without seconds or zone, as searches
//! have it); [`Date::is_date`], [`Date::is_date_time`] and [`Date::is_instant`] tell what R4 would take where.
//!
//! Deliberately absent: a local time zone. What has no zone is read as UTC.

use crate::Timestamp;
use crate::temporal::days_from_civil;

#[cfg(test)]
mod tests;

/// A span of time in microseconds since 1970-01-01T00:00:00Z, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateInterval {
    /// The first microsecond.
    pub low: i64,
    /// The last microsecond, not before the first.
    pub high: i64,
}

impl DateInterval {
    /// From 0001-01-01 in the zone farthest east.
    pub const MIN: i64 = -62_135_596_800_000_000 - 14 * MICROS_PER_HOUR;
    /// To the end of 9999 in the zone farthest west.
    pub const MAX: i64 = 253_402_300_800_000_000 - 1 + 14 * MICROS_PER_HOUR;

    /// Whether the other lies wholly within this.
    pub fn contains(self, other: Self) -> bool {
        self.low <= other.low && other.high <= self.high
    }

    /// Whether the two have a microsecond in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// The span from the beginning of this to the end of the other.
    pub fn to(self, end: Self) -> Self {
        Self { low: self.low, high: end.high.max(self.low) }
    }
}

impl From<Timestamp> for DateInterval {
    /// The millisecond.
    fn from(timestamp: Timestamp) -> Self {
        let low = timestamp.0.saturating_mul(1000);
        Self { low, high: low.saturating_add(999) }
    }
}

/// How much of a date was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatePrecision {
    /// `2026`
    Year,
    /// `2026-11`
    Month,
    /// `2026-11-21`
    Day,
    /// `2026-11-21T08:42` (searches only)
    Minute,
    /// `2026-11-21T08:42:52Z`
    Second,
    /// `2026-11-21T08:42:52.007Z`, with so many digits behind the point (255: or more). Those behind the sixth do not count.
    Fraction(u8),
}

/// A date as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Date {
    /// What it covers.
    pub interval: DateInterval,
    /// How much of it was written.
    pub precision: DatePrecision,
    /// The zone written, in minutes east of UTC.
    pub zone_minutes: Option<i16>,
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

impl Date {
    /// Reads a date of a resource; `None` if it breaks the grammar or names a day that is none (`2023-02-29`).
    ///
    /// Second 60 is taken wherever it stands and covers the first second of the next minute, as POSIX time has it.
    pub fn parse(text: &str) -> Option<Self> {
        Cursor { bytes: text.as_bytes(), space_is_plus: false }.date()
    }

    /// Reads a date of a search, without its prefix. A space ahead of the zone's digits is the `+` that URL decoding took.
    pub fn parse_search(text: &str) -> Option<Self> {
        Cursor { bytes: text.as_bytes(), space_is_plus: true }.date()
    }

    /// Whether R4's `date` takes it: no time of day.
    pub fn is_date(self) -> bool {
        self.precision <= DatePrecision::Day
    }

    /// Whether R4's `dateTime` takes it: a time of day has seconds and a zone.
    pub fn is_date_time(self) -> bool {
        self.is_date() || self.is_instant()
    }

    /// Whether R4's `instant` takes it: seconds and a zone.
    pub fn is_instant(self) -> bool {
        self.precision >= DatePrecision::Second && self.zone_minutes.is_some()
    }

    /// The millisecond in which it begins.
    pub fn begin(self) -> Timestamp {
        Timestamp(self.interval.low.div_euclid(1000))
    }

    /// The millisecond in which it ends.
    pub fn end(self) -> Timestamp {
        Timestamp(self.interval.high.div_euclid(1000))
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    space_is_plus: bool,
}

impl Cursor<'_> {
    fn date(mut self) -> Option<Date> {
        let year = self.digits(4)?;
        if year == 0 {
            return None;
        }
        if self.bytes.is_empty() {
            return whole_days(DatePrecision::Year, (year, 1, 1), (year + 1, 1, 1));
        }
        let month = self.part(b'-', 1, 12)?;
        if self.bytes.is_empty() {
            let next = if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
            return whole_days(DatePrecision::Month, (year, month, 1), next);
        }
        let day = self.part(b'-', 1, days_in_month(year, month))?;
        let midnight = days_from_civil(i64::from(year), month, day) * MICROS_PER_DAY;
        if self.bytes.is_empty() {
            return Some(Date { interval: span(midnight, MICROS_PER_DAY), precision: DatePrecision::Day, zone_minutes: None });
        }
        self.time_of_day(midnight)
    }

    fn time_of_day(mut self, midnight: i64) -> Option<Date> {
        let hour = self.part(b'T', 0, 23)?;
        let minute = self.part(b':', 0, 59)?;
        let mut low = midnight + i64::from(hour) * MICROS_PER_HOUR + i64::from(minute) * MICROS_PER_MINUTE;
        let (mut precision, mut width) = (DatePrecision::Minute, MICROS_PER_MINUTE);
        if self.bytes.first() == Some(&b':') {
            low += i64::from(self.part(b':', 0, 60)?) * MICROS_PER_SECOND;
            (precision, width) = (DatePrecision::Second, MICROS_PER_SECOND);
            if self.bytes.first() == Some(&b'.') {
                let (micros, digits, unit) = self.fraction()?;
                low += micros;
                (precision, width) = (DatePrecision::Fraction(digits), unit);
            }
        }
        let zone_minutes = self.zone()?;
        low -= i64::from(zone_minutes.unwrap_or(0)) * MICROS_PER_MINUTE;
        Some(Date { interval: span(low, width), precision, zone_minutes })
    }

    /// Microseconds, count of digits, and the width in microseconds of the last digit that counts.
    fn fraction(&mut self) -> Option<(i64, u8, i64)> {
        let digits = self.bytes[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let (mut micros, mut width) = (0, MICROS_PER_SECOND);
        for digit in &self.bytes[1..=digits.min(6)] {
            width /= 10;
            micros += i64::from(digit - b'0') * width;
        }
        self.bytes = &self.bytes[1 + digits..];
        Some((micros, u8::try_from(digits).unwrap_or(u8::MAX), width))
    }

    /// Everything that is left: nothing, `Z`, or an offset up to 14:00.
    fn zone(&mut self) -> Option<Option<i16>> {
        let sign = match self.bytes.first() {
            None => return Some(None),
            Some(b'Z') if self.bytes.len() == 1 => return Some(Some(0)),
            Some(b'+') => 1,
            Some(b' ') if self.space_is_plus => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.bytes = &self.bytes[1..];
        let hours = self.digits(2)?;
        let minutes = self.part(b':', 0, 59)?;
        let offset = hours * 60 + minutes;
        (offset <= 14 * 60 && self.bytes.is_empty()).then(|| Some(sign * offset as i16))
    }

    /// A separator and two digits from `least` to `greatest`.
    fn part(&mut self, separator: u8, least: u32, greatest: u32) -> Option<u32> {
        self.bytes = self.bytes.strip_prefix(&[separator])?;
        self.digits(2).filter(|value| (least..=greatest).contains(value))
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
    }
}

fn whole_days(precision: DatePrecision, from: (u32, u32, u32), to: (u32, u32, u32)) -> Option<Date> {
    let midnight = |(year, month, day): (u32, u32, u32)| days_from_civil(i64::from(year), month, day) * MICROS_PER_DAY;
    let (low, behind) = (midnight(from), midnight(to));
    Some(Date { interval: span(low, behind - low), precision, zone_minutes: None })
}

fn span(low: i64, width: i64) -> DateInterval {
    DateInterval { low, high: low + width - 1 }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
