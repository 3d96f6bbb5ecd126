//! The paths that nearly all of R4's search parameters are: names, types, and a few fixed conditions. What is no such path is
//! left to FHIRPath.

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// Into the elements of this name.
    Name(&'a str),
    /// Only what is of this type (`as`).
    As(&'a str),
    /// Only references to this type (`where(resolve() is …)`).
    ResolvesTo(&'a str),
    /// Only what has this in a property (`where(system='phone')`).
    Where {
        /// The property.
        name: &'a str,
        /// The string.
        value: &'a str,
    },
    /// Only the first (`[0]`).
    First,
}

/// The alternatives of a union, each `None` where it is no path.
pub(super) fn alternatives(expression: &str) -> Vec<(&str, Option<Vec<Step<'_>>>)> {
    split_outside(expression, '|').into_iter().map(|text| (text, path(text))).collect()
}

/// The parts between separators that stand outside of parentheses and quotes, trimmed, none empty.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut quoted, mut start) = (Vec::new(), 0_i32, false, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if letter == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn path(text: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    append_path(text, &mut steps)?;
    Some(steps)
}

fn append_path<'a>(text: &'a str, steps: &mut Vec<Step<'a>>) -> Option<()> {
    if let Some((ahead, type_name)) = text.split_once(" as ")
        && is_name(type_name)
        && !ahead.contains('(')
    {
        append_path(ahead, steps)?;
        steps.push(Step::As(type_name));
        return Some(());
    }
    for part in split_outside(text, '.') {
        append_part(part, steps)?;
    }
    Some(())
}

fn append_part<'a>(part: &'a str, steps: &mut Vec<Step<'a>>) -> Option<()> {
    if let Some(inner) = part.strip_prefix('(') {
        return append_path(inner.strip_suffix(')')?, steps);
    }
    if let Some(name) = part.strip_suffix("[0]") {
        steps.extend([Step::Name(checked_name(name)?), Step::First]);
        return Some(());
    }
    if let Some(type_name) = call(part, "as") {
        steps.push(Step::As(checked_name(type_name)?));
        return Some(());
    }
    if let Some(condition) = call(part, "where") {
        steps.push(match condition.strip_prefix("resolve() is ") {
            Some(type_name) => Step::ResolvesTo(checked_name(type_name)?),
            None => {
                let (name, value) = condition.split_once('=')?;
                let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Step::Where { name: checked_name(name.trim())?, value: Some(value).filter(|value| !value.contains(['\'', '\\']))? }
            }
        });
        return Some(());
    }
    steps.push(Step::Name(if part == "%resource" { part } else { checked_name(part)? }));
    Some(())
}

/// The argument of a call of this function.
fn call<'a>(part: &'a str, function: &str) -> Option<&'a str> {
    part.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')').map(str::trim)
}

fn checked_name(name: &str) -> Option<&str> {
    is_name(name).then_some(name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_shapes_are_paths() {
        use Step::{As, First, Name, ResolvesTo, Where};
        for (text, steps) in [
            ("Patient.name.family", vec![Name("Patient"), Name("name"), Name("family")]),
            ("(Observation.value as CodeableConcept).text", vec![Name("Observation"), Name("value"), As("CodeableConcept"), Name("text")]),
            ("Condition.onset.as(Age)", vec![Name("Condition"), Name("onset"), As("Age")]),
            ("Task.for.where(resolve() is Patient)", vec![Name("Task"), Name("for"), ResolvesTo("Patient")]),
            ("Person.telecom.where(system='email')", vec![Name("Person"), Name("telecom"), Where { name: "system", value: "email" }]),
            ("Bundle.entry[0].resource", vec![Name("Bundle"), Name("entry"), First, Name("resource")]),
            ("%resource.referenceSeq", vec![Name("%resource"), Name("referenceSeq")]),
        ] {
            assert_eq!(alternatives(text), [(text, Some(steps))], "{text}");
        }
    }

    #[test]
    fn unions_are_taken_apart_and_other_expressions_left_alone() {
        let expression = "Patient.deceased.exists() and Patient.deceased != false | (Goal.start as date)|name";
        let found = alternatives(expression);
        assert_eq!(found.iter().map(|(_, steps)| steps.as_ref().map(Vec::len)).collect::<Vec<_>>(), [None, Some(3), Some(1)]);
    }
}
