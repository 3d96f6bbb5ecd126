//! HL7's FHIRPath test suite for R4: every case passes, or stands in `known-failures.txt` with the reason.
#![expect(clippy::unwrap_used, reason = "tests")]

mod xml;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, Timestamp};
use fhirpool_fhirpath::{Context, Expression, Item};
use roxmltree::Node;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/fhirpath");
const KNOWN_FAILURES: &str = include_str!("known-failures.txt");

/// How many cases the suite has, and how many of them pass.
const CASES: usize = 935;
const PASSED: usize = 932;

fn read(name: &str) -> String {
    let path = Path::new(DATA).join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("the FHIRPath test data {name} is missing beside the repository (shared/data/fhirpath)"))
}

struct Suite {
    definitions: Arc<Definitions>,
    inputs: HashMap<String, Document>,
}

/// One case of the suite.
struct Case<'s> {
    name: String,
    input: Option<&'s str>,
    expression: &'s str,
    /// `syntax`, `semantic` or `execution`, where the expression must fail.
    invalid: Option<&'s str>,
    /// Whether only the presence of a result counts.
    predicate: bool,
    outputs: Vec<(Option<&'s str>, &'s str)>,
}

impl<'s> Case<'s> {
    fn read(group: &str, node: Node<'s, 's>) -> Self {
        let children = |name: &'static str| node.children().filter(move |child| child.has_tag_name(name));
        let expression = children("expression").next().unwrap();
        let outputs = children("output").map(|output| (output.attribute("type"), output.text().unwrap_or_default())).collect();
        Self {
            name: format!("{group}/{}", node.attribute("name").unwrap()),
            input: node.attribute("inputfile"),
            expression: expression.text().unwrap(),
            invalid: expression.attribute("invalid"),
            predicate: node.attribute("predicate") == Some("true"),
            outputs,
        }
    }
}

impl Suite {
    fn load(&mut self, name: &str) {
        if self.inputs.contains_key(name) {
            return;
        }
        let text = read(name);
        let json = if name.ends_with(".xml") { xml::to_json(&self.definitions, &text) } else { text };
        self.inputs.insert(name.to_owned(), Document::parse(json).unwrap());
    }

    /// The results as (type, text), or the error.
    fn evaluate(&self, case: &Case<'_>) -> Result<Vec<(String, String)>, String> {
        let expression = Expression::parse(case.expression).map_err(|error| format!("syntax: {error}"))?;
        let input = &self.inputs[case.input.unwrap_or("patient-example.xml")];
        let context = Context { now: Timestamp(1_800_000_000_000), ..Context::new(&self.definitions, input.root()) };
        let root = Item::resource(&self.definitions, input.root());
        if case.invalid == Some("semantic") {
            let type_name = root.type_name(&self.definitions);
            expression.check(&self.definitions, type_name).map_err(|error| format!("semantic: {error}"))?;
        }
        let items = expression.evaluate(&context, root).map_err(|error| format!("execution: {error}"))?;
        if case.predicate {
            return Ok(vec![("Boolean".to_owned(), (!items.is_empty()).to_string())]);
        }
        let described = items.iter().map(|item| {
            let at = match item.type_name(&self.definitions) {
                "Date" | "DateTime" | "date" | "dateTime" | "instant" => "@",
                "Time" | "time" => "@T",
                _ => "",
            };
            let text = item.to_text(&self.definitions).unwrap_or_else(|| item.json().map_or("", |value| value.raw()).to_owned());
            (item.type_name(&self.definitions).to_owned(), format!("{at}{text}"))
        });
        Ok(described.collect())
    }

    /// Why a case fails.
    fn failure(&self, case: &Case<'_>) -> Option<String> {
        match (self.evaluate(case), case.invalid) {
            (Err(_), Some(_)) => None,
            (Ok(found), Some(invalid)) => Some(format!("no {invalid} error, but {found:?}")),
            (Err(error), None) => Some(error),
            (Ok(found), None) => {
                let same = found.len() == case.outputs.len()
                    && found.iter().zip(&case.outputs).all(|((type_name, text), (expected_type, expected))| {
                        expected_type.is_none_or(|expected| expected.eq_ignore_ascii_case(type_name)) && text == expected
                    });
                (!same).then(|| format!("{found:?} instead of {:?}", case.outputs))
            }
        }
    }
}

#[test]
fn the_suite_passes_but_for_known_failures() {
    let text = read("tests-fhir-r4.xml");
    let document = roxmltree::Document::parse(&text).unwrap();
    let mut suite = Suite { definitions: Definitions::r4(), inputs: HashMap::new() };
    suite.load("patient-example.xml");
    let (mut count, mut failed) = (0, 0);
    let mut failures = BTreeMap::new();
    for group in document.root_element().children().filter(|node| node.has_tag_name("group")) {
        for node in group.children().filter(|node| node.has_tag_name("test")) {
            let case = Case::read(group.attribute("name").unwrap(), node);
            if let Some(input) = case.input {
                suite.load(input);
            }
            count += 1;
            if let Some(failure) = suite.failure(&case) {
                failed += 1;
                failures.insert(case.name.clone(), format!("{}\n    {failure}", case.expression));
            }
        }
    }
    let known: BTreeMap<&str, &str> = KNOWN_FAILURES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").expect("each known failure has a reason"))
        .collect();
    let mut report = String::new();
    for (name, failure) in failures.iter().filter(|(name, _)| !known.contains_key(name.as_str())) {
        let _ = writeln!(report, "{name} fails: {failure}");
    }
    for name in known.keys().filter(|name| !failures.contains_key(**name)) {
        let _ = writeln!(report, "{name} passes, but is listed as a known failure");
    }
    assert!(report.is_empty(), "{report}\n{} of {count} pass", count - failed);
    assert_eq!((count, count - failed), (CASES, PASSED));
}
