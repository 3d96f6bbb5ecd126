//! Dates, date-times and times of day, each to the precision it was written with (FHIRPath N1, 5.6 and 6.1–6.3).

use std::cmp::Ordering;

use fhirpool_fhir::Timestamp;
use fhirpool_fhir::temporal::{civil_from_days, days_from_civil};

/// The finest component a [`Moment`] states. FHIRPath takes seconds and their fraction as one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// A year.
    Year,
    /// A month.
    Month,
    /// A day.
    Day,
    /// An hour.
    Hour,
    /// A minute.
    Minute,
    /// A second.
    Second,
    /// A fraction of a second.
    Fraction,
}

/// A date, date-time or time of day. What lies beyond `precision` is at its least value; a time of day has the date 0001-01-01.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Nanoseconds behind the second; digits written beyond are cut.
    pub nanosecond: u32,
    /// How many digits of the fraction were written, at most 9.
    pub fraction_digits: u8,
    /// What was stated.
    pub precision: Precision,
    /// Offset from UTC in minutes, where stated.
    pub offset_minutes: Option<i16>,
}

const NANOS_A_SECOND: i128 = 1_000_000_000;
const NANOS_A_DAY: i128 = 86_400 * NANOS_A_SECOND;
/// Offsets run from -12:00 to +14:00: two local times further apart than this are ordered whatever their offsets.
const OFFSET_SPAN_NANOS: i128 = 26 * 3600 * NANOS_A_SECOND;

pub(crate) fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads from the front of a text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn number(&mut self, digits: usize, range: std::ops::RangeInclusive<u16>) -> Option<u16> {
        let text = self.0.get(..digits)?;
        let mut value = 0;
        for byte in text {
            value = value * 10 + u16::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        self.0 = &self.0[digits..];
        range.contains(&value).then_some(value)
    }

    fn pair(&mut self, max: u16) -> Option<u8> {
        self.number(2, 0..=max).map(|value| value as u8)
    }
}

impl Moment {
    const START: Self = Self {
        year: 1,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        fraction_digits: 0,
        precision: Precision::Year,
        offset_minutes: None,
    };

    /// Reads `2015`, `2015-02` or `2015-02-04`.
    pub fn parse_date(text: &str) -> Option<Self> {
        let mut cursor = Cursor(text.as_bytes());
        let moment = Self::START.read_date(&mut cursor)?;
        cursor.0.is_empty().then_some(moment)
    }

    /// Reads a date, perhaps with `T` and a time to any precision (`T14`, `T14:34:28.123`) and `Z` or an offset; also a lone `T`.
    pub fn parse_date_time(text: &str) -> Option<Self> {
        let mut cursor = Cursor(text.as_bytes());
        let mut moment = Self::START.read_date(&mut cursor)?;
        if !cursor.eat(b'T') {
            return cursor.0.is_empty().then_some(moment);
        }
        if cursor.0.is_empty() {
            return Some(moment);
        }
        if moment.precision < Precision::Day {
            return None;
        }
        moment = moment.read_time(&mut cursor)?;
        if cursor.eat(b'Z') {
            moment.offset_minutes = Some(0);
        } else if let Some(&sign @ (b'+' | b'-')) = cursor.0.first() {
            cursor.0 = &cursor.0[1..];
            let hours = i16::from(cursor.pair(14)?);
            let minutes = if cursor.eat(b':') { i16::from(cursor.pair(59)?) } else { return None };
            let offset = hours * 60 + minutes;
            moment.offset_minutes = Some(if sign == b'-' { -offset } else { offset });
        }
        cursor.0.is_empty().then_some(moment)
    }

    /// Reads `14`, `14:34`, `14:34:28` or `14:34:28.123`.
    pub fn parse_time(text: &str) -> Option<Self> {
        let mut cursor = Cursor(text.as_bytes());
        let moment = Self::START.read_time(&mut cursor)?;
        cursor.0.is_empty().then_some(moment)
    }

    fn read_date(mut self, cursor: &mut Cursor<'_>) -> Option<Self> {
        self.year = cursor.number(4, 1..=9999)?;
        if cursor.eat(b'-') {
            self.month = cursor.number(2, 1..=12)? as u8;
            self.precision = Precision::Month;
            if cursor.eat(b'-') {
                self.day = cursor.number(2, 1..=u16::from(days_in_month(self.year, self.month)))? as u8;
                self.precision = Precision::Day;
            }
        }
        Some(self)
    }

