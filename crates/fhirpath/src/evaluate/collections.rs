//! Functions on collections: existence, projection, subsets, sets (FHIRPath N1, 5.1 to 5.4).

use std::cmp::Ordering;

use super::{Evaluator, Function, Items, Outcome, Scope};
use crate::ast::Ast;
use crate::{EvaluationError, Item};

fn count<'a>(length: usize) -> Item<'a> {
    Item::Integer(i32::try_from(length).unwrap_or(i32::MAX))
}

/// The value to sort an item by.
type Key<'a> = Option<Item<'a>>;

/// A stable merge sort. The standard one may panic, for dates of different precision have no consistent order.
fn merge_sorted<T>(items: Vec<T>, compare: &mut dyn FnMut(&T, &T) -> Result<Ordering, EvaluationError>) -> Result<Vec<T>, EvaluationError> {
    let mut runs: Vec<Vec<T>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(left) = pairs.next() {
            let right = pairs.next().unwrap_or_default();
            let mut run = Vec::with_capacity(left.len() + right.len());
            let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
            while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
                let from_right = compare(one, other)? == Ordering::Greater;
                run.extend(if from_right { right.next() } else { left.next() });
            }
            run.extend(left);
            run.extend(right);
            merged.push(run);
        }
        runs = merged;
    }
    Ok(runs.pop().unwrap_or_default())
}

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn existence(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let boolean = match function {
            Function::Empty => items.is_empty(),
            Function::Exists => match arguments.first() {
                None => !items.is_empty(),
                Some(criteria) => self.any_or_all(criteria, &items, scope, true)?,
            },
            Function::All => !self.any_or_all(&arguments[0], &items, scope, false)?,
            Function::Count => return Ok(vec![count(items.len())]),
            Function::Not => return Ok(self.boolean(&items, "not")?.map(|value| Item::Boolean(!value)).into_iter().collect()),
            _ => {
                let wanted = matches!(function, Function::AllTrue | Function::AnyTrue);
                let mut found = [false, false];
                for item in &items {
                    match item.system(self.definitions()) {
                        Item::Boolean(value) => found[usize::from(value == wanted)] = true,
                        _ => return Err(EvaluationError::Type(function.name())),
                    }
                }
                if matches!(function, Function::AllTrue | Function::AllFalse) { !found[0] } else { found[1] }
            }
        };
        Ok(vec![Item::Boolean(boolean)])
    }

    /// Whether the criteria come out as true (`sought`) or as anything else (not `sought`) for any item.
    fn any_or_all(&mut self, criteria: &Ast, items: &[Item<'a>], scope: Scope<'_, 'a>, sought: bool) -> Result<bool, EvaluationError> {
        for (index, item) in items.iter().enumerate() {
            if self.satisfies(criteria, item, index, scope)? == sought {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn satisfies(&mut self, criteria: &Ast, item: &Item<'a>, index: usize, scope: Scope<'_, 'a>) -> Result<bool, EvaluationError> {
        let result = self.with_item(criteria, item, index, scope)?;
        Ok(self.boolean(&result, "a condition")? == Some(true))
    }

    pub(super) fn projection(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        match function {
            Function::Where => {
                let mut out = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    if self.satisfies(&arguments[0], &item, index, scope)? {
                        out.push(item);
                    }
                }
                Ok(out)
            }
            Function::Select => {
                let mut out = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    out.append(&mut self.with_item(&arguments[0], item, index, scope)?);
                    self.check_size(out.len())?;
                }
                Ok(out)
            }
            Function::Repeat => self.repeat(&arguments[0], items, scope),
            Function::Aggregate => {
                let mut total = match arguments.get(1) {
                    Some(initial) => self.evaluate(initial, scope)?,
                    None => Vec::new(),
                };
                for (index, item) in items.iter().enumerate() {
                    let this = std::slice::from_ref(item);
                    total = self.evaluate(&arguments[0], Scope { this, index: Some(index), total: &total })?;
                }
                Ok(total)
            }
            Function::Sort => self.sort(arguments, items, scope),
            _ => self.iif(arguments, items, scope),
        }
    }

    /// Applies a projection to what it yields until nothing new comes.
    fn repeat(&mut self, projection: &Ast, items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let mut out: Items<'a> = Vec::new();
        let mut level = items;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (index, item) in level.iter().enumerate() {
                for found in self.with_item(projection, item, index, scope)? {
                    if !self.holds(&out, &found)? {
                        out.push(found.clone());
                        next.push(found);
                    }
                }
                self.check_size(out.len())?;
            }
            level = next;
        }
        Ok(out)
    }

    fn iif(&mut self, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        if items.len() > 1 {
            return Err(EvaluationError::NotSingle("iif"));
        }
        let scope = Scope { this: &items, ..scope };
        let criterion = self.evaluate(&arguments[0], scope)?;
        let chosen = match self.single(&criterion, "iif")? {
            Some(Item::Boolean(true)) => Some(&arguments[1]),
            Some(Item::Boolean(false)) | None => arguments.get(2),
            Some(_) => return Err(EvaluationError::Type("iif")),
        };
        chosen.map_or(Ok(Vec::new()), |branch| self.evaluate(branch, scope))
    }

    /// Stable, by the keys in turn; a key with a minus sign descends; an empty one comes first either way.
    fn sort(&mut self, keys: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let by_itself = [Ast::This];
        let keys = if keys.is_empty() { &by_itself } else { keys };
        let mut keyed = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let key = if let Ast::Negate(key) = key { key } else { key };
                let found = self.with_item(key, &item, index, scope)?;
                values.push(self.single(&found, "sort")?);
            }
            keyed.push((values, item));
        }
        let sorted = merge_sorted(keyed, &mut |(left, _), (right, _)| self.compare_keys(keys, left, right))?;
        Ok(sorted.into_iter().map(|(_, item)| item).collect())
    }

    fn compare_keys(&mut self, keys: &[Ast], left: &[Key<'a>], right: &[Key<'a>]) -> Result<Ordering, EvaluationError> {
        for ((left, right), key) in left.iter().zip(right).zip(keys) {
            let order = match (left, right) {
                (Some(left), Some(right)) => self.compare(left, right)?.unwrap_or(Ordering::Equal),
                (left, right) if left.is_some() != right.is_some() => return Ok(left.is_some().cmp(&right.is_some())),
                _ => Ordering::Equal,
            };
            if order != Ordering::Equal {
                return Ok(if matches!(key, Ast::Negate(_)) { order.reverse() } else { order });
            }
        }
        Ok(Ordering::Equal)
    }

    pub(super) fn subset(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let number = match arguments.first() {
            Some(argument) => match self.integer(argument, scope, function.name())? {
                Some(number) => usize::try_from(number).unwrap_or(0),
                None => return Ok(Vec::new()),
            },
            None => 1,
        };
        match function {
            Function::Single if items.len() > 1 => Err(EvaluationError::NotSingle("single")),
            Function::Last => Ok(items.into_iter().next_back().into_iter().collect()),
            Function::Tail | Function::Skip => Ok(items.into_iter().skip(number).collect()),
            _ => Ok(items.into_iter().take(number).collect()),
        }
    }

    pub(super) fn sets(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let other = match arguments.first() {
            Some(argument) => self.evaluate(argument, scope)?,
            None => Vec::new(),
        };
        let boolean = |value| Ok(vec![Item::Boolean(value)]);
        match function {
            Function::SubsetOf => boolean(self.is_subset(&items, &other)?),
            Function::SupersetOf => boolean(self.is_subset(&other, &items)?),
            Function::Distinct => self.distinct(items),
            Function::IsDistinct => {
                let length = items.len();
                boolean(self.distinct(items)?.len() == length)
            }
            Function::Combine => Ok([items, other].concat()),
            Function::Union => self.distinct([items, other].concat()),
            Function::Intersect => {
                let kept = self.filtered(items, &other, true)?;
                self.distinct(kept)
            }
            _ => self.filtered(items, &other, false),
        }
    }

    fn is_subset(&mut self, items: &[Item<'a>], of: &[Item<'a>]) -> Result<bool, EvaluationError> {
        for item in items {
            if !self.holds(of, item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The items that the other collection holds, or those that it does not.
    fn filtered(&mut self, items: Items<'a>, other: &[Item<'a>], held: bool) -> Outcome<'a> {
        let mut out = Vec::new();
        for item in items {
            if self.holds(other, &item)? == held {
                out.push(item);
            }
        }
        Ok(out)
    }

    /// The first of equal items each.
    pub(super) fn distinct(&mut self, items: Items<'a>) -> Outcome<'a> {
        let mut out: Items<'a> = Vec::with_capacity(items.len());
        for item in items {
            if !self.holds(&out, &item)? {
                out.push(item);
            }
        }
        Ok(out)
    }
}
