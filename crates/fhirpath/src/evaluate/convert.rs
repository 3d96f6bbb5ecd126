//! Conversions (FHIRPath N1, 5.5).

use super::{Evaluator, Function, Outcome, Scope};
use crate::ast::Ast;
use crate::{Decimal, EvaluationError, Item, Moment, Quantity, Unit};

impl<'a> Evaluator<'_, 'a> {
    /// `toX()`: empty where the item cannot be converted.
    pub(super) fn convert(&mut self, function: Function, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let Some(item) = self.single(items, function.name())? else { return Ok(Vec::new()) };
        let unit = match arguments.first() {
            Some(argument) => {
                let found = self.evaluate(argument, scope)?;
                match self.single(&found, function.name())? {
                    Some(Item::String(unit)) => Some(unit),
                    None => return Ok(Vec::new()),
                    Some(_) => return Err(EvaluationError::Type(function.name())),
                }
            }
            None => None,
        };
        Ok(converted(function, item, unit.as_deref()).into_iter().collect())
    }

    /// `convertsToX()`: whether `toX()` gives something.
    pub(super) fn converts(&mut self, function: Function, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let converting = match function {
            Function::ConvertsToBoolean => Function::ToBoolean,
            Function::ConvertsToInteger => Function::ToInteger,
            Function::ConvertsToDecimal => Function::ToDecimal,
            Function::ConvertsToDate => Function::ToDate,
            Function::ConvertsToDateTime => Function::ToDateTime,
            Function::ConvertsToTime => Function::ToTime,
            Function::ConvertsToQuantity => Function::ToQuantity,
            _ => Function::ToString,
        };
        let converts = !self.convert(converting, arguments, items, scope)?.is_empty();
        Ok(vec![Item::Boolean(converts)])
    }
}

fn converted<'a>(function: Function, item: Item<'a>, unit: Option<&str>) -> Option<Item<'a>> {
    match function {
        Function::ToBoolean => to_boolean(&item).map(Item::Boolean),
        Function::ToInteger => match &item {
            Item::Boolean(value) => Some(Item::Integer(i32::from(*value))),
            Item::Integer(value) => Some(Item::Integer(*value)),
            Item::String(text) => text.parse().ok().map(Item::Integer),
            _ => None,
        },
        Function::ToDecimal => match &item {
            Item::Boolean(value) => Some(Item::Decimal(Decimal::from(i32::from(*value)))),
            Item::Integer(value) => Some(Item::Decimal(Decimal::from(*value))),
            Item::Decimal(value) => Some(Item::Decimal(*value)),
            Item::String(text) if !text.contains(['e', 'E']) => Decimal::parse(text).map(Item::Decimal),
            _ => None,
        },
        Function::ToString => to_text(&item).map(|text| Item::String(text.into())),
        Function::ToDate => match &item {
            Item::Date(moment) | Item::DateTime(moment) => Some(Item::Date(moment.date())),
            Item::String(text) => Moment::parse_date_time(text).map(|moment| Item::Date(moment.date())),
            _ => None,
        },
        Function::ToDateTime => match &item {
            Item::Date(moment) | Item::DateTime(moment) => Some(Item::DateTime(*moment)),
            Item::String(text) => Moment::parse_date_time(text).map(Item::DateTime),
            _ => None,
        },
        Function::ToTime => match &item {
            Item::Time(moment) => Some(Item::Time(*moment)),
            Item::String(text) => Moment::parse_time(text.strip_prefix('T').unwrap_or(text)).map(Item::Time),
            _ => None,
        },
        _ => to_quantity(&item, unit).map(|quantity| Item::Quantity(Box::new(quantity))),
    }
}

fn to_boolean(item: &Item<'_>) -> Option<bool> {
    match item {
        Item::Boolean(value) => Some(*value),
        Item::Integer(0) => Some(false),
        Item::Integer(1) => Some(true),
        Item::Decimal(value) if value.is_zero() => Some(false),
        Item::Decimal(value) if *value == Decimal::ONE => Some(true),
        Item::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Some(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The text `toString()` gives.
pub(crate) fn to_text(item: &Item<'_>) -> Option<String> {
    let mut out = String::new();
    match item {
        Item::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Item::Integer(value) => out = value.to_string(),
        Item::Decimal(value) => out = value.to_string(),
        Item::String(text) => out.push_str(text),
        Item::Date(moment) => moment.write_date(&mut out),
        Item::DateTime(moment) => moment.write_date_time(&mut out),
        Item::Time(moment) => moment.write_time(&mut out),
        Item::Quantity(quantity) => out = quantity.to_string(),
        Item::Node(_) | Item::Type(_) => return None,
    }
    Some(out)
}

fn to_quantity(item: &Item<'_>, unit: Option<&str>) -> Option<Quantity> {
    let quantity = match item {
        Item::Boolean(value) => Quantity::ucum(Decimal::from(i32::from(*value)), "1"),
        Item::Integer(value) => Quantity::ucum(Decimal::from(*value), "1"),
        Item::Decimal(value) => Quantity::ucum(*value, "1"),
        Item::Quantity(quantity) => (**quantity).clone(),
        Item::String(text) => Quantity::parse(text)?,
        _ => return None,
    };
    let Some(unit) = unit else { return Some(quantity) };
    let unit = match crate::CalendarUnit::parse(unit) {
        Some(calendar) => Unit::Calendar(calendar),
        None => Unit::Ucum(unit.into()),
    };
    let target = Quantity { value: Decimal::ZERO, unit };
    Some(Quantity { value: quantity.value_in(&target)?, unit: target.unit })
}
