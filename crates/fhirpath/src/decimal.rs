//! Exact decimals: what `0.1 + 0.2 = 0.3` needs, with the digits as written.

use std::cmp::Ordering;

/// `mantissa / 10^scale`, at most 38 digits. Equality and order go by value (`1.0 = 1`); the scale is kept for display.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    mantissa: i128,
    scale: u8,
}

const SCALE_MAX: u8 = 28;

fn power_of_ten(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(u32::from(exponent))
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// One.
    pub const ONE: Self = Self { mantissa: 1, scale: 0 };

    /// `mantissa / 10^scale`; `None` for a scale over 28.
    pub fn new(mantissa: i128, scale: u8) -> Option<Self> {
        (scale <= SCALE_MAX).then_some(Self { mantissa, scale })
    }

    /// Reads `-1.50`, `1e3` (JSON's and FHIRPath's forms, and a leading `+`). `None` for anything else and for more digits than fit.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) || (fraction.is_empty() && digits.contains('.')) {
            return None;
        }
        let mut mantissa = 0_i128;
        for byte in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let mantissa = if negative { -mantissa } else { mantissa };
        match u8::try_from(scale) {
            Ok(scale) => Self::new(mantissa, scale),
            Err(_) if mantissa == 0 => Some(Self::ZERO),
            Err(_) => Some(Self { mantissa: mantissa.checked_mul(power_of_ten(u8::try_from(scale.checked_neg()?).ok()?)?)?, scale: 0 }),
        }
    }

    /// The number of digits behind the point, trailing zeros included.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// All digits as one integer: the value is this divided by 10 to the power of [`Decimal::scale`].
    pub fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Without trailing zeros behind the point.
    pub fn normalized(self) -> Self {
        let Self { mut mantissa, mut scale } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// The same value with so many digits behind the point, `None` if digits would be lost or do not fit.
    pub fn rescaled(self, scale: u8) -> Option<Self> {
        if scale < self.scale {
            let short = Self { mantissa: self.mantissa / power_of_ten(self.scale - scale)?, scale };
            return (short == self).then_some(short);
        }
        Self::new(self.mantissa.checked_mul(power_of_ten(scale - self.scale)?)?, scale)
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u8)> {
        let scale = self.scale.max(other.scale);
        Some((self.rescaled(scale)?.mantissa, other.rescaled(scale)?.mantissa, scale))
    }

    /// The sum, unless it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other)?;
        Some(Self { mantissa: left.checked_add(right)?, scale })
    }

    /// The difference, unless it does not fit.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(other.checked_neg()?)
    }

    /// The product, unless it does not fit.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        let (left, right) = match self.mantissa.checked_mul(other.mantissa) {
            Some(_) => (self, other),
            None => (self.normalized(), other.normalized()),
        };
        let product = Self { mantissa: left.mantissa.checked_mul(right.mantissa)?, scale: left.scale.checked_add(right.scale)? };
        if product.scale <= SCALE_MAX { Some(product) } else { product.rounded(SCALE_MAX) }
    }

    /// The quotient with up to 20 digits behind the point; `None` for a divisor of zero and where it does not fit.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let (left, right) = (self.normalized(), other.normalized());
        for digits in (0..=20_u8).rev() {
            let shift = i16::from(digits) + i16::from(right.scale) - i16::from(left.scale);
            let numerator = match u8::try_from(shift) {
                Ok(shift) => power_of_ten(shift).and_then(|power| left.mantissa.checked_mul(power)),
                Err(_) => Some(left.mantissa / power_of_ten(u8::try_from(-shift).ok()?)?),
            };
            if let Some(numerator) = numerator {
                let quotient = numerator.checked_div(right.mantissa)?;
                return Self::new(quotient, digits).map(Self::normalized);
            }
        }
        None
    }

    /// The quotient cut to an integer; `None` for a divisor of zero.
    pub fn checked_div_whole(self, other: Self) -> Option<Self> {
        let (left, right, _) = self.aligned(other)?;
        Some(Self { mantissa: left.checked_div(right)?, scale: 0 })
    }

    /// The remainder of the division cut to an integer; `None` for a divisor of zero.
    pub fn checked_rem(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other)?;
        Some(Self { mantissa: left.checked_rem(right)?, scale })
    }

    /// The value with the other sign.
    pub fn checked_neg(self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_neg()?, scale: self.scale })
    }

    /// The value without its sign.
    pub fn checked_abs(self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_abs()?, scale: self.scale })
    }

    /// Rounded to so many digits behind the point, halves away from zero; a shorter value is kept as it is.
    pub fn rounded(self, scale: u8) -> Option<Self> {
        if scale >= self.scale {
            return Some(self);
        }
        let Some(power) = power_of_ten(self.scale - scale) else {
            return Some(Self { mantissa: 0, scale });
        };
        let (quotient, remainder) = (self.mantissa / power, self.mantissa % power);
        let away = remainder.checked_abs()? >= power - remainder.checked_abs()?;
        let mantissa = if away { quotient.checked_add(self.mantissa.signum())? } else { quotient };
        Some(Self { mantissa, scale })
    }

    /// The greatest value of so many digits behind the point that is not above this one.
    pub fn floor(self, scale: u8) -> Option<Self> {
        if scale >= self.scale {
            return self.rescaled(scale);
        }
        let power = power_of_ten(self.scale - scale)?;
        Some(Self { mantissa: self.mantissa.div_euclid(power), scale })
    }

    /// The least value of so many digits behind the point that is not below this one.
    pub fn ceiling(self, scale: u8) -> Option<Self> {
        self.checked_neg()?.floor(scale)?.checked_neg()
    }

    /// The integer part.
    pub fn truncated(self) -> Self {
        match power_of_ten(self.scale) {
            Some(power) => Self { mantissa: self.mantissa / power, scale: 0 },
            None => Self::ZERO,
        }
    }

    /// The value as a 32-bit integer, if it is one.
    pub fn to_i32(self) -> Option<i32> {
        let whole = self.truncated();
        (whole == self).then(|| i32::try_from(whole.mantissa).ok()).flatten()
    }

    /// The integer part, if it fits.
    pub fn to_i64_truncated(self) -> Option<i64> {
        i64::try_from(self.truncated().mantissa).ok()
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / 10_f64.powi(i32::from(self.scale))
    }

    /// A float rounded to 12 digits behind the point; `None` where it is not finite or does not fit.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() || value.abs() >= 1e24 {
            return None;
        }
        Self::parse(&format!("{value:.12}")).map(Self::normalized)
    }
}

impl From<i32> for Decimal {
    fn from(value: i32) -> Self {
        Self { mantissa: i128::from(value), scale: 0 }
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self { mantissa: i128::from(value), scale: 0 }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if let Some((left, right, _)) = self.aligned(*other) {
            return left.cmp(&right);
        }
        // One does not fit the other's scale: the integer parts differ, or else the digits behind the point decide.
        let whole = self.truncated().mantissa.cmp(&other.truncated().mantissa);
        whole.then_with(|| self.to_f64().total_cmp(&other.to_f64()))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests;
