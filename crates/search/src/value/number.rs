//! Numbers and quantities (R4 search.html#number, #quantity): intervals of decimals, a point being one without length.
//!
//! Every interval is posted by its lower end; one that is no point by its upper end as well. A quantity carries its unit behind
//! the interval, so that one range finds it whatever unit the search names.

use fhirpool_fhir::Decimal;

use super::{Accept, Comparator, form, text};
use crate::entry::{KeyRange, successor};
use crate::{Pattern, ValueTest};

/// A lower end, included, and an upper one, excluded; `None`: none.
type Bounds<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Behind which no upper end stands: it is the lower one. Also: no lower end.
const NONE: u8 = 0;
/// No upper end. Decimals begin with 1, 2 or 3.
const INFINITE: u8 = 4;
const UCUM: &str = "http://unitsofmeasure.org";
/// Stands for [`UCUM`].
const UCUM_SHORT: &str = "\u{2}";

/// An interval of a resource, both ends included; `None`: open.
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    /// The least.
    pub low: Option<Decimal>,
    /// The greatest.
    pub high: Option<Decimal>,
}

/// What stands behind a quantity's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unit<'a> {
    /// The system of the code.
    pub system: &'a str,
    /// The coded unit.
    pub code: &'a str,
    /// The unit for people.
    pub text: &'a str,
}

/// Gives the values of an interval; with a unit as those of a quantity.
pub(crate) fn write(interval: &Interval, unit: Option<Unit<'_>>, give: &mut dyn FnMut(Vec<u8>)) {
    let (low, high) = (ordered(interval.low.as_ref(), NONE), ordered(interval.high.as_ref(), INFINITE));
    let (by_low, by_high) = if unit.is_some() { (form::QUANTITY, form::QUANTITY_BY_HIGH) } else { (form::NUMBER, form::NUMBER_BY_HIGH) };
    let mut unit_bytes = Vec::new();
    if let Some(unit) = unit {
        write_unit(unit, &mut unit_bytes);
    }
    if low == high {
        give([&[by_low], &*low, &[NONE], &unit_bytes].concat());
    } else {
        give([&[by_low], &*low, &high, &unit_bytes].concat());
        give([&[by_high], &*high, &low, &unit_bytes].concat());
    }
}

/// System, code, and the text where it is not the code again.
fn write_unit(unit: Unit<'_>, out: &mut Vec<u8>) {
    write_system(unit.system, out);
    text::write(unit.code, text::CODE_BYTES_MAX, out);
    text::write(if unit.text == unit.code { "" } else { unit.text }, text::CODE_BYTES_MAX, out);
}

fn write_system(system: &str, out: &mut Vec<u8>) {
    text::write(if system == UCUM { UCUM_SHORT } else { system }, text::CODE_BYTES_MAX, out);
}

fn ordered(decimal: Option<&Decimal>, open: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    match decimal {
        Some(decimal) => decimal.write_ordered(&mut out),
        None => out.push(open),
    }
    out
}

fn end_len(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        NONE | INFINITE => Some(1),
        _ => Decimal::ordered_len(bytes),
    }
}

/// How many bytes behind the form are the interval.
pub(super) fn interval_len(bytes: &[u8]) -> Option<usize> {
    let first = end_len(bytes)?;
    Some(first + end_len(&bytes[first..])?)
}

/// Low and high as ordered bytes, and the unit.
fn read(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (form, rest) = value.split_first()?;
    let (first, rest) = rest.split_at_checked(end_len(rest)?)?;
    let (second, unit) = rest.split_at_checked(end_len(rest)?)?;
    Some(match *form {
        form::NUMBER_BY_HIGH | form::QUANTITY_BY_HIGH => (second, first, unit),
        _ if second == [NONE] => (first, first, unit),
        _ => (first, second, unit),
    })
}

/// Which unit is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SoughtUnit<'a> {
    /// Any (`5.4`).
    Any,
    /// The code of the system (`5.4|http://unitsofmeasure.org|mg`).
    Coded {
        /// The system.
        system: &'a str,
        /// The code.
        code: &'a str,
    },
    /// This as code or as text (`5.4||mg`).
    Named(&'a str),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum UnitRule {
    Any,
    /// System and code as they are written.
    Coded(Vec<u8>),
    /// Code or text as it is written.
    Named(Vec<u8>),
}

impl UnitRule {
    fn accepts(&self, unit: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Coded(coded) => unit.starts_with(coded),
            Self::Named(name) => {
                let code_and_text = text::split(unit).map(|(_, rest)| rest);
                code_and_text
                    .is_some_and(|code| code.starts_with(name) || text::split(code).is_some_and(|(_, text)| text.starts_with(name)))
            }
        }
    }
}

