#![expect(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a decimal"))
}

fn ordered(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    decimal(text).write_ordered(&mut out);
    assert_eq!(Decimal::ordered_len(&out), Some(out.len()), "{text}");
    assert!(out.len() <= Decimal::ORDERED_BYTES_MAX);
    out
}

fn assert_range((low, high): (Decimal, Decimal), expected_low: &str, expected_high: &str) {
    assert_eq!(low.compare(&decimal(expected_low)), Ordering::Equal, "{low:?} is not {expected_low}");
    assert_eq!(high.compare(&decimal(expected_high)), Ordering::Equal, "{high:?} is not {expected_high}");
}

#[test]
fn values_compare_exactly() {
    let ascending = [
        "-1e999999999",
        "-100.1",
        "-100",
        "-1",
        "-0.5",
        "-0.05",
        "-1e-999999999",
        "0",
        "1e-999999999",
        "0.05",
        "0.1",
        "0.10000000000000000001",
        "0.5",
        "1",
        "9",
        "10",
        "99.99",
        "100",
        "100.0001",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1e400",
        "1e999999998",
        "1e999999999",
    ];
    for (one, text) in ascending.iter().enumerate() {
        for (two, other) in ascending.iter().enumerate() {
            assert_eq!(decimal(text).compare(&decimal(other)), one.cmp(&two), "{text} and {other}");
        }
    }
}

#[test]
fn precision_does_not_change_the_value() {
    for (one, other) in [("1", "1.00"), ("100", "1e2"), ("0", "-0.000"), ("0.0", "0e5"), ("1E+2", "100.0"), ("5e-1", "0.50")] {
        assert_eq!(decimal(one).compare(&decimal(other)), Ordering::Equal, "{one} and {other}");
        assert_eq!(ordered(one), ordered(other), "{one} and {other}");
    }
}

#[test]
fn the_implicit_range_is_half_a_unit_either_way() {
    assert_range(decimal("5.40").implicit_range(), "5.395", "5.405");
    assert_range(decimal("100").implicit_range(), "99.5", "100.5");
    assert_range(decimal("100.00").implicit_range(), "99.995", "100.005");
    assert_range(decimal("1e2").implicit_range(), "95", "105");
    assert_range(decimal("1.0e2").implicit_range(), "95", "105");
    assert_range(decimal("5.4e-3").implicit_range(), "0.00535", "0.00545");
    assert_range(decimal("0").implicit_range(), "-0.5", "0.5");
    assert_range(decimal("0.00").implicit_range(), "-0.005", "0.005");
    assert_range(decimal("-1.0").implicit_range(), "-1.05", "-0.95");
    assert_range(decimal("1").implicit_range(), "0.5", "1.5");
    assert_range(decimal("10").implicit_range(), "9.5", "10.5");
}

#[test]
fn the_approximate_range_is_a_tenth_either_way() {
    assert_range(decimal("100").approximate_range(), "90", "110");
    assert_range(decimal("-5.0").approximate_range(), "-5.5", "-4.5");
    assert_range(decimal("0").approximate_range(), "0", "0");
    assert_range(decimal("99").approximate_range(), "89.1", "108.9");
}

#[test]
fn floats_are_the_nearest() {
    for text in ["0", "1", "-1.5", "0.1", "123456.789", "1e308", "4.9e-324", "9007199254740993", "2.2250738585072014e-308"] {
        assert_eq!(decimal(text).to_f64(), text.parse::<f64>().unwrap(), "{text}");
    }
    assert_eq!(decimal("1e999999999").to_f64(), f64::INFINITY);
    assert_eq!(decimal("-1e999999999999999999999").to_f64(), f64::NEG_INFINITY);
    assert_eq!(decimal("1e-999999999").to_f64(), 0.0);
}

#[test]
fn what_is_no_decimal_is_refused() {
    for text in
        ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "e5", "1,5", " 1", "1 ", "0x10", "NaN", "1.5.5", "1e5e5", "--1", "１", "1e1.5"]
    {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn hostile_numbers_cost_no_more_than_their_text() {
    let long = format!("0.{}1e-99999999999999999999999999999999", "0".repeat(1_000_000));
    let number = decimal(&long);
    assert_eq!(number.compare(&decimal("0")), Ordering::Greater);
    assert_eq!(number.to_f64(), 0.0);
    let digits = decimal(&"9".repeat(1_000_000));
    assert_range(digits.implicit_range(), &format!("{}.5", "9".repeat(999_999) + "8"), &format!("{}.5", "9".repeat(1_000_000)));
    assert_eq!(ordered(&"9".repeat(1_000_000)).len(), 4, "beyond every power");
    assert_eq!(ordered(&"9".repeat(1000)).len(), Decimal::ORDERED_BYTES_MAX);
}

#[test]
fn powers_beyond_the_bounds_are_written_alike_and_in_order() {
    assert_eq!(ordered("1e999999999"), ordered("9e99999"));
    assert!(ordered("9e31998") < ordered("1e999999999"));
    assert!(ordered("0") < ordered("1e-999999999"));
    assert!(ordered("1e-999999999") < ordered("1e-31999"));
    assert!(ordered("-1e999999999") < ordered("-9e31998"));
}

#[test]
fn integers_are_decimals() {
    for value in [0, 1, -1, 10, i64::MAX, i64::MIN] {
        assert_eq!(Decimal::from_integer(value).compare(&decimal(&value.to_string())), Ordering::Equal);
    }
}

proptest! {
    #[test]
    fn ordered_bytes_and_floats_keep_the_order(
        one in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
        other in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
    ) {
        let order = decimal(&one).compare(&decimal(&other));
        prop_assert_eq!(ordered(&one).cmp(&ordered(&other)), order);
        let floats = decimal(&one).to_f64().partial_cmp(&decimal(&other).to_f64()).unwrap();
        prop_assert!(floats == order || floats == Ordering::Equal);
        prop_assert_eq!(decimal(&one).to_f64(), one.parse::<f64>().unwrap());
    }

    #[test]
    fn the_implicit_range_holds_the_value(text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?") {
        let (low, high) = decimal(&text).implicit_range();
        prop_assert_eq!(low.compare(&decimal(&text)), Ordering::Less);
        prop_assert_eq!(high.compare(&decimal(&text)), Ordering::Greater);
    }

    #[test]
    fn any_bytes_may_be_asked_for_their_length(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Some(length) = Decimal::ordered_len(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }
}
