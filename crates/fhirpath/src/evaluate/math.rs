//! Functions on numbers (FHIRPath N1, 5.7).

use super::{Evaluator, Function, Outcome, Scope};
use crate::ast::Ast;
use crate::{Decimal, EvaluationError, Item, Quantity};

impl<'a> Evaluator<'_, 'a> {
    /// What has no result among the numbers is empty.
    pub(super) fn math(&mut self, function: Function, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        use Function as F;
        let name = function.name();
        let Some(input) = self.single(items, name)? else { return Ok(Vec::new()) };
        let argument = match arguments.first() {
            Some(argument) => {
                let found = self.evaluate(argument, scope)?;
                match self.single(&found, name)? {
                    Some(item) => Some(item),
                    None => return Ok(Vec::new()),
                }
            }
            None => None,
        };
        let result = match (function, input, argument) {
            (F::Abs, Item::Quantity(quantity), _) => {
                let absolute = quantity.value.checked_abs();
                absolute.map(|value| Item::Quantity(Box::new(Quantity { value, unit: quantity.unit.clone() })))
            }
            (F::Abs, Item::Integer(value), _) => value.checked_abs().map(Item::Integer),
            (F::Ceiling | F::Floor | F::Truncate | F::Round, Item::Integer(value), None) => Some(Item::Integer(value)),
            (F::Power, Item::Integer(base), Some(Item::Integer(exponent))) if exponent >= 0 => {
                base.checked_pow(exponent.unsigned_abs()).map(Item::Integer)
            }
            (_, input, argument) => {
                let value = decimal(&input, name)?;
                let argument = argument.map(|argument| decimal(&argument, name)).transpose()?;
                of_decimal(function, value, argument)?
            }
        };
        Ok(result.into_iter().collect())
    }
}

fn decimal(item: &Item<'_>, what: &'static str) -> Result<Decimal, EvaluationError> {
    match item {
        Item::Integer(value) => Ok(Decimal::from(*value)),
        Item::Decimal(value) => Ok(*value),
        _ => Err(EvaluationError::Type(what)),
    }
}

fn of_decimal<'a>(function: Function, value: Decimal, argument: Option<Decimal>) -> Result<Option<Item<'a>>, EvaluationError> {
    use Function as F;
    let whole = |value: Option<Decimal>| value.and_then(Decimal::to_i32).map(Item::Integer);
    let float = |value: f64| Decimal::from_f64(value).map(Item::Decimal);
    let float_argument = argument.map_or(0.0, Decimal::to_f64);
    Ok(match function {
        F::Abs => value.checked_abs().map(Item::Decimal),
        F::Ceiling => whole(value.ceiling(0)),
        F::Floor => whole(value.floor(0)),
        F::Truncate => whole(Some(value.truncated())),
        F::Round => match argument {
            None => value.rounded(0).map(Item::Decimal),
            Some(digits) => {
                let digits = digits.to_i32().and_then(|digits| u8::try_from(digits).ok()).ok_or(EvaluationError::Argument("round"))?;
                value.rounded(digits).map(Item::Decimal)
            }
        },
        F::Sqrt => float(value.to_f64().sqrt()),
        F::Exp => float(value.to_f64().exp()),
        F::Ln => float(value.to_f64().ln()),
        F::Log => float(value.to_f64().ln() / float_argument.ln()),
        _ => float(value.to_f64().powf(float_argument)),
    })
}
