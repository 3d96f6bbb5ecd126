//! Dates and times plus or minus durations (FHIRPath N1, 6.6.7).

use crate::ast::Operator;
use crate::{CalendarUnit, Decimal, EvaluationError, Item, Moment, Precision, Quantity, Unit};

const NANOS_A_MILLISECOND: i128 = 1_000_000;
const NANOS_A_SECOND: i128 = 1000 * NANOS_A_MILLISECOND;
const NANOS_A_DAY: i128 = 86_400 * NANOS_A_SECOND;

/// The moment so much later or earlier; `None` outside the years 1 to 9999. Of units above the millisecond only whole ones count.
pub(super) fn shifted<'a>(operator: Operator, moment: Item<'a>, quantity: &Quantity) -> Result<Option<Item<'a>>, EvaluationError> {
    const WHAT: &str = "adding to a date or time";
    let unit = unit_of(quantity).ok_or(EvaluationError::Type(WHAT))?;
    let value = match operator {
        Operator::Add => Some(quantity.value),
        Operator::Subtract => quantity.value.checked_neg(),
        _ => return Err(EvaluationError::Type(WHAT)),
    };
    let Some(count) = value.and_then(Decimal::to_i64_truncated) else { return Ok(None) };
    Ok(match moment {
        Item::Date(moment) => plus(moment, unit, count).map(Item::Date),
        Item::DateTime(moment) => plus(moment, unit, count).map(Item::DateTime),
        Item::Time(moment) => {
            let nanos = nanos(unit).filter(|nanos| *nanos < NANOS_A_DAY).ok_or(EvaluationError::Type(WHAT))?;
            let shifted = moment.plus_nanos_wrapping(nanos * i128::from(count));
            shifted.map(|time| Item::Time(time.at_precision_of(moment)))
        }
        _ => return Err(EvaluationError::Type(WHAT)),
    })
}

/// The unit as one of the calendar. UCUM's year and month are of fixed length and cannot be added to a date.
fn unit_of(quantity: &Quantity) -> Option<CalendarUnit> {
    match &quantity.unit {
        Unit::Calendar(unit) => Some(*unit),
        Unit::Ucum(code) => Some(match &**code {
            "wk" => CalendarUnit::Week,
            "d" => CalendarUnit::Day,
            "h" => CalendarUnit::Hour,
            "min" => CalendarUnit::Minute,
            "s" => CalendarUnit::Second,
            "ms" => CalendarUnit::Millisecond,
            _ => return None,
        }),
    }
}

/// The length of a unit; `None` for years and months.
fn nanos(unit: CalendarUnit) -> Option<i128> {
    Some(match unit {
        CalendarUnit::Year | CalendarUnit::Month => return None,
        CalendarUnit::Week => 7 * NANOS_A_DAY,
        CalendarUnit::Day => NANOS_A_DAY,
        CalendarUnit::Hour => 3600 * NANOS_A_SECOND,
        CalendarUnit::Minute => 60 * NANOS_A_SECOND,
        CalendarUnit::Second => NANOS_A_SECOND,
        CalendarUnit::Millisecond => NANOS_A_MILLISECOND,
    })
}

/// A duration finer than the moment's precision counts in whole units of that precision, a month of 30 and a year of 365 days.
fn plus(moment: Moment, unit: CalendarUnit, count: i64) -> Option<Moment> {
    let shifted = match (unit, nanos(unit)) {
        (CalendarUnit::Year, _) => moment.plus_months(count.checked_mul(12)?),
        (_, None) if moment.precision == Precision::Year => moment.plus_months(count / 12 * 12),
        (_, None) => moment.plus_months(count),
        (_, Some(nanos)) => {
            let nanos = nanos.checked_mul(i128::from(count))?;
            match moment.precision {
                Precision::Year => moment.plus_months(i64::try_from(nanos / (365 * NANOS_A_DAY)).ok()?.checked_mul(12)?),
                Precision::Month => moment.plus_months(i64::try_from(nanos / (30 * NANOS_A_DAY)).ok()?),
                Precision::Day => moment.plus_nanos(nanos / NANOS_A_DAY * NANOS_A_DAY),
                Precision::Hour => moment.plus_nanos(nanos / (3600 * NANOS_A_SECOND) * (3600 * NANOS_A_SECOND)),
                Precision::Minute => moment.plus_nanos(nanos / (60 * NANOS_A_SECOND) * (60 * NANOS_A_SECOND)),
                Precision::Second => moment.plus_nanos(nanos / NANOS_A_SECOND * NANOS_A_SECOND),
                Precision::Fraction => moment.plus_nanos(nanos),
            }
        }
    };
    shifted.map(|shifted| shifted.at_precision_of(moment))
}
