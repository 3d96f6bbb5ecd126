use proptest::prelude::*;

use super::*;
use crate::Date;

#[test]
fn instants_are_written_in_utc_to_the_millisecond() {
    assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Timestamp(1_795_250_572_007).to_string(), "2026-11-21T08:42:52.007Z");
    assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
}

proptest! {
    #[test]
    fn days_come_back(days in -719_162_i64..2_932_896) {
        let (year, month, day) = civil_from_days(days);
        prop_assert_eq!(days_from_civil(year, month, day), days);
        let (next_year, next_month, next_day) = civil_from_days(days + 1);
        prop_assert!((next_year, next_month, next_day) > (year, month, day));
    }

    #[test]
    fn what_is_written_is_read_as_the_same_instant(millis in -62_135_596_800_000_i64..253_402_300_800_000) {
        let date = Date::parse(&Timestamp(millis).to_string());
        prop_assert_eq!(date.map(Date::begin), Some(Timestamp(millis)));
        prop_assert!(date.is_some_and(Date::is_instant));
    }
}
