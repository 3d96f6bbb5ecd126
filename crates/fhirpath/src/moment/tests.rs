#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn moment(text: &str) -> Moment {
    Moment::parse_date_time(text).unwrap()
}

fn written(moment: Moment) -> String {
    let mut out = String::new();
    moment.write_date_time(&mut out);
    out
}

#[test]
fn texts_are_written_as_they_were_read() {
    for text in ["2015", "2015-02", "2016-02-29", "2015-02-04T14", "2015-02-04T14:34:28.120Z", "2015-02-04T14:34:28-05:30"] {
        assert_eq!(written(moment(text)), text);
    }
}

#[test]
fn what_is_no_date_is_none() {
    for text in [
        "",
        "15",
        "0000",
        "2015-13",
        "2015-02-30",
        "2015-2-1",
        "2015T14",
        "2015-02-04T25",
        "2015-02-04T14:34:28.",
        "2015-02-04T14+1:00",
        "2015-02-04Tx",
        "2015-02-04 ",
    ] {
        assert!(Moment::parse_date_time(text).is_none(), "{text}");
    }
}

#[test]
fn order_is_unknown_where_it_hangs_on_what_is_not_stated() {
    let compare = |left: &str, right: &str| moment(left).compare(moment(right));
    assert_eq!(compare("2014", "2015-01"), Some(Ordering::Less));
    assert_eq!(compare("2015", "2015-01"), None);
    assert_eq!(compare("2015-01-01T10:00:00", "2015-01-01T10:00:00.000"), Some(Ordering::Equal));
    assert_eq!(compare("2015-01-01T10:00+02:00", "2015-01-01T09:00+01:00"), Some(Ordering::Equal));
    assert_eq!(compare("2015-01-01T10:00Z", "2015-01-01T09:00"), None);
    assert_eq!(compare("2015-01-05T10:00Z", "2015-01-01T09:00"), Some(Ordering::Greater));
}

#[test]
fn months_and_days_are_added_by_the_calendar() {
    assert_eq!(written(moment("2016-01-31").plus_months(1).unwrap()), "2016-02-29");
    assert_eq!(written(moment("2016-02-29").plus_months(12).unwrap()), "2017-02-28");
    assert_eq!(written(moment("1973-12-25").plus_nanos(7 * NANOS_A_DAY).unwrap()), "1974-01-01");
    assert!(moment("9999-12-31").plus_nanos(NANOS_A_DAY).is_none());
    assert!(moment("0001-01-01").plus_months(-1).is_none());
    assert!(moment("2000-01-01").plus_nanos(i128::from(i64::MAX) * NANOS_A_DAY).is_none());
    assert!(moment("2000-01-01").plus_months(i64::MAX).is_none());
}
