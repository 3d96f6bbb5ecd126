//! Composites (R4 search.html#composite): the values of the components one behind the other.

use super::{Accept, form, value_len};
use crate::ValueTest;
use crate::entry::KeyRange;

/// The value of one choice of component values.
pub(crate) fn value(components: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + components.iter().map(|component| component.len()).sum::<usize>());
    out.push(form::COMPOSITE);
    components.iter().for_each(|component| out.extend_from_slice(component));
    out
}

/// Values whose components pass the tests, one each.
pub(crate) fn test(components: Vec<ValueTest>) -> ValueTest {
    let mut ranges = Vec::new();
    collect_ranges(&[form::COMPOSITE], &components, &mut ranges);
    ValueTest::new(ranges, Accept::Composite(components))
}

/// The ranges of the first component; where one is a single value, narrowed by those of the next.
fn collect_ranges(ahead: &[u8], components: &[ValueTest], out: &mut Vec<KeyRange>) {
    let Some((first, rest)) = components.split_first() else { return };
    for (index, range) in first.ranges().iter().enumerate() {
        let from = [ahead, &range.from].concat();
        if first.is_single_value(index) && !rest.is_empty() {
            collect_ranges(&from, rest, out);
        } else {
            out.push(KeyRange { from, to: [ahead, &range.to].concat() });
        }
    }
}

pub(super) fn accepts(value: &[u8], components: &[ValueTest]) -> bool {
    let Some(mut rest) = value.strip_prefix(&[form::COMPOSITE]) else { return false };
    for test in components {
        let Some((component, behind)) = value_len(rest).and_then(|len| rest.split_at_checked(len)) else { return false };
        if !test.accepts(component) {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_fhir::Decimal;

    use super::*;
    use crate::value::{Comparator, number, token};

    fn blood_pressure(code: &str, number: &str) -> Vec<u8> {
        let mut quantity = Vec::new();
        let decimal = Decimal::parse(number);
        number::write(&number::Interval { low: decimal.clone(), high: decimal }, Some(number::Unit::default()), &mut |value| {
            quantity = value
        });
        value(&[&token::value(code, "http://loinc.org"), &quantity])
    }

    #[test]
    fn both_components_must_pass_together() {
        for system in [None, Some("http://loinc.org")] {
            let code = token::test(token::Sought { system, code: Some("8480-6"), implied: false });
            let quantity = number::test(Comparator::Greater, &Decimal::parse("140").unwrap(), Some(number::SoughtUnit::Any));
            let test = test(vec![code, quantity]);
            assert!(test.accepts(&blood_pressure("8480-6", "141")));
            assert!(!test.accepts(&blood_pressure("8480-6", "140")));
            assert!(!test.accepts(&blood_pressure("8462-4", "150")));
        }
    }
}
