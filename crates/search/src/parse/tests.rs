//! Queries: what is understood, what is refused, and what is told.

#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_fhir::{Definitions, IssueCode};

use super::*;
use crate::testing::{BASE, NOW, read_query};
use crate::{Clause, SortTarget, Summary, Total};

fn read(query: &str) -> Result<Query, QueryError> {
    read_query(&Definitions::r4(), query, Handling::Strict)
}

fn names(query: &Query) -> Vec<&str> {
    query.self_parameters.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_cannot_be_understood_is_refused_with_a_reason() {
    for (query, reason) in [
        ("Patient?frobnicate=1", "Patient has no search parameter frobnicate"),
        ("Patient?name:contians=x", "modifier :contians"),
        ("Patient?name:text=x", "modifier :text"),
        ("Patient?birthdate:exact=2020", "modifier :exact"),
        ("Patient?birthdate=yesterday", "not a date"),
        ("Patient?birthdate=2023-02-29", "not a date"),
        ("Patient?birthdate=gt", "not a date"),
        ("Patient?birthdate=xx2020", "not a date"),
        ("Patient?gender:exact=male", "modifier :exact"),
        ("Patient?gender:in=http://x", "not supported"),
        ("Observation?code:below=http://x|1", "not supported"),
        ("Patient?gender=|", "not a code"),
        ("Patient?gender=", "no value"),
        ("Patient?gender=male,", "not given"),
        ("Patient?gender:missing=yes", "neither true nor false"),
        ("Patient?identifier:of-type=a|b", "system|code|value"),
        ("RiskAssessment?probability=lots", "not a number"),
        ("RiskAssessment?probability=1|x|y", "not a number"),
        ("Observation?value-quantity=5|http://x", "number|system|code"),
        ("Observation?value-quantity=5|http://x|", "number|system|code"),
        ("Observation?value-quantity=5|a|b|c", "number|system|code"),
        ("Observation?value-quantity:missing=", "no value"),
        ("Observation?subject:Medication=1", "modifier :Medication"),
        ("Observation?subject:Patient=http://other/Patient/1", "as its modifier demands"),
        ("Observation?subject=Patient/", "not an id"),
        ("Observation?subject=Frog/1", "not an id"),
        ("Observation?subject=%231", "not an id"),
        ("Observation?code-value-quantity=1", "2 parts"),
        ("Observation?code-value-quantity=1$2$3", "2 parts"),
        ("Observation?code-value-quantity=a$b", "not a number"),
        ("Observation?code-value-quantity:text=a$1", "modifier :text"),
        ("ValueSet?url:below=urn:oid:1.2", "not a URL"),
        ("ValueSet?url:exact=http://x", "modifier :exact"),
        ("Patient?name.family=x", "is no reference"),
        ("Observation?subject:Medication.code=x", "does not refer to"),
        ("Observation?patient.frobnicate=x", "Patient has no search parameter frobnicate"),
        ("Observation?subject.birthdate=x", "a value of birthdate"),
        ("Patient?_has:Observation:patient=x", "_has is not of the form"),
        ("Patient?_has:Frog:patient:code=x", "no resource type"),
        ("Patient?_has:Observation:code:code=x", "is no reference"),
        ("Patient?_has:Observation:encounter:code=x", "does not refer to Patient"),
        ("Patient?_has:Observation:patient:frobnicate=x", "Observation has no search parameter frobnicate"),
        ("QuestionnaireResponse?questionnaire.title=x", "canonical URLs"),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=x", "canonical URLs"),
        ("Patient?_text=x", "_text is not supported"),
        ("Patient?_content=x", "_content is not supported"),
        ("Patient?_filter=x", "_filter is not supported"),
        ("Patient?_list=x", "_list is not supported"),
        ("Patient?_query=x", "_query is not supported"),
        ("Location?near=1|2", "near is not supported"),
        ("Patient?_type=Patient", "no search parameter _type"),
        ("Patient?_count=-1", "_count"),
        ("Patient?_count=ten", "_count"),
        ("Patient?_count=1&_count=2", "twice"),
        ("Patient?_total=some", "_total"),
        ("Patient?_summary=maybe", "_summary"),
        ("Patient?_elements=a%20b", "_elements"),
        ("Patient?_sort=frobnicate", "cannot be sorted"),
        ("Patient?_sort=", "empty key"),
        ("Patient?_contained=true", "not supported"),
        ("Patient?_include=Patient", "not of the form"),
        ("Patient?_include=Frog:x", "no resource type"),
        ("Patient?_include=Patient:name", "no reference parameter"),
        ("Patient?_include=Patient:general-practitioner:Medication", "does not lead"),
        ("Patient?_include:often=*", "modifier :often"),
        ("Patient?_id:exact=1", "modifier :exact"),
        ("?name=x", "_type"),
        ("?_type=Frog", "no resource type"),
        ("Patient/1/Medication", "no part in the compartment"),
        ("Medication/1/Patient", "no part in the compartment"),
        ("Medication/1/*", "spans no compartment"),
    ] {
        let error = read(query).map(|_| ()).unwrap_err();
        assert!(error.issue.diagnostics.contains(reason), "{query}: {}", error.issue.diagnostics);
    }
}

#[test]
fn lenient_handling_leaves_unknown_parameters_out_and_says_so() {
    let text = "Patient?frobnicate=1&name=x&_text=y&_sort=frobnicate&_count=3";
    let query = read_query(&Definitions::r4(), text, Handling::Lenient).unwrap();
    assert_eq!(names(&query), ["name", "_count"]);
    assert_eq!(query.warnings.len(), 3);
    assert_eq!(query.parts[0].filter.len(), 1);
    assert!(query.parts[0].sort.is_empty());
    // A wrong value of a known parameter is an error all the same.
    assert!(read_query(&Definitions::r4(), "Patient?birthdate=x", Handling::Lenient).is_err());
    assert!(read_query(&Definitions::r4(), "Patient?name:foo=x", Handling::Lenient).is_err());
}

#[test]
fn result_parameters_are_read() {
    let query =
        read("Patient?_count=0&_total=accurate&_summary=data&_elements=name,Patient.birthDate&_sort=-birthdate,_id&_page=abc").unwrap();
    assert_eq!((query.count, query.total, query.summary), (Some(0), Total::Accurate, Summary::Data));
    assert!(query.only_counts());
    assert_eq!(query.elements, ["name", "birthDate"]);
    assert_eq!(query.page.as_deref(), Some("abc"));
    let sort = &query.parts[0].sort;
    assert!(sort[0].descending && sort[1].target == SortTarget::Id && !sort[1].descending);
    assert_eq!(names(&query), ["_count", "_total", "_summary", "_elements", "_sort"]);
    assert!(read("Patient?_summary=count").unwrap().only_counts());
}

#[test]
fn extras_of_clients_neither_count_nor_stay() {
    let query = read("Patient?_format=json&_pretty=true&_=1&_dc=2&_totalMethod=count&_id=1").unwrap();
    assert_eq!(names(&query), ["_id"]);
    assert_eq!(query.parts[0].filter.len(), 1);
}

#[test]
fn includes_are_read() {
    let text = "MedicationRequest?_include=MedicationRequest:patient&_include:iterate=Patient:general-practitioner:Practitioner\
                &_include=*&_revinclude=Provenance:target&_revinclude:iterate=Observation:*";
    let query = read(text).unwrap();
    let described = query.includes.iter().chain(&query.revincludes).map(|include| {
        (include.source.map(ResourceType::name), include.parameter.is_some(), include.target.map(ResourceType::name), include.iterate)
    });
    assert_eq!(
        described.collect::<Vec<_>>(),
        [
            (Some("MedicationRequest"), true, None, false),
            (Some("Patient"), true, Some("Practitioner"), true),
            (None, false, None, false),
            (Some("Provenance"), true, None, false),
            (Some("Observation"), false, None, true),
        ]
    );
}

#[test]
fn several_types_have_sort_keys_of_one_length() {
    let query = read("?_type=Observation,Patient,Encounter&_sort=-_lastUpdated,_id").unwrap();
    let types: Vec<_> = query.parts.iter().map(|part| part.resource_type.name()).collect();
    assert_eq!(types, ["Encounter", "Observation", "Patient"]);
    assert!(query.parts.iter().all(|part| part.sort.len() == 2));
    assert_eq!(read("?_id=1").unwrap().parts.len(), ResourceType::COUNT);
    assert_eq!(names(&query), ["_type", "_sort"]);
}

#[test]
fn limits_hold() {
    let many = |part: &str, count: usize| vec![part; count].join("");
    for (query, code) in [
        (format!("Patient?{}", many("name=x&", 101)), IssueCode::TooCostly),
        (format!("Patient?name=x{}", many(",x", 1000)), IssueCode::TooCostly),
        (format!("Patient?gender={}", many("x", 5000)), IssueCode::TooLong),
        (format!("Patient?{}=1", many("x", 5000)), IssueCode::TooLong),
        (format!("Patient?name={}", many("x", 513)), IssueCode::TooLong),
        (format!("Patient?{}name=x", many("link:Patient.", 9)), IssueCode::TooCostly),
        (format!("Patient?{}name=x", many("_has:Patient:link:", 9)), IssueCode::TooCostly),
        (format!("Observation?{}code=x", many("focus.", 5)), IssueCode::TooCostly),
        (format!("Observation?focus=1{}", many(",1", 999)), IssueCode::TooCostly),
        (format!("Patient?_sort=name{}", many(",name", 10)), IssueCode::TooCostly),
        (format!("Patient?{}", many("_include=*&", 51)), IssueCode::TooCostly),
        (format!("Patient?_id=1{}", many(".", 5000)), IssueCode::TooLong),
    ] {
        let error = read(&query).map(|_| ()).unwrap_err();
        assert_eq!(error.issue.code, code, "{}: {}", &query[..40], error.issue.diagnostics);
        assert!(error.issue.diagnostics.len() < 200);
    }
    assert!(read(&format!("Patient?{}name=x", many("link:Patient.", 8))).is_ok());
}

#[test]
fn errors_do_not_repeat_values() {
    let error = read("Patient?birthdate=Chalmers").unwrap_err();
    assert!(!error.issue.diagnostics.contains("Chalmers"));
}

#[test]
fn criteria_stand_alone() {
    let definitions = Definitions::r4();
    let patient = ResourceType::parse("Patient").unwrap();
    let options = Options { base: &BASE, handling: Handling::Strict, limits: Limits::default(), now: NOW };
    let criteria = |query: &str| parse_criteria(&definitions, patient, &decode_query(query).unwrap(), &options);
    assert!(matches!(&*criteria("identifier=a|b&_format=json").unwrap().filter, [Clause::Matches { .. }]));
    for query in ["", "_format=json", "_count=1&name=x", "_include=*&name=x", "_sort=name&name=x"] {
        assert!(criteria(query).is_err(), "{query}");
    }
}

#[test]
fn alternatives_of_whole_values_become_one_test() {
    let query = read("Observation?patient=1,2,3&code=a|b,c|d,e").unwrap();
    let tests = query.parts[0].filter.iter().map(|clause| match clause {
        Clause::Matches { tests, .. } => tests.iter().map(|test| test.ranges().len()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    });
    let tests: Vec<_> = tests.collect();
    assert_eq!(tests, [vec![3], vec![1, 2]]);
}
