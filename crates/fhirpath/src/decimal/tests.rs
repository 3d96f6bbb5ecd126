#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

#[test]
fn digits_are_kept_as_written() {
    for text in ["0", "1.00", "-0.50", "123456789012345678.123456789", "0.0000001"] {
        assert_eq!(decimal(text).to_string(), text);
    }
    assert_eq!(decimal("1e3").to_string(), "1000");
    assert_eq!(decimal("1.5E-2").to_string(), "0.015");
}

#[test]
fn what_is_no_decimal_or_too_long_is_none() {
    for text in ["", "-", ".5", "5.", "1e", "1.2.3", "abc", "1e99", "1e-99", "9".repeat(40).as_str(), "1e2147483648", "1e-2147483648"] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn equality_and_order_go_by_value() {
    assert_eq!(decimal("1.10"), decimal("1.1"));
    assert!(decimal("-2") < decimal("1.5"));
    assert!(decimal("99999999999999999999999999999999999999") > decimal("0.0000000000000000000000000001"));
}

#[test]
fn arithmetic_is_exact_and_checked() {
    assert_eq!(decimal("0.1").checked_add(decimal("0.2")), Some(decimal("0.3")));
    assert_eq!(decimal("1.2").checked_mul(decimal("1.8")), Some(decimal("2.16")));
    assert_eq!(decimal("4").checked_div(decimal("2")).map(|value| value.to_string()).as_deref(), Some("2"));
    assert_eq!(decimal("1").checked_div(Decimal::ZERO), None);
    assert_eq!(decimal("2.2").checked_rem(decimal("1.8")), Some(decimal("0.4")));
    let most = decimal("99999999999999999999999999999999999999");
    assert_eq!(most.checked_mul(most), None);
    assert_eq!(most.checked_add(most).and_then(|sum| sum.checked_add(sum)), None);
}

#[test]
fn rounding_goes_away_from_zero_at_halves() {
    let rounded = |text: &str, scale| decimal(text).rounded(scale).unwrap().to_string();
    assert_eq!(rounded("2.5", 0), "3");
    assert_eq!(rounded("-2.5", 0), "-3");
    assert_eq!(rounded("3.14159", 3), "3.142");
    assert_eq!(decimal("-2.1").floor(0).unwrap().to_string(), "-3");
    assert_eq!(decimal("-2.1").ceiling(0).unwrap().to_string(), "-2");
}
