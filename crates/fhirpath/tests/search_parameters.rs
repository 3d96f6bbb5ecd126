//! Every search parameter expression of R4 parses and resolves for each of its types.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Definitions, ResourceType};
use fhirpool_fhirpath::{Context, Expression, Item};

fn evaluate(definitions: &Definitions, resource: &str, expression: &str) -> Vec<String> {
    let document = Document::parse(resource).unwrap();
    let root = document.root();
    let type_name = root.get_str("resourceType").unwrap();
    let context = Context::new(definitions, root);
    let expression = Expression::parse(expression).unwrap().for_type(definitions, &type_name).unwrap();
    let items = expression.evaluate(&context, Item::resource(definitions, root)).unwrap();
    items.iter().map(|item| format!("{} {}", item.type_name(definitions), item.json().map_or("", |value| value.raw()))).collect()
}

#[test]
fn every_expression_resolves_for_each_base() {
    let definitions = Definitions::r4();
    let (mut parsed, mut resolved) = (0, 0);
    for parameter in definitions.all_search_parameters().filter(|parameter| !parameter.expression.is_empty()) {
        let expression = Expression::parse(&parameter.expression).unwrap_or_else(|error| panic!("{}: {error}", parameter.url));
        parsed += 1;
        for base in &parameter.bases {
            assert!(expression.for_type(&definitions, base.name()).is_some(), "{} for {base}", parameter.url);
            resolved += 1;
        }
        for component in &parameter.components {
            Expression::parse(&component.expression).unwrap_or_else(|error| panic!("{}: {error}", component.expression));
        }
    }
    // Three of the 1,375 have no expression.
    assert_eq!(parsed, 1372);
    assert!(resolved > parsed);
}

