//! Operators.

use std::cmp::Ordering;

use super::{Evaluator, Outcome, Scope};
use crate::ast::{Ast, Operator};
use crate::{Decimal, EvaluationError, Item, Quantity};

fn truth<'a>(value: Option<bool>) -> Vec<Item<'a>> {
    value.map(Item::Boolean).into_iter().collect()
}

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn binary(&mut self, operator: Operator, left: &Ast, right: &Ast, scope: Scope<'_, 'a>) -> Outcome<'a> {
        use Operator as O;
        if let O::And | O::Or | O::Xor | O::Implies = operator {
            return self.logic(operator, left, right, scope);
        }
        let left = self.evaluate(left, scope)?;
        let right = self.evaluate(right, scope)?;
        match operator {
            O::Union => {
                let mut all = left;
                all.extend(right);
                self.distinct(all)
            }
            O::Equal => Ok(truth(self.equal(&left, &right)?)),
            O::NotEqual => Ok(truth(self.equal(&left, &right)?.map(|equal| !equal))),
            O::Equivalent => Ok(truth(Some(self.equivalent(&left, &right)?))),
            O::NotEquivalent => Ok(truth(Some(!self.equivalent(&left, &right)?))),
            O::In => self.membership(&left, &right, "in"),
            O::Contains => self.membership(&right, &left, "contains"),
            O::Concatenate => self.concatenate(&left, &right),
            O::Less | O::LessOrEqual | O::Greater | O::GreaterOrEqual => {
                let ([left], [right]) = (&left[..], &right[..]) else {
                    return self.empty_unless_several(&left, &right, "comparison");
                };
                let order = self.compare(left, right)?;
                Ok(truth(order.map(|order| match operator {
                    O::Less => order == Ordering::Less,
                    O::LessOrEqual => order != Ordering::Greater,
                    O::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })))
            }
            _ => {
                let (Some(left), Some(right)) = (self.single(&left, "arithmetic")?, self.single(&right, "arithmetic")?) else {
                    return Ok(Vec::new());
                };
                self.arithmetic(operator, left, right)
            }
        }
    }

    /// Empty where either side is; an error where either has several items.
    fn empty_unless_several(&self, left: &[Item<'a>], right: &[Item<'a>], what: &'static str) -> Outcome<'a> {
        if left.is_empty() || right.is_empty() { Ok(Vec::new()) } else { Err(EvaluationError::NotSingle(what)) }
    }

    fn membership(&mut self, item: &[Item<'a>], items: &[Item<'a>], what: &'static str) -> Outcome<'a> {
        match item {
            [] => Ok(Vec::new()),
            [item] => Ok(truth(Some(self.holds(items, item)?))),
            _ => Err(EvaluationError::NotSingle(what)),
        }
    }

    /// Three-valued logic; the right side is evaluated only where the left does not decide.
    fn logic(&mut self, operator: Operator, left: &Ast, right: &Ast, scope: Scope<'_, 'a>) -> Outcome<'a> {
        const WHAT: &str = "a boolean operator";
        let left = self.evaluate(left, scope)?;
        let left = self.boolean(&left, WHAT)?;
        match (operator, left) {
            (Operator::And | Operator::Implies, Some(false)) => return Ok(truth(Some(operator == Operator::Implies))),
            (Operator::Or, Some(true)) => return Ok(truth(Some(true))),
            _ => {}
        }
        let right = self.evaluate(right, scope)?;
        let right = self.boolean(&right, WHAT)?;
        Ok(truth(match operator {
            Operator::And if right == Some(false) => Some(false),
            Operator::Or | Operator::Implies if right == Some(true) => Some(true),
            _ => left.zip(right).map(|(left, right)| match operator {
                Operator::And => left && right,
                Operator::Or => left || right,
                Operator::Xor => left != right,
                _ => !left || right,
            }),
        }))
    }

    fn concatenate(&mut self, left: &[Item<'a>], right: &[Item<'a>]) -> Outcome<'a> {
        let mut text = String::new();
        for side in [left, right] {
            match self.single(side, "&")? {
                None => {}
                Some(Item::String(part)) => text.push_str(&part),
                Some(_) => return Err(EvaluationError::Type("&")),
            }
        }
        self.text(text)
    }

    pub(super) fn negate(&mut self, operand: &Ast, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let items = self.evaluate(operand, scope)?;
        let negated = match self.single(&items, "a sign")? {
            None => None,
            Some(Item::Integer(value)) => value.checked_neg().map(Item::Integer),
            // The one literal whose digits alone are no Integer.
            Some(Item::Decimal(value)) => value.checked_neg().map(|value| match value.to_i32() {
                Some(i32::MIN) if value.scale() == 0 => Item::Integer(i32::MIN),
                _ => Item::Decimal(value),
            }),
            Some(Item::Quantity(quantity)) => {
                quantity.value.checked_neg().map(|value| Item::Quantity(Box::new(Quantity { value, unit: quantity.unit })))
            }
            Some(_) => return Err(EvaluationError::Type("a sign")),
        };
        Ok(negated.into_iter().collect())
    }

    pub(super) fn plus(&mut self, operand: &Ast, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let items = self.evaluate(operand, scope)?;
        match self.single(&items, "a sign")? {
            None | Some(Item::Integer(_) | Item::Decimal(_) | Item::Quantity(_)) => Ok(items),
            Some(_) => Err(EvaluationError::Type("a sign")),
        }
    }

    /// What overflows, or is divided by zero, is empty.
    fn arithmetic(&mut self, operator: Operator, left: Item<'a>, right: Item<'a>) -> Outcome<'a> {
        let result = match (left, right) {
            (Item::String(left), Item::String(right)) if operator == Operator::Add => return self.text(format!("{left}{right}")),
            (Item::Integer(left), Item::Integer(right)) => integers(operator, left, right),
            (Item::Quantity(left), Item::Quantity(right)) => quantities(operator, &left, &right)?,
            (Item::Quantity(left), right @ (Item::Integer(_) | Item::Decimal(_))) => {
                quantities(operator, &left, &Quantity::ucum(number(&right)?, "1"))?
            }
            (left @ (Item::Integer(_) | Item::Decimal(_)), Item::Quantity(right)) => {
                quantities(operator, &Quantity::ucum(number(&left)?, "1"), &right)?
            }
            (moment @ (Item::Date(_) | Item::DateTime(_) | Item::Time(_)), Item::Quantity(quantity)) => {
                return super::calendar::shifted(operator, moment, &quantity).map(|item| item.into_iter().collect());
            }
            (left, right) => decimals(operator, number(&left)?, number(&right)?),
        };
        Ok(result.into_iter().collect())
    }
}