/// How interval and unit must compare with what is sought. All numbers are ordered bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NumberRule {
    comparator: Comparator,
    /// The number itself; for [`Comparator::Approximate`] the lower end.
    exact: Vec<u8>,
    /// The least that equals it at the precision written.
    low: Vec<u8>,
    /// The first that is too great to; for [`Comparator::Approximate`] the greatest that is near enough.
    high: Vec<u8>,
    unit: UnitRule,
}

impl NumberRule {
    pub(super) fn accepts(&self, value: &[u8]) -> bool {
        read(value).is_some_and(|(low, high, unit)| self.compares(low, high) && self.unit.accepts(unit))
    }

    /// Whether the ranges of [`test`] hold nothing else. By its lower end alone nothing can be told of an upper end, since a range
    /// that a resource gives may be the wrong way round.
    pub(super) fn is_told_by_ranges(&self) -> bool {
        let by_low_end = matches!(self.comparator, Comparator::Less | Comparator::LessOrEqual | Comparator::StartsAfter);
        by_low_end && self.unit == UnitRule::Any
    }

    fn compares(&self, low: &[u8], high: &[u8]) -> bool {
        let exact = self.exact.as_slice();
        let equal = || self.low.as_slice() <= low && high < self.high.as_slice();
        match self.comparator {
            Comparator::Equal => equal(),
            Comparator::NotEqual => !equal(),
            Comparator::Greater => high > exact,
            Comparator::Less => low < exact,
            Comparator::GreaterOrEqual => high > exact || (low == exact && high == exact),
            Comparator::LessOrEqual => low < exact || (low == exact && high == exact),
            Comparator::StartsAfter => low > exact,
            Comparator::EndsBefore => high < exact,
            Comparator::Approximate => low <= self.high.as_slice() && high >= self.low.as_slice(),
        }
    }
}

impl NumberRule {
    /// How the values of the form are written that pass.
    pub(super) fn pattern(&self, form: u8) -> Pattern {
        let is_by_high = matches!(form, form::NUMBER_BY_HIGH | form::QUANTITY_BY_HIGH);
        let points = if is_by_high { Vec::new() } else { self.points() };
        let points = points.into_iter().map(|point| Pattern::sequence([point, Pattern::byte(NONE)]));
        let intervals =
            self.intervals().into_iter().map(|(low, high)| Pattern::sequence(if is_by_high { [high, low] } else { [low, high] }));
        let numbers = Pattern::OneOf(points.chain(intervals).collect());
        match form {
            form::QUANTITY | form::QUANTITY_BY_HIGH => Pattern::sequence([Pattern::byte(form), numbers, self.unit.pattern()]),
            _ => Pattern::sequence([Pattern::byte(form), numbers]),
        }
    }

    /// Which points pass: alternatives.
    fn points(&self) -> Vec<Pattern> {
        let (exact, low, high) = (self.exact.as_slice(), self.low.as_slice(), self.high.as_slice());
        let behind = behind(exact);
        let bounds: &[Bounds<'_>] = match self.comparator {
            Comparator::Equal => &[(Some(low), Some(high))],
            Comparator::NotEqual => &[(None, Some(low)), (Some(high), None)],
            Comparator::Greater | Comparator::StartsAfter => &[(Some(&behind), None)],
            Comparator::Less | Comparator::EndsBefore => &[(None, Some(exact))],
            Comparator::GreaterOrEqual => &[(Some(exact), None)],
            Comparator::LessOrEqual => &[(None, Some(&behind))],
            Comparator::Approximate => &[(Some(low), Some(&self::behind(high)))],
        };
        bounds.iter().map(|(from, to)| Pattern::between(decimal_pattern(), *from, *to)).collect()
    }

    /// Which intervals pass, points aside: alternatives of lower and upper end.
    fn intervals(&self) -> Vec<(Pattern, Pattern)> {
        let low_end = |from, to| Pattern::between(Pattern::OneOf(vec![Pattern::byte(NONE), decimal_pattern()]), from, to);
        let high_end = |from, to| Pattern::between(Pattern::OneOf(vec![decimal_pattern(), Pattern::byte(INFINITE)]), from, to);
        let (exact, low, high) = (Some(self.exact.as_slice()), Some(self.low.as_slice()), Some(self.high.as_slice()));
        let (behind_exact, behind_high) = (behind(&self.exact), behind(&self.high));
        let any_low = || low_end(None, None);
        let any_high = || high_end(None, None);
        match self.comparator {
            Comparator::Equal => vec![(low_end(low, None), high_end(None, high))],
            Comparator::NotEqual => vec![(low_end(None, low), any_high()), (any_low(), high_end(high, None))],
            Comparator::Greater | Comparator::GreaterOrEqual => vec![(any_low(), high_end(Some(&behind_exact), None))],
            Comparator::Less | Comparator::LessOrEqual => vec![(low_end(None, exact), any_high())],
            Comparator::StartsAfter => vec![(low_end(Some(&behind_exact), None), any_high())],
            Comparator::EndsBefore => vec![(any_low(), high_end(None, exact))],
            Comparator::Approximate => vec![(low_end(None, Some(&behind_high)), high_end(low, None))],
        }
    }
}