#[test]
fn choices_are_found_by_type() {
    let definitions = Definitions::r4();
    let quantity = r#"{"resourceType":"Observation","valueQuantity":{"value":1.50}}"#;
    assert_eq!(
        evaluate(&definitions, quantity, "(Observation.value as Quantity) | (Observation.value as SampledData)"),
        [r#"Quantity {"value":1.50}"#]
    );
    assert_eq!(evaluate(&definitions, quantity, "Observation.value"), [r#"Quantity {"value":1.50}"#]);
    assert!(evaluate(&definitions, quantity, "Observation.value.as(CodeableConcept)").is_empty());
    let age = r#"{"resourceType":"Condition","onsetAge":{"value":7}}"#;
    assert_eq!(evaluate(&definitions, age, "Condition.onset.as(Age) | Condition.onset.as(Range)"), [r#"Age {"value":7}"#]);
    let date = r#"{"resourceType":"Observation","valueDateTime":"2020"}"#;
    assert_eq!(evaluate(&definitions, date, "value.as(DateTime) | value.as(Period)"), [r#"dateTime "2020""#]);
}

#[test]
fn as_filters_several_items() {
    let definitions = Definitions::r4();
    let goal = r#"{"resourceType":"Goal","target":[{"dueDate":"2020-01-01"},{"dueDuration":{"value":1}},{"dueDate":"2021"}]}"#;
    assert_eq!(evaluate(&definitions, goal, "(Goal.target.due as date)"), [r#"date "2020-01-01""#, r#"date "2021""#]);
}

#[test]
fn the_type_of_a_reference_is_known_by_its_text() {
    let definitions = Definitions::r4();
    let account = r##"{"resourceType":"Account","contained":[{"resourceType":"Patient","id":"p"}],"subject":[
        {"reference":"Patient/1"},{"reference":"https://other.example/fhir/Patient/2/_history/3"},{"reference":"Device/4"},
        {"reference":"#p"},{"reference":"#q"},{"type":"Patient","identifier":{"value":"x"}},{"display":"someone"},
        {"reference":"urn:uuid:9d8a1f3e-0000-4000-8000-000000000000"}]}"##;
    let found = evaluate(&definitions, account, "Account.subject.where(resolve() is Patient)");
    assert_eq!(
        found,
        [
            r#"Reference {"reference":"Patient/1"}"#,
            r#"Reference {"reference":"https://other.example/fhir/Patient/2/_history/3"}"#,
            r##"Reference {"reference":"#p"}"##,
            r#"Reference {"type":"Patient","identifier":{"value":"x"}}"#,
        ]
    );
}

#[test]
fn conditions_and_indices_work_as_search_needs_them() {
    let definitions = Definitions::r4();
    let patient =
        r#"{"resourceType":"Patient","deceasedBoolean":true,"telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"}]}"#;
    assert_eq!(
        evaluate(&definitions, patient, "Patient.telecom.where(system='email')"),
        [r#"ContactPoint {"system":"email","value":"2"}"#]
    );
    assert_eq!(evaluate(&definitions, patient, "Patient.deceased.exists() and Patient.deceased != false"), ["Boolean "]);
    let bundle = r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Composition","id":"c"}},{"resource":{"resourceType":"Patient"}}]}"#;
    assert_eq!(evaluate(&definitions, bundle, "Bundle.entry[0].resource"), [r#"Composition {"resourceType":"Composition","id":"c"}"#]);
    assert_eq!(evaluate(&definitions, bundle, "Bundle.entry.resource").len(), 2);
    let observation = r#"{"resourceType":"Observation","id":"o"}"#;
    assert_eq!(evaluate(&definitions, observation, "Observation").len(), 1);
    assert_eq!(evaluate(&definitions, observation, "Resource.id"), [r#"id "o""#]);
}

#[test]
fn branches_of_other_types_are_dropped() {
    let definitions = Definitions::r4();
    let expression = Expression::parse("AllergyIntolerance.code | Condition.code").unwrap();
    assert!(expression.for_type(&definitions, "Patient").is_none());
    assert!(expression.for_type(&definitions, "Condition").is_some());
}

/// Where the values stand in the source, each once.
fn places(items: &[Item<'_>]) -> BTreeSet<usize> {
    items.iter().filter_map(|item| item.json().map(|value| value.range().start)).collect()
}

#[test]
fn plans_find_what_trees_find() {
    let definitions = Definitions::r4();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea");
    let files = std::fs::read_dir(folder).expect("the Synthea data is missing beside the repository (shared/data/synthea)");
    let smallest = files.map(|file| file.unwrap()).filter(|file| file.file_name().to_string_lossy().ends_with(".json.gz"));
    let smallest = smallest.min_by_key(|file| (file.metadata().unwrap().len(), file.file_name())).unwrap();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(smallest.path()).unwrap()).read_to_end(&mut text).unwrap();
    let document = Document::parse(text).unwrap();
    let mut expressions = HashMap::new();
    let mut found = 0;
    for entry in document.root().get("entry").unwrap().elements() {
        let resource = entry.get("resource").unwrap();
        let resource_type = ResourceType::parse(&resource.get_str("resourceType").unwrap()).unwrap();
        let expressions = expressions.entry(resource_type).or_insert_with(|| {
            let parameters = definitions.search_parameters(resource_type).filter(|parameter| !parameter.expression.is_empty());
            let parsed = parameters.map(|parameter| (&parameter.url, Expression::parse(&parameter.expression).unwrap()));
            let both = parsed.map(|(url, tree)| (url, tree.for_type(&definitions, resource_type.name()).unwrap(), tree.relaxed()));
            both.collect::<Vec<_>>()
        });
        let context = Context::new(&definitions, resource);
        for (url, plan, tree) in expressions {
            let by_plan = plan.evaluate(&context, Item::resource(&definitions, resource)).unwrap();
            let by_tree = tree.evaluate(&context, Item::resource(&definitions, resource)).unwrap();
            // The union of a tree drops equal items, so it may have fewer places, but none that the plan lacks.
            let (by_plan, by_tree) = (places(&by_plan), places(&by_tree));
            assert!(by_tree.is_subset(&by_plan), "{url}");
            assert_eq!(by_tree.is_empty(), by_plan.is_empty(), "{url}");
            found += by_plan.len();
        }
    }
    assert!(found > 100, "{found}");
}
