//! Decimals with the precision they were written in (R4 datatypes.html#decimal, search.html#number).
//!
//! Exact, whatever the length: digits are kept as digits, and no cost grows with an exponent. Exponents saturate at
//! ±10^15, where nothing measured lives.
//!
//! Deliberately absent: arithmetic beyond what a search needs.

use std::cmp::Ordering;

mod ordered;

#[cfg(test)]
mod tests;

/// A decimal number as it was written: `digits × 10^exponent`. Trailing zeros are its precision and do not count when
/// values compare ([`Decimal::compare`]), so there is no `==`.
#[derive(Debug, Clone)]
pub struct Decimal {
    negative: bool,
    /// Values 0 to 9, the first of them not 0; empty for zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit.
    exponent: i64,
    /// Whether it was written as an integer with an exponent (`1e2`).
    scientific_integer: bool,
}

/// Greater exponents are cut to this; it leaves room for sums with any length of text.
const EXPONENT_MAX: i64 = 1_000_000_000_000_000;

impl Decimal {
    /// Reads `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, the grammar of R4 and of JSON.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).map_or((text, None), |(mantissa, power)| (mantissa, Some(power)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, fraction)| (whole, Some(fraction)));
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) || fraction.is_some_and(|fraction| !is_digits(fraction)) {
            return None;
        }
        let power_value = power.map_or(Some(0), parse_power)?;
        let fraction = fraction.unwrap_or("");
        let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').skip_while(|digit| *digit == 0).collect();
        let exponent = power_value - fraction.len() as i64;
        Some(Self { negative, digits, exponent, scientific_integer: power.is_some() && fraction.is_empty() })
    }

    /// An integer.
    pub fn from_integer(value: i64) -> Self {
        let digits = value.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').skip_while(|digit| *digit == 0).collect();
        Self { negative: value < 0, digits, exponent: 0, scientific_integer: false }
    }

    /// Whether it is zero, of whatever sign and precision.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether it is less than zero.
    pub fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    /// The exact order of values: `1.0` and `1` are equal, and so are `-0` and `0`.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.compare_magnitude(other),
            (-1, -1) => other.compare_magnitude(self),
            (one, two) => one.cmp(&two),
        }
    }

    fn sign(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        self.leading_power().cmp(&other.leading_power()).then_with(|| self.significant().cmp(other.significant()))
    }

    /// The power of ten ahead of which the first digit stands: `0.d₁d₂… × 10^power`.
    fn leading_power(&self) -> i64 {
        self.exponent + self.digits.len() as i64
    }

    /// The digits without trailing zeros.
    fn significant(&self) -> &[u8] {
        let end = self.digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        &self.digits[..end]
    }

    /// The values that round to this one at the precision written, from the first (included) to the second (excluded):
    /// `5.40` gives 5.395 and 5.405, `100` gives 99.5 and 100.5. `1e2` gives 95 and 105, as R4 search.html#number has it:
    /// the mantissa of such a number counts as `1.0`.
    pub fn implicit_range(&self) -> (Self, Self) {
        let digits_more = usize::from(self.scientific_integer) + 1;
        (self.moved_by_half(digits_more, true), self.moved_by_half(digits_more, false))
    }

    /// This plus or minus 5 in the place that lies so many digits behind the last.
    fn moved_by_half(&self, places: usize, down: bool) -> Self {
        let exponent = self.exponent - places as i64;
        if self.is_zero() {
            return Self { negative: down, digits: vec![5], exponent, scientific_integer: false };
        }
        let mut digits = self.digits.clone();
        digits.extend(std::iter::repeat_n(0, places - 1));
        if self.negative != down {
            decrement(&mut digits);
        }
        digits.push(5);
        Self { negative: self.negative, digits, exponent, scientific_integer: false }
    }

    /// The values within a tenth of this one (R4 search.html#prefix, `ap`), both included.
    pub fn approximate_range(&self) -> (Self, Self) {
        let (small, large) = (self.tenths(9), self.tenths(11));
        if self.is_negative() { (large, small) } else { (small, large) }
    }

    /// This times so many tenths.
    fn tenths(&self, count: u8) -> Self {
        let mut digits = self.digits.clone();
        let mut carry = 0;
        for digit in digits.iter_mut().rev() {
            let product = *digit * count + carry;
            (*digit, carry) = (product % 10, product / 10);
        }
        while carry > 0 {
            digits.insert(0, carry % 10);
            carry /= 10;
        }
        Self { negative: self.negative, digits, exponent: self.exponent - 1, scientific_integer: false }
    }

    /// The nearest float; infinite or zero where it is out of range. Greater decimals never give lesser floats.
    pub fn to_f64(&self) -> f64 {
        // A float's longest exact midpoint has 768 digits; a last 1 stands for what is cut, so that halves still round right.
        let significant = self.significant();
        let kept = &significant[..significant.len().min(800)];
        let mut text = String::with_capacity(kept.len() + 24);
        text.push_str(if self.negative { "-0." } else { "0." });
        text.extend(kept.iter().map(|digit| char::from(b'0' + digit)));
        if kept.len() < significant.len() {
            text.push('1');
        }
        text.push('e');
        text.push_str(&self.leading_power().to_string());
        if kept.is_empty() { 0.0 } else { text.parse().expect("this is how floats are written") }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_power(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !is_digits(digits) {
        return None;
    }
    let power = digits.bytes().fold(0_i64, |power, byte| (power * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX));
    Some(if negative { -power } else { power })
}

/// Takes one from the last digit of a number that is not zero, and keeps the first digit from being 0.
fn decrement(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit > 0 {
            *digit -= 1;
            break;
        }
        *digit = 9;
    }
    if digits.first() == Some(&0) {
        digits.remove(0);
    }
}
