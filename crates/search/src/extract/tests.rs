//! Extraction by R4's own parameters.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Read;
use std::path::Path;

use fhirpool_fhir::definitions::SearchParameterKind;
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceId, ResourceKey, VersionId};

use super::rules::{Give, TypeRules};
use super::*;
use crate::testing::BASE;
use crate::value::{form, value_len};
use crate::{compartments_of, reference_value};

fn resource_type(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn key(name: &str, id: &str) -> ResourceKey {
    ResourceKey::new(resource_type(name), ResourceId::parse(id).unwrap())
}

fn type_of(document: &Document) -> ResourceType {
    resource_type(&document.root().get_str("resourceType").unwrap())
}

fn entries(json: &str) -> Vec<IndexEntry> {
    let document = Document::parse(json).unwrap();
    Extractors::new(Definitions::r4()).entries(type_of(&document), document.root(), &BASE)
}

fn values(json: &str, code: &str) -> Vec<Vec<u8>> {
    let definitions = Definitions::r4();
    let number = definitions.search_parameter(type_of(&Document::parse(json).unwrap()), code).unwrap().number;
    entries(json).into_iter().filter(|entry| entry.parameter == number).map(|entry| entry.value).collect()
}

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

/// Real resources: each value delimits itself, is short enough, and stands once.
#[test]
fn values_of_real_resources_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/synthea");
    let path = folder.join("0-practitionerInformation1625911868739.json.gz");
    let file = std::fs::File::open(&path).expect("the test data (synthea) lies in ../shared/data beside the repository");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let bundle = Document::parse(bytes).unwrap();
    let extractors = Extractors::new(Definitions::r4());
    let mut count = 0;
    for entry in bundle.root().get("entry").unwrap().elements() {
        let resource = entry.get("resource").unwrap();
        let entries = extractors.entries(resource_type(&resource.get_str("resourceType").unwrap()), resource, &BASE);
        assert!(entries.windows(2).all(|pair| pair[0] < pair[1]));
        for entry in &entries {
            assert!(entry.value.len() <= IndexEntry::VALUE_BYTES_MAX);
            assert_eq!(value_len(&entry.value), Some(entry.value.len()));
        }
        count += entries.len();
    }
    assert!(count > 1000);
}

#[test]
fn no_text_makes_a_value_longer_than_allowed() {
    let long = "\u{5c71}x".repeat(5000);
    let json = format!(
        r#"{{"resourceType":"Observation","id":"1","status":"final","code":{{"text":"{long}","coding":[{{"system":"http://{long}","code":"{long}","display":"{long}"}}]}},
        "valueString":"{long}","subject":{{"reference":"http://{long}/x"}},"identifier":[{{"system":"{long}","value":"{long}","type":{{"coding":[{{"system":"{long}","code":"{long}"}}]}}}}],
        "component":[{{"code":{{"coding":[{{"system":"{long}","code":"{long}"}}]}},"valueQuantity":{{"value":1,"system":"{long}","code":"{long}","unit":"{long}"}}}}]}}"#
    );
    let entries = entries(&json);
    let longest = entries.iter().map(|entry| entry.value.len()).max().unwrap();
    assert!(longest > 1000 && longest <= IndexEntry::VALUE_BYTES_MAX, "{longest}");
}

#[test]
fn combinations_of_a_hostile_composite_are_limited() {
    let codings = (0..300).map(|n| format!(r#"{{"code":"c{n}"}}"#)).collect::<Vec<_>>().join(",");
    let json = format!(
        r#"{{"resourceType":"Observation","id":"1","code":{{"coding":[{codings}]}},"valueCodeableConcept":{{"coding":[{codings}]}}}}"#
    );
    assert_eq!(values(&json, "code-value-concept").len(), Extractors::COMBINATIONS_MAX);
}

#[test]
fn malformed_elements_give_nothing() {
    let json = r#"{"resourceType":"Patient","id":"1","name":"x","birthDate":5,"gender":{},"active":"yes","identifier":{"value":3},
        "telecom":[null,{"value":null}],"address":[[]],"generalPractitioner":[{"reference":7}],"deceasedDateTime":"soon","meta":[]}"#;
    let found: Vec<_> = entries(json).into_iter().map(|entry| entry.value[0]).collect();
    // The text that stands for a name, `active`, and `deceased`, which is computed.
    assert!(found.iter().all(|kind| matches!(*kind, form::STRING | form::TOKEN)), "{found:?}");
}

#[test]
fn references_for_inclusion() {
    let definitions = Definitions::r4();
    let extractors = Extractors::new(definitions.clone());
    let targets = |json: &str, code: &str| {
        let document = Document::parse(json).unwrap();
        let number = definitions.search_parameter(type_of(&document), code).unwrap().number;
        extractors.references(number, type_of(&document), document.root(), &BASE)
    };
    let json = r##"{"resourceType":"Observation","id":"1","subject":{"reference":"http://127.0.0.1:8080/tenant/demo/Patient/1/_history/3"},
        "performer":[{"reference":"Practitioner/2"},{"reference":"http://other/Practitioner/3"},{"reference":"#c"},{"display":"x"}]}"##;
    let local = |key, version| ReferenceTarget::Local { key, version };
    assert_eq!(targets(json, "subject"), [local(key("Patient", "1"), Some(VersionId(3)))]);
    assert_eq!(targets(json, "patient"), [local(key("Patient", "1"), Some(VersionId(3)))]);
    assert_eq!(targets(json, "performer"), [local(key("Practitioner", "2"), None)]);
    assert_eq!(targets(json, "encounter"), []);
    let response = r#"{"resourceType":"QuestionnaireResponse","id":"1","questionnaire":"http://x/Q|2"}"#;
    let canonical = ReferenceTarget::Canonical { url: "http://x/Q".to_owned(), version: Some("2".to_owned()) };
    assert_eq!(targets(response, "questionnaire"), [canonical]);
}

#[test]
fn a_resource_belongs_to_the_compartments_it_refers_to() {
    let json = r#"{"resourceType":"Observation","id":"1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},
        "encounter":{"reference":"Encounter/e"},"performer":[{"reference":"Practitioner/d"},{"reference":"Patient/q"}],"device":{"reference":"Device/v"}}"#;
    let definitions = Definitions::r4();
    let found = compartments_of(&definitions, &key("Observation", "1"), &entries(json));
    let expected = [key("Device", "v"), key("Encounter", "e"), key("Patient", "p"), key("Patient", "q"), key("Practitioner", "d")];
    assert_eq!(found, expected);
    let own = compartments_of(&definitions, &key("Patient", "p"), &entries(r#"{"resourceType":"Patient","id":"p"}"#));
    assert_eq!(own, [key("Patient", "p")]);
    assert!(compartments_of(&definitions, &key("Medication", "m"), &[]).is_empty());
}

#[test]
fn references_are_single_values_by_type_and_id() {
    let json =
        r#"{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/1"},"encounter":{"reference":"Encounter/1/_history/2"}}"#;
    assert_eq!(values(json, "subject"), [reference_value(&key("Patient", "1"))]);
    let encounter = values(json, "encounter");
    assert_eq!(encounter.len(), 2);
    assert_eq!(encounter[0], reference_value(&key("Encounter", "1")));
}