    fn read_time(mut self, cursor: &mut Cursor<'_>) -> Option<Self> {
        self.hour = cursor.pair(23)?;
        self.precision = Precision::Hour;
        if !cursor.eat(b':') {
            return Some(self);
        }
        self.minute = cursor.pair(59)?;
        self.precision = Precision::Minute;
        if !cursor.eat(b':') {
            return Some(self);
        }
        // A leap second (60) is read as the last second of its minute.
        self.second = cursor.pair(60)?.min(59);
        self.precision = Precision::Second;
        if !cursor.eat(b'.') {
            return Some(self);
        }
        let digits = cursor.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for place in 0..9 {
            let digit = if place < digits { cursor.0[place] - b'0' } else { 0 };
            self.nanosecond = self.nanosecond * 10 + u32::from(digit);
        }
        cursor.0 = &cursor.0[digits..];
        self.fraction_digits = digits.min(9) as u8;
        self.precision = Precision::Fraction;
        Some(self)
    }

    /// An instant in UTC, to the millisecond.
    pub fn from_timestamp(now: Timestamp) -> Self {
        let nanos = i128::from(now.0) * 1_000_000;
        let moment = Self { precision: Precision::Fraction, fraction_digits: 3, offset_minutes: Some(0), ..Self::START };
        moment.at_nanos(nanos).unwrap_or(moment)
    }

    /// The calendar day alone.
    pub fn date(self) -> Self {
        let kept = Self { year: self.year, month: self.month, day: self.day, ..Self::START };
        Self { precision: self.precision.min(Precision::Day), ..kept }
    }

    /// The time of day alone; `None` for a mere date.
    pub fn time(self) -> Option<Self> {
        let time = Self { year: 1, month: 1, day: 1, offset_minutes: None, ..self };
        (self.precision > Precision::Day).then_some(time)
    }

    /// Nanoseconds since 1970-01-01T00:00 of the place the offset is for.
    fn local_nanos(self) -> i128 {
        let days = days_from_civil(i64::from(self.year), u32::from(self.month), u32::from(self.day));
        let seconds = i128::from(self.hour) * 3600 + i128::from(self.minute) * 60 + i128::from(self.second);
        i128::from(days) * NANOS_A_DAY + seconds * NANOS_A_SECOND + i128::from(self.nanosecond)
    }

