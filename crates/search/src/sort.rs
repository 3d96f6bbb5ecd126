//! The order of results.
//!
//! A sort key is the bytes of a whole value. Of several values the least counts when ascending, the greatest when descending;
//! what has none comes last either way; then come type and id, ascending. Dates and ranges sort by where they begin.
//!
//! An index may walk a parameter's postings within [`sort_range`] in byte order: that is the order of the sort.

use std::cmp::Ordering;

use fhirpool_fhir::{OrderedId, ResourceKey};

use crate::value::SORTED_FORMS_END;
use crate::{IndexEntry, KeyRange, Position, SortBy, SortTarget};

/// The values of a parameter that sorting looks at. Those outside are further ways to find the same.
pub fn sort_range() -> KeyRange {
    KeyRange { from: vec![0], to: vec![SORTED_FORMS_END] }
}

/// The sort key that a value of the parameter gives; `None` where sorting does not look at it.
pub fn sort_key_of_value(value: &[u8]) -> Option<&[u8]> {
    value.first().is_some_and(|form| *form < SORTED_FORMS_END).then_some(value)
}

/// A resource's sort key; `None` where it has no value.
pub fn sort_key(key: &ResourceKey, entries: &[IndexEntry], sort: &SortBy) -> Option<Vec<u8>> {
    match sort.target {
        SortTarget::Id => {
            let mut bytes = Vec::with_capacity(17);
            OrderedId::from(&key.id).write(&mut bytes);
            Some(bytes)
        }
        SortTarget::Parameter(parameter) => {
            let of_parameter = entries.iter().filter(|entry| entry.parameter == parameter);
            let keys = of_parameter.filter_map(|entry| sort_key_of_value(&entry.value));
            if sort.descending { keys.max() } else { keys.min() }.map(<[u8]>::to_vec)
        }
    }
}

/// A resource's place in the order.
pub fn position(key: &ResourceKey, entries: &[IndexEntry], sort: &[SortBy]) -> Position {
    let keys = sort.iter().map(|by| sort_key(key, entries, by)).collect();
    Position { keys, resource_type: key.resource_type, id: OrderedId::from(&key.id) }
}

/// Compares one sort key: missing last, else in the direction of the sort.
pub fn compare_keys(one: Option<&[u8]>, other: Option<&[u8]>, descending: bool) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) if descending => other.cmp(one),
        (Some(one), Some(other)) => one.cmp(other),
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

impl Position {
    /// The order of results under this sort.
    pub fn compare(&self, other: &Self, sort: &[SortBy]) -> Ordering {
        for (index, by) in sort.iter().enumerate() {
            let order = compare_keys(self.key(index), other.key(index), by.descending);
            if order.is_ne() {
                return order;
            }
        }
        self.resource_type.cmp(&other.resource_type).then_with(|| self.id.cmp(&other.id))
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        self.keys.get(index)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_fhir::definitions::ParameterNumber;
    use fhirpool_fhir::{ResourceId, ResourceType};

    use super::*;
    use crate::value::{string, token};

    fn place(id: &str, texts: &[&str], descending: bool) -> (Position, Vec<SortBy>) {
        let entries: Vec<_> = texts.iter().map(|text| IndexEntry { parameter: ParameterNumber(1), value: string::value(text) }).collect();
        let sort = vec![SortBy { target: SortTarget::Parameter(ParameterNumber(1)), descending }];
        let key = ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse(id).unwrap());
        (position(&key, &entries, &sort), sort)
    }

    fn order(one: (&str, &[&str]), other: (&str, &[&str]), descending: bool) -> Ordering {
        let (one, sort) = place(one.0, one.1, descending);
        one.compare(&place(other.0, other.1, descending).0, &sort)
    }

    #[test]
    fn the_least_value_counts_ascending_and_the_greatest_descending() {
        assert_eq!(order(("1", &["b", "z"]), ("2", &["c"]), false), Ordering::Less);
        assert_eq!(order(("1", &["b", "z"]), ("2", &["c"]), true), Ordering::Less);
        assert_eq!(order(("1", &["b", "d"]), ("2", &["e"]), true), Ordering::Greater);
    }

    #[test]
    fn missing_values_come_last_either_way_and_ids_decide_ties() {
        for descending in [false, true] {
            assert_eq!(order(("1", &[]), ("2", &["c"]), descending), Ordering::Greater);
            assert_eq!(order(("1", &["c"]), ("2", &["c"]), descending), Ordering::Less);
            assert_eq!(order(("2", &[]), ("1", &[]), descending), Ordering::Greater);
        }
    }

    #[test]
    fn further_ways_to_find_a_value_do_not_sort() {
        assert_eq!(sort_key_of_value(&token::text_value("aaa").unwrap()), None);
        let value = token::value("b", "");
        assert_eq!(sort_key_of_value(&value), Some(&*value));
        assert!(sort_range().contains(&value) && !sort_range().contains(&token::text_value("x").unwrap()));
    }
}
