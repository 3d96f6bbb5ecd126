//! Equality of JSON values as RFC 6902, 4.6 has it: numbers by their value, objects without regard to order.

use fhirpool_fhir::json::{Kind, Value};

use super::Refusal;
use super::tree::{Node, spend};

/// Whether a node equals a value.
pub(super) fn equal(node: &Node<'_>, value: Value<'_>, left: &mut usize) -> Result<bool, Refusal> {
    match node {
        Node::Closed(closed) => equal_values(*closed, value, left),
        Node::Object(members) => {
            if !value.is_object() || value.members().count() != members.len() {
                return Ok(false);
            }
            for (name, node) in members {
                spend(left, members.len())?;
                let Some(other) = value.get(name) else { return Ok(false) };
                if !equal(node, other, left)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Node::Array(elements) => {
            if !value.is_array() || value.elements().count() != elements.len() {
                return Ok(false);
            }
            for (node, other) in elements.iter().zip(value.elements()) {
                if !equal(node, other, left)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn equal_values(one: Value<'_>, other: Value<'_>, left: &mut usize) -> Result<bool, Refusal> {
    spend(left, one.raw().len().min(other.raw().len()) + 1)?;
    if one.kind() != other.kind() {
        return Ok(false);
    }
    match one.kind() {
        Kind::Null => Ok(true),
        Kind::Bool => Ok(one.as_bool() == other.as_bool()),
        Kind::String => Ok(one.as_str() == other.as_str()),
        Kind::Number => Ok(equal_numbers(one.raw(), other.raw())),
        Kind::Object | Kind::Array => equal(&opened(one), other, left),
    }
}

fn opened(value: Value<'_>) -> Node<'_> {
    if value.is_object() {
        Node::Object(value.members().map(|member| (member.name(), Node::Closed(member.value()))).collect())
    } else {
        Node::Array(value.elements().map(Node::Closed).collect())
    }
}

/// Whether two JSON numbers have one value. Exponents beyond 64 bits are compared as text.
fn equal_numbers(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (normal(one), normal(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit.
fn normal(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let mut exponent: i64 = exponent.trim_start_matches('+').parse().ok()?;
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    exponent = exponent.checked_sub(fraction.len() as i64)?;
    let digits = format!("{whole}{fraction}");
    let short = digits.trim_end_matches('0');
    exponent = exponent.checked_add((digits.len() - short.len()) as i64)?;
    let short = short.trim_start_matches('0');
    if short.is_empty() { Some((false, String::new(), 0)) } else { Some((negative, short.to_owned(), exponent)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        for (one, other) in [("1", "1.00"), ("100", "1e2"), ("-0", "0.0"), ("0.10", "1E-1"), ("12.50", "125e-1")] {
            assert!(equal_numbers(one, other), "{one} {other}");
        }
        for (one, other) in [("1", "-1"), ("1", "10"), ("0.1", "0.01"), ("1e99999999999999999999", "1")] {
            assert!(!equal_numbers(one, other), "{one} {other}");
        }
    }
}
