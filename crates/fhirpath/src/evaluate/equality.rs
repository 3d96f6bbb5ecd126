//! `=`, `~` and order (FHIRPath N1, 6.1 and 6.2).

use std::cmp::Ordering;

use fhirpool_fhir::json::{Kind, Value};

use super::Evaluator;
use crate::{Decimal, EvaluationError, Item, Quantity};

/// A number's or text's quantity: numbers have the unit `1`.
fn as_quantity(item: &Item<'_>) -> Option<Quantity> {
    match item {
        Item::Quantity(quantity) => Some((**quantity).clone()),
        Item::Integer(value) => Some(Quantity::ucum(Decimal::from(*value), "1")),
        Item::Decimal(value) => Some(Quantity::ucum(*value, "1")),
        _ => None,
    }
}

/// Equal when rounded to the fewer digits behind the point, trailing zeros aside.
fn about_equal(left: Decimal, right: Decimal) -> bool {
    let (left, right) = (left.normalized(), right.normalized());
    let scale = left.scale().min(right.scale());
    left.rounded(scale).zip(right.rounded(scale)).is_some_and(|(left, right)| left == right)
}

/// Case and runs of white space set aside.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

impl<'a> Evaluator<'_, 'a> {
    /// Whether two collections are equal, item by item; `None` where either is empty or it cannot be said.
    pub(super) fn equal(&mut self, left: &[Item<'a>], right: &[Item<'a>]) -> Result<Option<bool>, EvaluationError> {
        if left.is_empty() || right.is_empty() {
            return Ok(None);
        }
        if left.len() != right.len() {
            return Ok(Some(false));
        }
        let mut certain = true;
        for (left, right) in left.iter().zip(right) {
            match self.items_equal(left, right)? {
                Some(true) => {}
                Some(false) => return Ok(Some(false)),
                None => certain = false,
            }
        }
        Ok(certain.then_some(true))
    }

    /// Whether two items are surely equal.
    pub(super) fn same(&mut self, left: &Item<'a>, right: &Item<'a>) -> Result<bool, EvaluationError> {
        Ok(self.items_equal(left, right)? == Some(true))
    }

    /// Whether a collection holds an item equal to this one.
    pub(super) fn holds(&mut self, items: &[Item<'a>], item: &Item<'a>) -> Result<bool, EvaluationError> {
        for other in items {
            if self.same(other, item)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn items_equal(&mut self, left: &Item<'a>, right: &Item<'a>) -> Result<Option<bool>, EvaluationError> {
        self.charge(1)?;
        let definitions = self.definitions();
        let (left, right) = (left.system(definitions), right.system(definitions));
        Ok(match (&left, &right) {
            (Item::Node(left), Item::Node(right)) => Some(match (left.value, right.value) {
                (Some(left), Some(right)) => self.values_equal(left, right, false)?,
                (None, None) => match (left.sibling, right.sibling) {
                    (Some(left), Some(right)) => self.values_equal(left, right, false)?,
                    _ => false,
                },
                _ => false,
            }),
            (Item::Boolean(left), Item::Boolean(right)) => Some(left == right),
            (Item::String(left), Item::String(right)) => Some(left == right),
            (Item::Integer(left), Item::Integer(right)) => Some(left == right),
            (Item::Type(left), Item::Type(right)) => Some(left == right),
            (Item::Date(left) | Item::DateTime(left), Item::Date(right) | Item::DateTime(right))
            | (Item::Time(left), Item::Time(right)) => left.compare(*right).map(Ordering::is_eq),
            _ => match (as_quantity(&left), as_quantity(&right)) {
                (Some(left), Some(right)) => left.common(&right, false).map(|(left, right)| left == right),
                _ => Some(false),
            },
        })
    }

    /// Whether two collections are equivalent, in whatever order.
    pub(super) fn equivalent(&mut self, left: &[Item<'a>], right: &[Item<'a>]) -> Result<bool, EvaluationError> {
        if left.len() != right.len() {
            return Ok(false);
        }
        let mut unmatched: Vec<&Item<'a>> = right.iter().collect();
        for item in left {
            let mut found = None;
            for (at, other) in unmatched.iter().enumerate() {
                if self.items_equivalent(item, other)? {
                    found = Some(at);
                    break;
                }
            }
            match found {
                Some(at) => drop(unmatched.swap_remove(at)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn items_equivalent(&mut self, left: &Item<'a>, right: &Item<'a>) -> Result<bool, EvaluationError> {
        self.charge(1)?;
        let definitions = self.definitions();
        let (left, right) = (left.system(definitions), right.system(definitions));
        Ok(match (&left, &right) {
            (Item::Node(left), Item::Node(right)) => match (left.value, right.value) {
                (Some(left), Some(right)) => self.values_equal(left, right, true)?,
                _ => left.value.is_none() && right.value.is_none(),
            },
            (Item::String(left), Item::String(right)) => {
                self.charge((left.len() + right.len()) / 16)?;
                folded(left) == folded(right)
            }
            (Item::Date(left) | Item::DateTime(left), Item::Date(right) | Item::DateTime(right))
            | (Item::Time(left), Item::Time(right)) => left.compare(*right).is_some_and(Ordering::is_eq),
            (Item::Boolean(left), Item::Boolean(right)) => left == right,
            _ => match (as_quantity(&left), as_quantity(&right)) {
                (Some(left), Some(right)) => left.common(&right, true).is_some_and(|(left, right)| about_equal(left, right)),
                _ => false,
            },
        })
    }

    /// Whether two trees are equal whatever the order of properties; `loosely` of elements too, with texts folded. Recurses
    /// as deep as the documents, which is limited where they are read.
    fn values_equal(&mut self, left: Value<'a>, right: Value<'a>, loosely: bool) -> Result<bool, EvaluationError> {
        self.charge(1 + left.raw().len().min(right.raw().len()) / 64)?;
        if left.raw() == right.raw() {
            return Ok(true);
        }
        if left.kind() != right.kind() {
            return Ok(false);
        }
        match left.kind() {
            Kind::Null | Kind::Bool => Ok(false),
            Kind::Number => Ok(match (Decimal::parse(left.raw()), Decimal::parse(right.raw())) {
                (Some(left), Some(right)) if loosely => about_equal(left, right),
                (Some(left), Some(right)) => left == right,
                _ => false,
            }),
            Kind::String if loosely => Ok(left.as_str().map(|text| folded(&text)) == right.as_str().map(|text| folded(&text))),
            Kind::String => Ok(left.as_str() == right.as_str()),
            Kind::Array => self.arrays_equal(left, right, loosely),
            Kind::Object => self.objects_equal(left, right, loosely),
        }
    }

    fn arrays_equal(&mut self, left: Value<'a>, right: Value<'a>, loosely: bool) -> Result<bool, EvaluationError> {
        let (left, mut right): (Vec<_>, Vec<_>) = (left.elements().collect(), right.elements().collect());
        if left.len() != right.len() {
            return Ok(false);
        }
        for (at, value) in left.into_iter().enumerate() {
            let candidates = if loosely { at..right.len() } else { at..at + 1 };
            let mut found = None;
            for candidate in candidates {
                if self.values_equal(value, right[candidate], loosely)? {
                    found = Some(candidate);
                    break;
                }
            }
            let Some(found) = found else { return Ok(false) };
            right.swap(at, found);
        }
        Ok(true)
    }

    fn objects_equal(&mut self, left: Value<'a>, right: Value<'a>, loosely: bool) -> Result<bool, EvaluationError> {
        let count = left.members().count();
        if count != right.members().count() {
            return Ok(false);
        }
        // Most often the order is the same; only where it is not does a property cost a scan.
        let mut in_order = right.members();
        for member in left.members() {
            let name = member.name();
            let other = match in_order.next().filter(|other| other.name() == name) {
                Some(other) => Some(other.value()),
                None => {
                    self.charge(count)?;
                    right.get(&name)
                }
            };
            let Some(other) = other else { return Ok(false) };
            if !self.values_equal(member.value(), other, loosely)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The order of two items, `None` where it cannot be said; an error for types without order.
    pub(super) fn compare(&mut self, left: &Item<'a>, right: &Item<'a>) -> Result<Option<Ordering>, EvaluationError> {
        self.charge(1)?;
        let definitions = self.definitions();
        let (left, right) = (left.system(definitions), right.system(definitions));
        match (&left, &right) {
            (Item::String(left), Item::String(right)) => Ok(Some(left.cmp(right))),
            (Item::Date(left) | Item::DateTime(left), Item::Date(right) | Item::DateTime(right))
            | (Item::Time(left), Item::Time(right)) => Ok(left.compare(*right)),
            _ => match (as_quantity(&left), as_quantity(&right)) {
                (Some(left), Some(right)) => Ok(left.common(&right, false).map(|(left, right)| left.cmp(&right))),
                _ => Err(EvaluationError::Type("comparison")),
            },
        }
    }
}
