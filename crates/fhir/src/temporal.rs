//! Instants of the server.

#[cfg(test)]
mod tests;

/// Milliseconds since 1970-01-01T00:00:00Z: the resolution of `meta.lastUpdated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant as FHIR writes it, in UTC: `2026-11-21T08:42:52.007Z`.
    pub fn write(self, out: &mut String) {
        let days = self.0.div_euclid(86_400_000);
        let millis = self.0.rem_euclid(86_400_000) as u32;
        let (year, month, day) = civil_from_days(days);
        let mut number = |value: u32, width: u32, behind: char| {
            for place in (0..width).rev() {
                out.push(char::from(b'0' + (value / 10_u32.pow(place) % 10) as u8));
            }
            out.push(behind);
        };
        number(year.clamp(0, 9999) as u32, 4, '-');
        number(month, 2, '-');
        number(day, 2, 'T');
        number(millis / 3_600_000, 2, ':');
        number(millis / 60_000 % 60, 2, ':');
        number(millis / 1000 % 60, 2, '.');
        number(millis % 1000, 3, 'Z');
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::with_capacity(24);
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Year, month and day of a day count since 1970-01-01 in the proleptic Gregorian calendar.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_shifted + 2) / 5 + 1) as u32;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day count since 1970-01-01 of a date in the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_shifted = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * month_shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