/// The first bytes behind these.
fn behind(number: &[u8]) -> Vec<u8> {
    [number, &[0]].concat()
}

/// How decimals are written ([`Decimal::write_ordered`]).
fn decimal_pattern() -> Pattern {
    let signed = |sign, end| Pattern::sequence([Pattern::byte(sign), Pattern::AnyBytes(2), Pattern::Until(end)]);
    Pattern::OneOf(vec![signed(1, u8::MAX), Pattern::byte(2), signed(3, 0)])
}

/// How an interval is written, behind the form.
pub(super) fn interval_pattern() -> Pattern {
    let end = || Pattern::OneOf(vec![Pattern::byte(NONE), decimal_pattern(), Pattern::byte(INFINITE)]);
    Pattern::sequence([end(), end()])
}

impl UnitRule {
    fn pattern(&self) -> Pattern {
        let text = || Pattern::Until(0);
        match self {
            Self::Any => Pattern::sequence([text(), text(), text()]),
            Self::Coded(coded) => Pattern::sequence([Pattern::Bytes(coded.clone()), text()]),
            Self::Named(name) => {
                let name = || Pattern::Bytes(name.clone());
                Pattern::sequence([text(), Pattern::OneOf(vec![Pattern::sequence([name(), text()]), Pattern::sequence([text(), name()])])])
            }
        }
    }
}

/// Numbers that compare so with the sought one: at its precision for `eq` and `ne`, exactly for the others, within a tenth
/// (or its precision, where that is wider) for `ap`. With a unit: quantities.
pub(crate) fn test(comparator: Comparator, sought: &Decimal, unit: Option<SoughtUnit<'_>>) -> ValueTest {
    let (mut low, mut high) = sought.implicit_range();
    if comparator == Comparator::Approximate {
        let (near_low, near_high) = sought.approximate_range();
        low = if near_low.compare(&low).is_lt() { near_low } else { low };
        high = if near_high.compare(&high).is_gt() { near_high } else { high };
    }
    let rule = NumberRule {
        comparator,
        exact: ordered(Some(sought), NONE),
        low: ordered(Some(&low), NONE),
        high: ordered(Some(&high), NONE),
        unit: match unit {
            None | Some(SoughtUnit::Any) => UnitRule::Any,
            Some(SoughtUnit::Coded { system, code }) => {
                let mut coded = Vec::new();
                write_system(system, &mut coded);
                text::write(code, text::CODE_BYTES_MAX, &mut coded);
                UnitRule::Coded(coded)
            }
            Some(SoughtUnit::Named(name)) => {
                let mut named = Vec::new();
                text::write(name, text::CODE_BYTES_MAX, &mut named);
                UnitRule::Named(named)
            }
        },
    };
    let forms = if unit.is_some() { (form::QUANTITY, form::QUANTITY_BY_HIGH) } else { (form::NUMBER, form::NUMBER_BY_HIGH) };
    ValueTest::new(ranges(&rule, forms), Accept::Number(rule))
}

