//! Quantities: a decimal with a UCUM unit or a calendar duration (FHIRPath N1, 4.1.8).

use crate::{Decimal, ucum};

/// A calendar duration's unit: `1 month`, as against UCUM's `1 'mo'` of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CalendarUnit {
    /// `year`
    Year,
    /// `month`
    Month,
    /// `week`
    Week,
    /// `day`
    Day,
    /// `hour`
    Hour,
    /// `minute`
    Minute,
    /// `second`
    Second,
    /// `millisecond`
    Millisecond,
}

impl CalendarUnit {
    /// The unit of this name, singular or plural.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.strip_suffix('s').unwrap_or(word) {
            "year" => Self::Year,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            _ => return None,
        })
    }

    /// The singular name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Millisecond => "millisecond",
        }
    }

    /// The UCUM code that comes closest: the same length but for years and months.
    pub fn ucum(self) -> &'static str {
        match self {
            Self::Year => "a",
            Self::Month => "mo",
            Self::Week => "wk",
            Self::Day => "d",
            Self::Hour => "h",
            Self::Minute => "min",
            Self::Second => "s",
            Self::Millisecond => "ms",
        }
    }

    /// Whether its length differs from time to time, so that it never equals a UCUM unit.
    pub fn varies(self) -> bool {
        matches!(self, Self::Year | Self::Month)
    }
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A calendar duration.
    Calendar(CalendarUnit),
    /// A UCUM code; `1` where there is none.
    Ucum(Box<str>),
}

/// A value with a unit.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// The value.
    pub value: Decimal,
    /// The unit.
    pub unit: Unit,
}

impl Quantity {
    /// A quantity of a UCUM unit.
    pub fn ucum(value: Decimal, code: &str) -> Self {
        Self { value, unit: Unit::Ucum(code.into()) }
    }

    /// Reads `1.5 'mg'`, `4 days` and `7` (unit `1`), as `toQuantity()` does.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(text.len());
        let value = Decimal::parse(&text[..end]).filter(|_| !text[..end].contains(['e', 'E']))?;
        let unit = text[end..].trim_start();
        if unit.is_empty() {
            return Some(Self::ucum(value, "1"));
        }
        if let Some(code) = unit.strip_prefix('\'') {
            let code = code.strip_suffix('\'').filter(|code| !code.is_empty() && !code.contains('\''))?;
            return Some(Self::ucum(value, code));
        }
        Some(Self { value, unit: Unit::Calendar(CalendarUnit::parse(unit)?) })
    }

    /// The UCUM code, for calendar durations the one that comes closest.
    pub fn code(&self) -> &str {
        match &self.unit {
            Unit::Calendar(unit) => unit.ucum(),
            Unit::Ucum(code) => code,
        }
    }

    /// The unit as written.
    pub(crate) fn unit_name(&self) -> &str {
        match &self.unit {
            Unit::Calendar(unit) => unit.name(),
            Unit::Ucum(code) => code,
        }
    }

    /// Both values in one unit, the larger of the two where `loosely` (as equivalence compares); `None` where the units
    /// cannot be compared. Years and months of the calendar compare with UCUM's only `loosely`.
    pub(crate) fn common(&self, other: &Self, loosely: bool) -> Option<(Decimal, Decimal)> {
        if self.unit == other.unit {
            return Some((self.value, other.value));
        }
        let months = |quantity: &Self| match quantity.unit {
            Unit::Calendar(CalendarUnit::Year) => quantity.value.checked_mul(Decimal::from(12)),
            Unit::Calendar(CalendarUnit::Month) => Some(quantity.value),
            _ => None,
        };
        match (months(self), months(other)) {
            (Some(left), Some(right)) => return Some((left, right)),
            (None, None) => {}
            _ if loosely => {}
            _ => return None,
        }
        if self.code() == other.code() {
            return Some((self.value, other.value));
        }
        let (left, right) = self.meanings(other)?;
        if !loosely {
            return Some((left.to_base(self.value)?, right.to_base(other.value)?));
        }
        if left.to_base(Decimal::ONE)? >= right.to_base(Decimal::ONE)? {
            Some((self.value, left.of_base(right.to_base(other.value)?)?))
        } else {
            Some((right.of_base(left.to_base(self.value)?)?, other.value))
        }
    }

    /// This quantity's value in another's unit.
    pub(crate) fn value_in(&self, other: &Self) -> Option<Decimal> {
        if self.unit == other.unit || self.code() == other.code() {
            return Some(self.value);
        }
        let (mine, theirs) = self.meanings(other)?;
        theirs.of_base(mine.to_base(self.value)?)
    }

    /// Whether both are of one dimension.
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        self.code() == other.code() || self.meanings(other).is_some()
    }

    fn meanings(&self, other: &Self) -> Option<(ucum::Meaning, ucum::Meaning)> {
        let (left, right) = (ucum::parse(self.code())?, ucum::parse(other.code())?);
        (left.dimensions == right.dimensions).then_some((left, right))
    }

    /// The product, `None` where it does not fit.
    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        let value = self.value.checked_mul(other.value)?;
        let code = match (self.code(), other.code()) {
            ("1", code) | (code, "1") => code.to_owned(),
            (left, right) => format!("{left}.{}", bracketed(right)),
        };
        Some(Self::ucum(value, &code))
    }

    /// The quotient; `None` for a divisor of zero and where it does not fit.
    pub(crate) fn divided_by(&self, other: &Self) -> Option<Self> {
        let value = self.value.checked_div(other.value)?;
        let code = match (self.code(), other.code()) {
            (code, "1") => code.to_owned(),
            (left, right) if left == right => "1".to_owned(),
            ("1", right) => format!("/{}", bracketed(right)),
            (left, right) => format!("{left}/{}", bracketed(right)),
        };
        Some(Self::ucum(value, &code))
    }
}

/// A unit that stands behind an operator.
fn bracketed(code: &str) -> std::borrow::Cow<'_, str> {
    if code.contains(['.', '/']) { format!("({code})").into() } else { code.into() }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.unit {
            Unit::Ucum(code) => write!(f, "{} '{code}'", self.value),
            Unit::Calendar(unit) => {
                let plural = if self.value == Decimal::from(1) { "" } else { "s" };
                write!(f, "{} {}{plural}", self.value, unit.name())
            }
        }
    }
}
