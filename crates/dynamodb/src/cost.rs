//! What requests cost, computed from the sizes of items as DynamoDB bills them.
//!
//! A write costs a unit for each 1,024 bytes of the item begun, a strong read one for each 4,096 bytes, an eventual read half of
//! that; a query pays for the sum of what it looked at; within a transaction all costs double. A write whose condition failed and a
//! read of nothing cost as the least item does. It is computed here because the local engine tells transactions wrongly, and so
//! that tests can hold each operation to its price.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::types::AttributeValue;

use crate::item::Item;

const WRITE_UNIT_BYTES: usize = 1024;
const READ_UNIT_BYTES: usize = 4096;

/// What a request is for, as metrics and cost tables name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(pub &'static str);

/// How a unit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// A write unit.
    Write,
    /// A read unit of a strong read.
    StrongRead,
    /// A unit of an eventual read, which is billed as half a read unit.
    EventualRead,
}

impl UnitKind {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::StrongRead => "read_strong",
            Self::EventualRead => "read_eventual",
        }
    }
}

/// Units by operation and kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Units(pub BTreeMap<(Operation, UnitKind), u64>);

impl Units {
    /// Write units in all.
    pub fn writes(&self) -> f64 {
        self.sum(UnitKind::Write) as f64
    }

    /// Read units in all.
    pub fn reads(&self) -> f64 {
        self.sum(UnitKind::StrongRead) as f64 + self.sum(UnitKind::EventualRead) as f64 / 2.0
    }

    /// What came on top of an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = self.0.iter().map(|(line, units)| (*line, units - earlier.0.get(line).copied().unwrap_or(0)));
        Self(grown.filter(|(_, units)| *units > 0).collect())
    }

    fn sum(&self, kind: UnitKind) -> u64 {
        self.0.iter().filter(|((_, other), _)| *other == kind).map(|(_, units)| units).sum()
    }
}

/// Counts what is sent. One a client; the same goes to the metric `fhirpool_dynamodb_units_total`.
#[derive(Debug, Default)]
pub struct Costs(Mutex<Units>);

impl Costs {
    /// All that was counted so far.
    pub fn units(&self) -> Units {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add(&self, operation: Operation, kind: UnitKind, units: u64) {
        metrics::counter!("fhirpool_dynamodb_units_total", "operation" => operation.0, "kind" => kind.name()).increment(units);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).0.entry((operation, kind)).or_default() += units;
    }
}

/// Units of writing (or deleting) an item of this size.
pub(crate) fn write_units(bytes: usize) -> u64 {
    bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as u64
}

/// Units of reading items of this size in all.
pub(crate) fn read_units(bytes: usize) -> u64 {
    bytes.div_ceil(READ_UNIT_BYTES).max(1) as u64
}

/// An item's size: its attributes' names and values.
pub(crate) fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

const CONTAINER_BYTES: usize = 3;

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number_bytes(number),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_bytes(number)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(values) => CONTAINER_BYTES + values.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(members) => {
            CONTAINER_BYTES + members.iter().map(|(name, value)| 1 + name.len() + value_bytes(value)).sum::<usize>()
        }
        // Null, a truth value, or a kind to come.
        _ => 1,
    }
}

/// About a byte for two significant digits and one more; another for a sign.
fn number_bytes(number: &str) -> usize {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    digits.div_ceil(2) + 1 + usize::from(number.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_begun_blocks_and_never_none() {
        assert_eq!([0, 1, 1024, 1025, 350_000].map(write_units), [1, 1, 1, 2, 342]);
        assert_eq!([0, 1, 4096, 4097].map(read_units), [1, 1, 1, 2]);
    }

    #[test]
    fn an_item_is_as_large_as_its_names_and_values() {
        let item = Item::from([
            ("pk".to_owned(), AttributeValue::S("T#a".into())),
            ("n".to_owned(), AttributeValue::N("1234567".into())),
            ("b".to_owned(), AttributeValue::B(vec![0; 10].into())),
            ("f".to_owned(), AttributeValue::Bool(true)),
        ]);
        assert_eq!(item_bytes(&item), (2 + 3) + (1 + 5) + (1 + 10) + (1 + 1));
    }

    #[test]
    fn counts_tell_what_came_since() {
        let costs = Costs::default();
        costs.add(Operation("read"), UnitKind::EventualRead, 1);
        let before = costs.units();
        costs.add(Operation("read"), UnitKind::EventualRead, 1);
        costs.add(Operation("write"), UnitKind::Write, 3);
        let since = costs.units().since(&before);
        assert_eq!((since.reads(), since.writes()), (0.5, 3.0));
    }
}
