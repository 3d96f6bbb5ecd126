//! Properties, arrays, cardinality, primitives and their siblings.

use super::*;

#[test]
fn a_resource_may_be_empty() {
    assert_eq!(found(r#"{"resourceType":"Patient"}"#), [""; 0]);
}

#[test]
fn a_resource_has_a_known_type() {
    for json in ["{}", "[]", "1", r#"{"resourceType":"Martian"}"#, r#"{"resourceType":1}"#, r#"{"resourceType":"DomainResource"}"#] {
        assert_eq!(found(json), ["structure at Resource"], "{json}");
    }
}

#[test]
fn unknown_properties_are_named() {
    patient(r#""nickname":"a""#, &["structure at Patient"]);
    patient(r#""name":[{"family":"a","sur":"b"}]"#, &["structure at Patient.name[0]"]);
    patient(r#""fhir_comments":["a"]"#, &["structure at Patient"]);
    patient(r#""name":[{"family":"a","resourceType":"HumanName"}]"#, &["structure at Patient.name[0]"]);
    let long = issues(&format!(r#"{{"resourceType":"Patient","{}":1}}"#, "x".repeat(10_000)));
    assert!(long[0].diagnostics.len() < 100);
}

#[test]
fn values_have_the_json_kind_of_their_type() {
    patient(r#""active":"true""#, &["structure at Patient.active"]);
    patient(r#""birthDate":1970"#, &["structure at Patient.birthDate"]);
    patient(r#""birthDate":null"#, &["structure at Patient.birthDate"]);
    patient(r#""birthDate":{"value":"1970"}"#, &["structure at Patient.birthDate"]);
    patient(r#""name":["a"]"#, &["structure at Patient.name[0]"]);
    patient(r#""name":[null]"#, &["structure at Patient.name[0]"]);
    patient(r#""multipleBirthInteger":"2""#, &["structure at Patient.multipleBirth"]);
}

#[test]
fn elements_that_repeat_are_arrays_and_no_others() {
    patient(r#""name":{"family":"a"}"#, &["structure at Patient.name"]);
    patient(r#""gender":["male"]"#, &["structure at Patient.gender"]);
    patient(r#""name":[[{"family":"a"}]]"#, &["structure at Patient.name[0]"]);
    patient(r#""_gender":[{"id":"a"}],"gender":"male""#, &["structure at Patient.gender"]);
}

#[test]
fn nothing_is_empty() {
    patient(r#""name":[]"#, &["structure at Patient.name"]);
    patient(r#""name":[{}]"#, &["invariant at Patient.name[0]"]);
    patient(r#""name":[{"id":"a"}]"#, &["invariant at Patient.name[0]"]);
    patient(r#""name":[{"family":""}]"#, &["value at Patient.name[0].family"]);
    patient(r#""language":"""#, &["value at Patient.language"]);
    patient(r#""gender":"male","_gender":{}"#, &["structure at Patient.gender"]);
}

#[test]
fn mandatory_elements_are_there() {
    patient(r#""link":[{"other":{"reference":"Patient/1"}}]"#, &["required at Patient.link[0]"]);
    patient(r#""link":[{"other":{"reference":"Patient/1"},"_type":{"extension":[{"url":"a","valueBoolean":true}]}}]"#, &[]);
    let missing = issues(r#"{"resourceType":"MedicationRequest","status":"active","intent":"order","subject":{"display":"a"}}"#);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].diagnostics, "medication[x] is required");
}

#[test]
fn a_choice_is_made_once() {
    observation(r#""valueString":"a","_valueString":{"id":"b"}"#, &[]);
    observation(r#""valueString":"a","valueBoolean":true"#, &["structure at Observation.value"]);
    observation(r#""valueString":"a","_valueBoolean":{"extension":[{"url":"a","valueCode":"b"}]}"#, &["structure at Observation.value"]);
    observation(r#""valueMoney":{"value":1}"#, &["structure at Observation"]);
    observation(r#""value":"a""#, &["structure at Observation"]);
}

#[test]
fn formats_are_checked_where_they_stand() {
    patient(r#""birthDate":"1970-02-30""#, &["value at Patient.birthDate"]);
    patient(r#""deceasedDateTime":"1970-01-01T00:00""#, &["value at Patient.deceased"]);
    patient(r#""id":"a_b""#, &["value at Patient.id"]);
    patient(r#""name":[{"given":["a","b",""]}]"#, &["value at Patient.name[0].given[2]"]);
    patient(r#""text":{"status":"empty","div":"hello"}"#, &["value at Patient.text.div"]);
}

#[test]
fn siblings_carry_ids_and_extensions() {
    let extension = r#"{"extension":[{"url":"http://a","valueCode":"b"}]}"#;
    patient(&format!(r#""_birthDate":{extension}"#), &[]);
    patient(&format!(r#""birthDate":"1970","_birthDate":{extension}"#), &[]);
    patient(r#""birthDate":"1970","_birthDate":{"id":"a"}"#, &[]);
    patient(r#""_birthDate":{"id":"a"}"#, &["invariant at Patient.birthDate"]);
    patient(r#""_birthDate":"a""#, &["structure at Patient.birthDate"]);
    patient(r#""birthDate":"1970","_birthDate":null"#, &["structure at Patient.birthDate"]);
    patient(r#""birthDate":"1970","_birthDate":{"value":"a"}"#, &["structure at Patient.birthDate"]);
    patient(r#""_birthDate":{"extension":[{"valueCode":"b"}]}"#, &["required at Patient.birthDate.extension[0]"]);
}

#[test]
fn only_primitives_with_content_of_their_own_have_siblings() {
    patient(r#""_name":[{"id":"a"}]"#, &["structure at Patient"]);
    patient(r#""id":"a","_id":{"id":"a"}"#, &["structure at Patient"]);
    patient(r#""extension":[{"url":"a","_url":{"id":"b"},"valueCode":"c"}]"#, &["structure at Patient.extension[0]"]);
    patient(r#""_nickname":{"id":"a"}"#, &["structure at Patient"]);
}

#[test]
fn arrays_of_primitives_align_with_their_siblings() {
    let given = |arrays: &str, expected: &[&str]| patient(&format!(r#""name":[{{{arrays}}}]"#), expected);
    let extension = r#"{"extension":[{"url":"a","valueCode":"b"}]}"#;
    given(&format!(r#""given":["a",null],"_given":[null,{extension}]"#), &[]);
    given(&format!(r#""_given":[null,{extension}],"given":["a",null]"#), &[]);
    given(&format!(r#""_given":[{extension},{extension}]"#), &[]);
    given(r#""given":["a","b"],"_given":[{"id":"a"}]"#, &[]);
    given(r#""given":["a",null]"#, &["invariant at Patient.name[0].given[1]"]);
    given(r#""given":["a",null],"_given":[null,null]"#, &["invariant at Patient.name[0].given[1]"]);
    given(r#""given":["a",null],"_given":[null,{"id":"b"}]"#, &["invariant at Patient.name[0].given[1]"]);
    given(r#""given":["a"],"_given":[null,null]"#, &["invariant at Patient.name[0].given[1]"]);
    given(r#""_given":[null]"#, &["invariant at Patient.name[0].given[0]"]);
    given(r#""_given":[]"#, &["structure at Patient.name[0].given"]);
    given(r#""given":["a"],"_given":["b"]"#, &["structure at Patient.name[0].given[0]"]);
    given(r#""given":["a"],"_given":{"id":"b"}"#, &["structure at Patient.name[0].given"]);
}

#[test]
fn issues_have_a_limit() {
    let many = vec![r#"{"sur":1,"fam":2}"#; 1000].join(",");
    assert_eq!(issues(&format!(r#"{{"resourceType":"Patient","name":[{many}]}}"#)).len(), ISSUES_MAX);
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| {
        let (open, close) = (r#""extension":[{"url":"a","#.repeat(depth), "}]".repeat(depth));
        format!(r#"{{"resourceType":"Patient",{open}"valueCode":"b"{close}}}"#)
    };
    assert_eq!(found(&nested(DEPTH_MAX)), [""; 0]);
    assert!(found(&nested(DEPTH_MAX + 1))[0].starts_with("too-long at Patient.extension[0].extension[0]"));
}

#[test]
fn many_references_and_contained_resources_do_not_multiply() {
    let contained: Vec<String> = (0..20_000).map(|id| format!(r#"{{"resourceType":"Patient","id":"p{id}"}}"#)).collect();
    let links: Vec<String> = (0..20_000).map(|id| format!(r##"{{"reference":"#p{id}"}}"##)).collect();
    let json = format!(
        r#"{{"resourceType":"List","status":"current","mode":"working","contained":[{}],"entry":[{{"item":{}}}]}}"#,
        contained.join(","),
        links.join(r#"},{"item":"#)
    );
    assert_eq!(found(&json), [""; 0]);
}
