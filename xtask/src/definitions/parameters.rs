//! The search parameters with their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::types::text;
use crate::Failure;

/// The table's file.
pub const FILE: &str = "search-parameters.txt";

const HEAD: &str = "\
# R4's search parameters (4.0.1). Written by `cargo xtask definitions`.
#
# The number stands in stored keys: it is assigned once and kept by canonical URL when this file is written again. Bases may
# be Resource or DomainResource; no targets means any.
#
# number code type canonical-URL
#   for base …
#   to target …
#   as FHIRPath
#   part canonical-URL FHIRPath
# retired number canonical-URL
";

/// As many targets as this stand for any type: R4 lists all but Parameters then.
const ANY_TARGETS_MIN: usize = 140;

/// Writes the table; `so_far` is the one to take the numbers from.
pub fn compile(parameters: &[Value], so_far: &str) -> Result<String, Failure> {
    let mut numbers = numbers(so_far)?;
    let mut next = numbers.values().max().map_or(1, |last| last + 1);
    let mut by_url: BTreeMap<&str, &Value> = BTreeMap::new();
    for parameter in parameters {
        let url = text(parameter, "url")?;
        if by_url.insert(url, parameter).is_some() {
            return Err(format!("{url} stands twice").into());
        }
    }
    for url in by_url.keys() {
        numbers.entry((*url).to_owned()).or_insert_with(|| {
            next += 1;
            next - 1
        });
    }
    let by_number: BTreeMap<u16, &String> = numbers.iter().map(|(url, number)| (*number, url)).collect();
    if by_number.len() != numbers.len() {
        return Err(format!("a number stands twice in {FILE}").into());
    }
    let mut table = HEAD.to_owned();
    for (number, url) in by_number {
        match by_url.get(url.as_str()) {
            Some(parameter) => write_parameter(&mut table, number, parameter)?,
            None => writeln!(table, "retired {number} {url}")?,
        }
    }
    Ok(table)
}

/// Canonical URL → number, of those in use and those retired.
fn numbers(table: &str) -> Result<BTreeMap<String, u16>, Failure> {
    let mut numbers = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with(['#', ' '])) {
        let words: Vec<&str> = line.split(' ').collect();
        let (number, url) = match words[..] {
            ["retired", number, url] | [number, _, _, url] => (number, url),
            _ => return Err(format!("{FILE} has a line that is none: {line}").into()),
        };
        numbers.insert(url.to_owned(), number.parse().map_err(|_| format!("{FILE} has a bad number: {line}"))?);
    }
    Ok(numbers)
}

fn write_parameter(table: &mut String, number: u16, parameter: &Value) -> Result<(), Failure> {
    writeln!(table, "{number} {} {} {}", text(parameter, "code")?, text(parameter, "type")?, text(parameter, "url")?)?;
    let names = |list: &str| -> Vec<&str> { parameter[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    writeln!(table, "  for {}", names("base").join(" "))?;
    let targets: BTreeSet<&str> = names("target").into_iter().collect();
    if (1..ANY_TARGETS_MIN).contains(&targets.len()) {
        writeln!(table, "  to {}", targets.into_iter().collect::<Vec<_>>().join(" "))?;
    }
    if let Some(expression) = parameter["expression"].as_str() {
        writeln!(table, "  as {}", one_line(expression))?;
    }
    for part in parameter["component"].as_array().into_iter().flatten() {
        writeln!(table, "  part {} {}", text(part, "definition")?, one_line(text(part, "expression")?))?;
    }
    Ok(())
}

fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn parameter(url: &str) -> Value {
        json!({"url": url, "code": "c", "type": "token", "base": ["Patient"], "expression": "Patient.c"})
    }

    #[test]
    fn numbers_stay_with_their_urls() {
        let first = compile(&[parameter("u:b"), parameter("u:c")], "").unwrap();
        let second = compile(&[parameter("u:a"), parameter("u:c")], &first).unwrap();
        let kept = numbers(&second).unwrap();
        assert_eq!((kept["u:b"], kept["u:c"], kept["u:a"]), (1, 2, 3));
        assert!(second.contains("retired 1 u:b\n"));
        assert_eq!(compile(&[parameter("u:a"), parameter("u:c")], &second).unwrap(), second);
    }
}
