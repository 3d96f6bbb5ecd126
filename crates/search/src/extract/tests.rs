//! Extraction by R4's own parameters.

#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_fhir::ResourceKey;
use fhirpool_fhir::definitions::SearchParameterKind;
use fhirpool_fhir::json::Document;

use super::rules::{Give, TypeRules};
use super::*;
use crate::ValueTest;
use crate::value::{Comparator, reference, value_len};

const BASE: &str = "http://127.0.0.1:8080/tenant/demo";

fn entries(json: &str) -> Vec<IndexEntry> {
    let document = Document::parse(json).unwrap();
    let resource_type = ResourceType::parse(&document.root().get_str("resourceType").unwrap()).unwrap();
    Extractors::new(Definitions::r4()).entries(resource_type, document.root(), BASE)
}

fn values(json: &str, code: &str) -> Vec<Vec<u8>> {
    let document = Document::parse(json).unwrap();
    let resource_type = ResourceType::parse(&document.root().get_str("resourceType").unwrap()).unwrap();
    let definitions = Definitions::r4();
    let number = definitions.search_parameter(resource_type, code).unwrap().number;
    entries(json).into_iter().filter(|entry| entry.parameter == number).map(|entry| entry.value).collect()
}

fn finds(json: &str, code: &str, test: &ValueTest) -> bool {
    values(json, code).iter().any(|value| test.accepts(value))
}

/// Parameters whose published expression reaches nothing that their type can find.
#[test]
fn every_published_parameter_has_rules() {
    let definitions = Definitions::r4();
    let mut without = Vec::new();
    for resource_type in ResourceType::all() {
        let rules = TypeRules::compile(&definitions, resource_type);
        assert_eq!(rules.unread, Vec::<String>::new());
        for (place, parameter) in rules.parameters.iter().enumerate() {
            let definition = definitions.search_parameter_by_number(parameter.number).unwrap();
            let mut actions = rules.tree.nodes.iter().flat_map(|node| &node.actions).filter(|action| action.parameter == place).peekable();
            if actions.peek().is_none() && !rules.expressions.iter().any(|(of, _)| *of == place) && !definition.expression.is_empty() {
                without.push(format!("{resource_type}.{} {}", definition.code, definition.expression));
            }
            for action in actions {
                let Give::Composite(components) = &action.give else { continue };
                for (at, component) in components.iter().enumerate() {
                    if component.tree.nodes.iter().all(|node| node.actions.is_empty()) {
                        without.push(format!("{resource_type}.{} component {at}", definition.code));
                    }
                }
            }
            assert_eq!(definition.kind == SearchParameterKind::Composite, !definition.components.is_empty());
        }
    }
    assert_eq!(without, Vec::<String>::new());
}
