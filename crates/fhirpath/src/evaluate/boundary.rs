//! Precision: `lowBoundary`, `highBoundary`, `precision`, `comparable` (FHIRPath 2.1, of use for dates of every precision).

use super::{Evaluator, Function, Outcome, Scope};
use crate::ast::Ast;
use crate::moment::days_in_month;
use crate::{Decimal, EvaluationError, Item, Moment, Precision, Quantity};

/// Digits of a decimal, of a date, of a date-time and of a time where none are asked for.
const DECIMAL_DIGITS: u8 = 8;
const DATE_DIGITS: u8 = 8;
const DATE_TIME_DIGITS: u8 = 17;
const TIME_DIGITS: u8 = 9;
const DECIMAL_DIGITS_MAX: u8 = 28;

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn precision(&mut self, function: Function, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let name = function.name();
        let Some(item) = self.single(items, name)? else { return Ok(Vec::new()) };
        let result = match function {
            Function::Precision => precision_of(&item).map(|digits| Item::Integer(digits.into())).ok_or(EvaluationError::Type(name))?,
            Function::Comparable => {
                let argument = self.evaluate(&arguments[0], scope)?;
                match (item, self.single(&argument, name)?) {
                    (_, None) => return Ok(Vec::new()),
                    (Item::Quantity(left), Some(Item::Quantity(right))) => Item::Boolean(left.is_comparable(&right)),
                    _ => return Err(EvaluationError::Type(name)),
                }
            }
            _ => {
                let digits = match arguments.first() {
                    None => None,
                    Some(argument) => match self.integer(argument, scope, name)? {
                        None => None,
                        Some(digits) => match u8::try_from(digits) {
                            Ok(digits) => Some(digits),
                            Err(_) => return Ok(Vec::new()),
                        },
                    },
                };
                return Ok(boundary(&item, digits, function == Function::HighBoundary)?.into_iter().collect());
            }
        };
        Ok(vec![result])
    }
}

/// Digits: of a decimal those behind the point, of dates and times all that are stated.
fn precision_of(item: &Item<'_>) -> Option<u8> {
    Some(match item {
        Item::Integer(_) => 0,
        Item::Decimal(value) => value.scale(),
        Item::Date(moment) | Item::DateTime(moment) => match moment.precision {
            Precision::Year => 4,
            Precision::Month => 6,
            Precision::Day => 8,
            Precision::Hour => 10,
            Precision::Minute => 12,
            Precision::Second => 14,
            Precision::Fraction => 14 + moment.fraction_digits.max(3),
        },
        Item::Time(moment) => match moment.precision {
            Precision::Minute => 4,
            Precision::Second => 6,
            Precision::Fraction => 6 + moment.fraction_digits.max(3),
            _ => 2,
        },
        _ => return None,
    })
}

/// The least or greatest value that an item may stand for, to so many digits; `None` for a precision that does not exist.
fn boundary<'a>(item: &Item<'a>, digits: Option<u8>, high: bool) -> Result<Option<Item<'a>>, EvaluationError> {
    Ok(match item {
        Item::Integer(value) => decimal_boundary(Decimal::from(*value), digits, high).map(Item::Decimal),
        Item::Decimal(value) => decimal_boundary(*value, digits, high).map(Item::Decimal),
        Item::Quantity(quantity) => decimal_boundary(quantity.value, digits, high)
            .map(|value| Item::Quantity(Box::new(Quantity { value, unit: quantity.unit.clone() }))),
        Item::Date(moment) => date_boundary(*moment, digits.unwrap_or(DATE_DIGITS), high),
        Item::DateTime(moment) => date_boundary(*moment, digits.unwrap_or(DATE_TIME_DIGITS), high),
        Item::Time(moment) => {
            let precision = match digits.unwrap_or(TIME_DIGITS) {
                2 => Precision::Hour,
                4 => Precision::Minute,
                6 => Precision::Second,
                9 => Precision::Fraction,
                _ => return Ok(None),
            };
            Some(Item::Time(filled(*moment, high).at_precision(precision)))
        }
        _ => return Err(EvaluationError::Type(if high { "highBoundary" } else { "lowBoundary" })),
    })
}

/// Half a unit of the last digit down or up, cut to the digits asked for away from the value.
fn decimal_boundary(value: Decimal, digits: Option<u8>, high: bool) -> Option<Decimal> {
    let digits = digits.unwrap_or(DECIMAL_DIGITS);
    if digits > DECIMAL_DIGITS_MAX {
        return None;
    }
    let half = Decimal::new(5, value.scale().checked_add(1)?)?;
    if high { value.checked_add(half)?.ceiling(digits) } else { value.checked_sub(half)?.floor(digits) }
}

fn date_boundary<'a>(moment: Moment, digits: u8, high: bool) -> Option<Item<'a>> {
    let precision = match digits {
        4 => Precision::Year,
        6 => Precision::Month,
        8 => Precision::Day,
        10 => Precision::Hour,
        12 => Precision::Minute,
        14 => Precision::Second,
        17 => Precision::Fraction,
        _ => return None,
    };
    let boundary = filled(moment, high).at_precision(precision);
    if precision <= Precision::Day {
        return Some(Item::Date(boundary));
    }
    // Without an offset the earliest is in the zone farthest east, the latest in the one farthest west.
    let offset = moment.offset_minutes.unwrap_or(if high { -12 * 60 } else { 14 * 60 });
    Some(Item::DateTime(Moment { offset_minutes: Some(offset), ..boundary }))
}

/// What is not stated at its least or greatest value. An hour alone is not a time in FHIR: it counts as the hour's first minute.
fn filled(moment: Moment, high: bool) -> Moment {
    let stated = moment.precision;
    let mut filled = moment.at_precision(Precision::Fraction);
    filled.offset_minutes = moment.offset_minutes;
    if !high {
        return filled;
    }
    if stated < Precision::Month {
        filled.month = 12;
    }
    if stated < Precision::Day {
        filled.day = days_in_month(filled.year, filled.month);
    }
    if stated < Precision::Hour {
        (filled.hour, filled.minute) = (23, 59);
    }
    if stated < Precision::Second {
        filled.second = 59;
    }
    if stated < Precision::Fraction {
        filled.nanosecond = 999_000_000;
    }
    filled
}
