//! Decimals as bytes that compare as the values do.

use super::Decimal;

const NEGATIVE: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE: u8 = 3;

/// Powers of ten beyond this are written as infinite or infinitely small.
const POWER_MAX: i64 = 32_000;

/// Two digits a byte; more than these are cut.
const DIGIT_PAIRS_MAX: usize = 32;

impl Decimal {
    /// No form is longer.
    pub const ORDERED_BYTES_MAX: usize = 1 + 2 + DIGIT_PAIRS_MAX + 1;

    /// Appends self-delimiting bytes whose order is the order of the values; trailing zeros do not count. What differs only
    /// behind the 64th digit, or lies beyond 10^±32000, is written alike.
    ///
    /// Sign; power of ten (two bytes, biased); pairs of digits from 1 to 100; 0. All but the sign is inverted for negatives.
    pub fn write_ordered(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            out.push(ZERO);
            return;
        }
        out.push(if self.negative { NEGATIVE } else { POSITIVE });
        let start = out.len();
        let power = self.leading_power();
        let cut = power.clamp(-POWER_MAX - 1, POWER_MAX + 1);
        out.extend_from_slice(&((cut + 0x8000) as u16).to_be_bytes());
        if power.abs() <= POWER_MAX {
            out.extend(self.significant().chunks(2).take(DIGIT_PAIRS_MAX).map(|pair| 1 + pair[0] * 10 + pair.get(1).unwrap_or(&0)));
        }
        out.push(0);
        if self.negative {
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    /// How many bytes at the front are one decimal as [`Decimal::write_ordered`] writes it; `None` if none is.
    pub fn ordered_len(bytes: &[u8]) -> Option<usize> {
        let end = match *bytes.first()? {
            ZERO => return Some(1),
            NEGATIVE => 0xFF,
            POSITIVE => 0,
            _ => return None,
        };
        bytes.iter().take(Self::ORDERED_BYTES_MAX).skip(3).position(|byte| *byte == end).map(|digits| 3 + digits + 1)
    }
}