fn ranges(rule: &NumberRule, (by_low, by_high): (u8, u8)) -> Vec<KeyRange> {
    let at = |form: u8, number: &[u8]| [&[form], number].concat();
    let behind = |form: u8, number: &[u8]| successor(&at(form, number));
    let (exact, low, high) = (rule.exact.as_slice(), rule.low.as_slice(), rule.high.as_slice());
    let range = |from: Vec<u8>, to: Vec<u8>| KeyRange { from, to };
    match rule.comparator {
        Comparator::Equal => vec![range(at(by_low, low), at(by_low, high))],
        Comparator::NotEqual => vec![KeyRange::prefix(vec![by_low])],
        Comparator::Greater => vec![range(behind(by_low, exact), vec![by_low + 1]), range(behind(by_high, exact), vec![by_high + 1])],
        Comparator::GreaterOrEqual => vec![range(at(by_low, exact), vec![by_low + 1]), range(behind(by_high, exact), vec![by_high + 1])],
        Comparator::Less | Comparator::EndsBefore => vec![range(vec![by_low], at(by_low, exact))],
        // Of what begins at the number, only the number itself: a point, which goes on with NONE.
        Comparator::LessOrEqual => vec![range(vec![by_low], [&at(by_low, exact), &[NONE + 1][..]].concat())],
        Comparator::StartsAfter => vec![range(behind(by_low, exact), vec![by_low + 1])],
        Comparator::Approximate => vec![range(at(by_low, low), behind(by_low, high)), range(at(by_high, low), vec![by_high + 1])],
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    fn interval(text: &str) -> Interval {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        Interval { low: Decimal::parse(low), high: Decimal::parse(high) }
    }

    fn values(text: &str, unit: Option<Unit<'_>>) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        write(&interval(text), unit, &mut |value| values.push(value));
        values
    }

    fn finds(prefix: &str, sought: &str, value: &str) -> bool {
        let test = test(Comparator::split(prefix).0, &decimal(sought), None);
        let values = values(value, None);
        for bytes in &values {
            let passes = test.accepts(bytes);
            assert_eq!(test.pattern().matches(bytes), passes, "{prefix} {sought} {value}");
            let is_in_range = test.ranges().iter().any(|range| range.contains(bytes));
            assert!(passes || !is_in_range || !test.accepts_all_in_ranges(), "{prefix} {sought} {value}");
        }
        values.iter().any(|value| test.accepts(value))
    }

    #[test]
    fn eq_and_ne_go_by_the_precision_written() {
        for (sought, value, equal) in [
            ("100", "99.5", true),
            ("100", "100.49", true),
            ("100", "100.5", false),
            ("100", "99.49", false),
            ("100.00", "100.004", true),
            ("100.00", "100.005", false),
            ("1e2", "95", true),
            ("1e2", "105", false),
            ("5.4", "5.40", true),
            ("-5.4", "-5.44", true),
            ("0", "0.4", true),
            ("100", "99.6..100.4", true),
            ("100", "99..100", false),
        ] {
            assert_eq!(finds("eq", sought, value), equal, "eq{sought} {value}");
            assert_eq!(finds("ne", sought, value), !equal, "ne{sought} {value}");
        }
    }

    #[test]
    fn the_others_compare_exactly() {
        for (prefix, value, found) in [
            ("gt", "100.001", true),
            ("gt", "100", false),
            ("lt", "99.999", true),
            ("lt", "100.0", false),
            ("ge", "100", true),
            ("ge", "99.999", false),
            ("le", "100.0", true),
            ("le", "100.1", false),
            ("sa", "100.1", true),
            ("sa", "99..101", false),
            ("eb", "99", true),
            ("eb", "99..101", false),
            ("gt", "99..101", true),
            ("lt", "99..101", true),
            ("gt", "5..", true),
            ("lt", "200..", false),
            ("eb", "..99", true),
            ("lt", "..500", true),
            ("ge", "100..99", false),
            ("gt", "101..99", false),
            ("le", "100..99", false),
            ("sa", "101..99", true),
            ("ap", "110", true),
            ("ap", "110.1", false),
            ("ap", "89..90", true),
            ("ap", "80..", true),
            ("ap", "-100", false),
        ] {
            assert_eq!(finds(prefix, "100", value), found, "{prefix}100 {value}");
        }
    }

    #[test]
    fn units_are_filtered() {
        let mg = Unit { system: UCUM, code: "mg", text: "milligram" };
        let found = |sought: SoughtUnit<'_>, unit: Unit<'_>| {
            let test = test(Comparator::Equal, &decimal("5.4"), Some(sought));
            values("5.4", Some(unit)).iter().any(|value| {
                assert_eq!(test.pattern().matches(value), test.accepts(value));
                test.accepts(value)
            })
        };
        assert!(found(SoughtUnit::Any, mg));
        assert!(found(SoughtUnit::Coded { system: UCUM, code: "mg" }, mg));
        assert!(!found(SoughtUnit::Coded { system: "http://other", code: "mg" }, mg));
        assert!(!found(SoughtUnit::Coded { system: UCUM, code: "m" }, mg));
        assert!(found(SoughtUnit::Named("mg"), mg) && found(SoughtUnit::Named("milligram"), mg));
        assert!(!found(SoughtUnit::Named("milli"), mg));
        assert!(found(SoughtUnit::Named("mg"), Unit { system: "", code: "", text: "mg" }));
    }

    #[test]
    fn values_delimit_themselves() {
        for unit in [None, Some(Unit::default()), Some(Unit { system: UCUM, code: "kg", text: "kg" })] {
            for text in ["0", "-12.5", "1..2", "..3", "3..", "-1e30..0.0001"] {
                for value in values(text, unit) {
                    assert_eq!(crate::value::value_len(&[&*value, b"more"].concat()), Some(value.len()), "{text}");
                }
            }
        }
    }
}