    /// The moment with its components taken from a count of nanoseconds; `None` outside the years 1 to 9999.
    fn at_nanos(self, nanos: i128) -> Option<Self> {
        // Days before the year -1 and after the year 10,000 are out of question before they are counted.
        let days = i64::try_from(nanos.div_euclid(NANOS_A_DAY)).ok().filter(|days| (-720_000..=2_940_000).contains(days))?;
        let of_day = nanos.rem_euclid(NANOS_A_DAY);
        let (year, month, day) = civil_from_days(days);
        if !(1..=9999).contains(&year) {
            return None;
        }
        let seconds = (of_day / NANOS_A_SECOND) as u32;
        Some(Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            nanosecond: (of_day % NANOS_A_SECOND) as u32,
            ..self
        })
    }

    fn in_utc(self) -> Option<Self> {
        let Some(offset) = self.offset_minutes else { return Some(self) };
        self.at_nanos(self.local_nanos() - i128::from(offset) * 60 * NANOS_A_SECOND)
    }

    /// The order, component by component from the year on; `None` where it hangs on a component that one does not state,
    /// or on an offset that one does not state.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        let timed = self.precision > Precision::Day && other.precision > Precision::Day;
        if !timed {
            return self.compare_components(other);
        }
        match (self.offset_minutes, other.offset_minutes) {
            (Some(_), Some(_)) => self.in_utc()?.compare_components(other.in_utc()?),
            (None, None) => self.compare_components(other),
            _ => {
                let apart = self.local_nanos() - other.local_nanos();
                (apart.abs() > OFFSET_SPAN_NANOS).then(|| apart.cmp(&0))
            }
        }
    }

    fn compare_components(self, other: Self) -> Option<Ordering> {
        let components = |moment: Self| {
            let seconds = u64::from(moment.second) * NANOS_A_SECOND as u64 + u64::from(moment.nanosecond);
            let date = [u64::from(moment.year), u64::from(moment.month), u64::from(moment.day)];
            [date[0], date[1], date[2], u64::from(moment.hour), u64::from(moment.minute), seconds]
        };
        let last = |moment: Self| moment.precision.min(Precision::Second) as usize;
        let common = last(self).min(last(other));
        match components(self)[..=common].cmp(&components(other)[..=common]) {
            Ordering::Equal if last(self) != last(other) => None,
            order => Some(order),
        }
    }

    /// The moment so many months later; a day that the month lacks becomes its last. `None` outside the years 1 to 9999.
    pub fn plus_months(self, months: i64) -> Option<Self> {
        let count = (i64::from(self.year) * 12 + i64::from(self.month) - 1).checked_add(months)?;
        let year = u16::try_from(count.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        let month = count.rem_euclid(12) as u8 + 1;
        Some(Self { year, month, day: self.day.min(days_in_month(year, month)), ..self })
    }

    /// The moment so many nanoseconds later; `None` outside the years 1 to 9999.
    pub fn plus_nanos(self, nanos: i128) -> Option<Self> {
        self.at_nanos(self.local_nanos().checked_add(nanos)?)
    }

    /// The time of day so many nanoseconds later, past midnight from the start.
    pub fn plus_nanos_wrapping(self, nanos: i128) -> Option<Self> {
        let start = Self { year: 1, month: 1, day: 1, ..self };
        let of_day = self.local_nanos().rem_euclid(NANOS_A_DAY).checked_add(nanos)?.rem_euclid(NANOS_A_DAY);
        Some(Self { year: 1, month: 1, day: 1, ..start.at_nanos(of_day)? })
    }

    /// The moment with the precision cut or widened; widened components take their least value.
    pub fn at_precision(self, precision: Precision) -> Self {
        let cut = |least: Precision, value: u8, empty: u8| if precision >= least { value } else { empty };
        Self {
            year: self.year,
            month: cut(Precision::Month, self.month, 1),
            day: cut(Precision::Day, self.day, 1),
            hour: cut(Precision::Hour, self.hour, 0),
            minute: cut(Precision::Minute, self.minute, 0),
            second: cut(Precision::Second, self.second, 0),
            nanosecond: if precision >= Precision::Fraction { self.nanosecond } else { 0 },
            fraction_digits: if precision >= Precision::Fraction { self.fraction_digits.max(3) } else { 0 },
            offset_minutes: if precision > Precision::Day { self.offset_minutes } else { None },
            precision,
        }
    }

    /// The moment cut to another's precision.
    pub(crate) fn at_precision_of(self, other: Self) -> Self {
        Self { fraction_digits: other.fraction_digits, ..self.at_precision(other.precision) }
    }

    /// Appends the date as far as stated: `2015-02-04`.
    pub fn write_date(self, out: &mut String) {
        use std::fmt::Write;
        let _ = write!(out, "{:04}", self.year);
        if self.precision >= Precision::Month {
            let _ = write!(out, "-{:02}", self.month);
        }
        if self.precision >= Precision::Day {
            let _ = write!(out, "-{:02}", self.day);
        }
    }

    /// Appends the time of day as far as stated: `14:34:28.123`.
    pub fn write_time(self, out: &mut String) {
        use std::fmt::Write;
        let _ = write!(out, "{:02}", self.hour);
        if self.precision >= Precision::Minute {
            let _ = write!(out, ":{:02}", self.minute);
        }
        if self.precision >= Precision::Second {
            let _ = write!(out, ":{:02}", self.second);
        }
        if self.precision >= Precision::Fraction {
            let digits = format!("{:09}", self.nanosecond);
            out.push('.');
            out.push_str(&digits[..usize::from(self.fraction_digits)]);
        }
    }

    /// Appends date, time and offset as far as stated.
    pub fn write_date_time(self, out: &mut String) {
        use std::fmt::Write;
        self.write_date(out);
        if self.precision > Precision::Day {
            out.push('T');
            self.write_time(out);
        }
        match self.offset_minutes {
            None => {}
            Some(0) => out.push('Z'),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.unsigned_abs();
                let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            }
        }
    }
}

#[cfg(test)]
mod tests;
