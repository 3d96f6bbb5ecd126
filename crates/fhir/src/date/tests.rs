#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn span_of(text: &str) -> (String, String) {
    let date = Date::parse(text).unwrap_or_else(|| panic!("{text} is a date"));
    let micros = |micros: i64| format!("{}+{}", Timestamp(micros.div_euclid(1000)), micros.rem_euclid(1000));
    (micros(date.interval.low), micros(date.interval.high))
}

fn assert_span(text: &str, low: &str, high: &str) {
    assert_eq!(span_of(text), (low.to_owned(), high.to_owned()), "{text}");
}

#[test]
fn a_date_covers_all_that_its_precision_leaves_open() {
    assert_span("2024", "2024-01-01T00:00:00.000Z+0", "2024-12-31T23:59:59.999Z+999");
    assert_span("2024-02", "2024-02-01T00:00:00.000Z+0", "2024-02-29T23:59:59.999Z+999");
    assert_span("2023-12", "2023-12-01T00:00:00.000Z+0", "2023-12-31T23:59:59.999Z+999");
    assert_span("2024-02-29", "2024-02-29T00:00:00.000Z+0", "2024-02-29T23:59:59.999Z+999");
    assert_span("2024-02-29T10:11", "2024-02-29T10:11:00.000Z+0", "2024-02-29T10:11:59.999Z+999");
    assert_span("2024-02-29T10:11:12Z", "2024-02-29T10:11:12.000Z+0", "2024-02-29T10:11:12.999Z+999");
    assert_span("2024-02-29T10:11:12.3Z", "2024-02-29T10:11:12.300Z+0", "2024-02-29T10:11:12.399Z+999");
    assert_span("2024-02-29T10:11:12.345Z", "2024-02-29T10:11:12.345Z+0", "2024-02-29T10:11:12.345Z+999");
    assert_span("2024-02-29T10:11:12.3456789Z", "2024-02-29T10:11:12.345Z+678", "2024-02-29T10:11:12.345Z+678");
}

#[test]
fn a_zone_moves_the_span() {
    assert_span("2024-03-01T01:00:00+02:30", "2024-02-29T22:30:00.000Z+0", "2024-02-29T22:30:00.999Z+999");
    assert_span("2024-02-29T23:00:00-05:00", "2024-03-01T04:00:00.000Z+0", "2024-03-01T04:00:00.999Z+999");
    assert_eq!(Date::parse("2024-02-29T23:00:00-05:00").unwrap().zone_minutes, Some(-300));
    assert_eq!(Date::parse("2024-02-29T23:00:00Z").unwrap().zone_minutes, Some(0));
    assert_eq!(Date::parse("2024-02-29T23:00:00").unwrap().zone_minutes, None);
    assert_eq!(Date::parse("2024-02-29T23:00:00").unwrap().interval, Date::parse("2024-02-29T23:00:00Z").unwrap().interval);
}

#[test]
fn the_extremes_fit() {
    assert_eq!(Date::parse("0001-01-01T00:00:00+14:00").unwrap().interval.low, DateInterval::MIN);
    assert_eq!(Date::parse("9999-12-31T23:59:59.999999-14:00").unwrap().interval.high, DateInterval::MAX);
    assert_span("9999", "9999-01-01T00:00:00.000Z+0", "9999-12-31T23:59:59.999Z+999");
}

#[test]
fn a_leap_second_is_the_first_second_of_the_next_minute() {
    assert_span("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z+0", "2017-01-01T00:00:00.999Z+999");
}

#[test]
fn a_search_may_have_lost_its_plus() {
    assert_eq!(Date::parse_search("2024-02-29T10:00:00 02:00"), Date::parse("2024-02-29T10:00:00+02:00"));
    assert_eq!(Date::parse("2024-02-29T10:00:00 02:00"), None);
    assert_eq!(Date::parse_search("2024-02-29 10:00:00"), None);
}

#[test]
fn the_types_of_r4_are_told_apart() {
    let types = |text: &str| {
        let date = Date::parse(text).unwrap();
        (date.is_date(), date.is_date_time(), date.is_instant())
    };
    assert_eq!(types("2024"), (true, true, false));
    assert_eq!(types("2024-01-01"), (true, true, false));
    assert_eq!(types("2024-01-01T10:00"), (false, false, false));
    assert_eq!(types("2024-01-01T10:00:00"), (false, false, false));
    assert_eq!(types("2024-01-01T10:00Z"), (false, false, false));
    assert_eq!(types("2024-01-01T10:00:00Z"), (false, true, true));
    assert_eq!(types("2024-01-01T10:00:00.123+01:00"), (false, true, true));
}

#[test]
fn what_is_no_date_is_refused() {
    let refused = [
        "",
        "2",
        "202",
        "20245",
        "0000",
        "0000-01-01",
        "2024-",
        "2024-1",
        "2024-00",
        "2024-13",
        "2024-01-",
        "2024-01-00",
        "2024-01-32",
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "2024-01-01T",
        "2024-01-01T10",
        "2024-01-01T24:00",
        "2024-01-01T10:60",
        "2024-01-01T10:00:61Z",
        "2024-01-01T10:00:00.Z",
        "2024-01-01T10:00:00z",
        "2024-01-01t10:00:00Z",
        "2024-01-01T10:00:00+14:01",
        "2024-01-01T10:00:00+1:00",
        "2024-01-01T10:00:00+01:60",
        "2024-01-01T10:00:00+01:00Z",
        "2024-01-01T10:00:00ZZ",
        "2024-01-01Z",
        "-2024",
        "+2024",
        "２０２４",
        "2024-01-01T10:00:00+",
        "2024é",
        "yesterday",
    ];
    for text in refused {
        assert_eq!(Date::parse(text), None, "{text}");
        assert_eq!(Date::parse_search(text), None, "{text}");
    }
}

#[test]
fn a_fraction_may_be_of_any_length() {
    let text = format!("2024-01-01T10:00:00.{}Z", "9".repeat(100_000));
    let date = Date::parse(&text).unwrap();
    assert_eq!(date.precision, DatePrecision::Fraction(255));
    assert_eq!(date.interval.low, date.interval.high);
}

#[test]
fn spans_compare() {
    let of = |text: &str| Date::parse(text).unwrap().interval;
    assert!(of("2024").contains(of("2024-05")));
    assert!(!of("2024-05").contains(of("2024")));
    assert!(of("2024-05").overlaps(of("2024")));
    assert!(!of("2024").overlaps(of("2025")));
    assert_eq!(of("2024").to(of("2025")), DateInterval { low: of("2024").low, high: of("2025").high });
    assert_eq!(DateInterval::from(Timestamp(5)), DateInterval { low: 5000, high: 5999 });
}