fn number(item: &Item<'_>) -> Result<Decimal, EvaluationError> {
    match item {
        Item::Integer(value) => Ok(Decimal::from(*value)),
        Item::Decimal(value) => Ok(*value),
        _ => Err(EvaluationError::Type("arithmetic")),
    }
}

fn integers<'a>(operator: Operator, left: i32, right: i32) -> Option<Item<'a>> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::DivideWhole => left.checked_div(right),
        Operator::Modulo => left.checked_rem(right),
        _ => return decimals(operator, Decimal::from(left), Decimal::from(right)),
    }
    .map(Item::Integer)
}

fn decimals<'a>(operator: Operator, left: Decimal, right: Decimal) -> Option<Item<'a>> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::DivideWhole => return left.checked_div_whole(right)?.to_i32().map(Item::Integer),
        _ => left.checked_rem(right),
    }
    .map(Item::Decimal)
}

fn quantities<'a>(operator: Operator, left: &Quantity, right: &Quantity) -> Result<Option<Item<'a>>, EvaluationError> {
    let quantity = match operator {
        Operator::Multiply => left.times(right),
        Operator::Divide => left.divided_by(right),
        Operator::Add | Operator::Subtract => right.value_in(left).and_then(|value| {
            let value = if operator == Operator::Add { left.value.checked_add(value) } else { left.value.checked_sub(value) };
            Some(Quantity { value: value?, unit: left.unit.clone() })
        }),
        _ => return Err(EvaluationError::Type("div and mod")),
    };
    Ok(quantity.map(|quantity| Item::Quantity(Box::new(quantity))))
}
