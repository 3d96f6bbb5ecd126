//! Rules of datatypes, codes, and resources in resources.

use super::*;

#[test]
fn extensions_have_a_url_and_one_content() {
    let extension = |inner: &str, expected: &[&str]| patient(&format!(r#""extension":[{{{inner}}}]"#), expected);
    extension(r#""url":"a","valueString":"b""#, &[]);
    extension(r#""url":"a","_valueString":{"extension":[{"url":"b","valueCode":"c"}]}"#, &[]);
    extension(r#""url":"a","extension":[{"url":"b","valueCode":"c"}]"#, &[]);
    extension(r#""valueString":"b""#, &["required at Patient.extension[0]"]);
    extension(r#""url":"a""#, &["invariant at Patient.extension[0]"]);
    extension(r#""url":"a","valueString":"b","extension":[{"url":"b","valueCode":"c"}]"#, &["invariant at Patient.extension[0]"]);
    extension(r#""url":"a b","valueString":"b""#, &["value at Patient.extension[0].url"]);
    extension(r#""url":"a","valueNarrative":{}"#, &["structure at Patient.extension[0]", "invariant at Patient.extension[0]"]);
    observation(r#""valueQuantity":{"extension":[{"url":"a"}]}"#, &["invariant at Observation.value.extension[0]"]);
}

#[test]
fn references_have_a_known_shape() {
    let subject = |inner: &str, expected: &[&str]| observation(&format!(r#""subject":{{{inner}}}"#), expected);
    for good in [
        "Patient/1",
        "Patient/1/_history/2",
        "Patient?identifier=http://a|b c",
        "http://a.example/fhir/Patient/1",
        "https://a.example/any",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:oid:1.2.3",
        "#",
    ] {
        subject(&format!(r#""reference":"{good}""#), &[]);
    }
    for bad in ["Patient", "Patient/", "1", "Martian/1", "/Patient/1", "Patient/1 2", "://a", "ht tp://a", "http://a b"] {
        subject(&format!(r#""reference":"{bad}""#), &["value at Observation.subject.reference"]);
    }
    subject(r#""reference":"""#, &["value at Observation.subject.reference"]);
    subject(r#""display":"a""#, &[]);
    subject(r#""identifier":{"value":"a"}"#, &[]);
    subject(r#""extension":[{"url":"a","valueCode":"b"}]"#, &[]);
    subject(r#""type":"Patient""#, &["invariant at Observation.subject"]);
}

#[test]
fn references_point_at_what_their_element_allows() {
    let subject = |inner: &str, expected: &[&str]| observation(&format!(r#""subject":{{{inner}}}"#), expected);
    subject(r#""reference":"Practitioner/1""#, &["structure at Observation.subject"]);
    subject(r#""reference":"Practitioner?identifier=1""#, &["structure at Observation.subject"]);
    subject(r#""type":"Practitioner","display":"a""#, &["structure at Observation.subject"]);
    subject(r#""reference":"http://a.example/fhir/Practitioner/1""#, &[]);
    observation(r#""focus":[{"reference":"Practitioner/1"}]"#, &[]);
}

#[test]
fn local_references_find_a_contained_resource() {
    let contained = r#""contained":[{"resourceType":"Organization","id":"o","name":"a"}]"#;
    patient(&format!(r##"{contained},"managingOrganization":{{"reference":"#o"}}"##), &[]);
    patient(&format!(r##""managingOrganization":{{"reference":"#o"}},{contained}"##), &[]);
    patient(
        &format!(r##"{contained},"managingOrganization":{{"reference":"#p"}}"##),
        &["invariant at Patient.managingOrganization.reference"],
    );
    patient(r##""managingOrganization":{"reference":"#o"}"##, &["invariant at Patient.managingOrganization.reference"]);
    let among = r##""contained":[{"resourceType":"Organization","id":"o","partOf":{"reference":"#p"}},{"resourceType":"Organization","id":"p","partOf":{"reference":"#"}}]"##;
    patient(among, &[]);
}

#[test]
fn contained_resources_are_checked_and_contain_none() {
    patient(r#""contained":[{"resourceType":"Organization","nam":"a"}]"#, &["structure at Patient.contained[0]"]);
    patient(r#""contained":[{"name":"a"}]"#, &["structure at Patient.contained[0]"]);
    patient(r#""contained":[null]"#, &["structure at Patient.contained[0]"]);
    patient(r#""contained":{"resourceType":"Organization"}"#, &["structure at Patient.contained"]);
    let nested = r#""contained":[{"resourceType":"Organization","contained":[{"resourceType":"Organization"}]}]"#;
    patient(nested, &["invariant at Patient.contained[0]"]);
}

#[test]
fn resources_in_bundles_and_parameters_are_checked() {
    let entry = r##"{"resource":{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}],"managingOrganization":{"reference":"#o"},"gender":"x"}}"##;
    assert_eq!(
        found(&format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entry}]}}"#)),
        ["code-invalid at Bundle.entry[0].resource.gender"]
    );
    assert_eq!(
        found(
            r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","resource":{"resourceType":"Patient","nam":1}}]}]}"#
        ),
        ["structure at Parameters.parameter[0].part[0].resource"]
    );
}

#[test]
fn content_references_go_on_below() {
    let item = r#""item":[{"linkId":"1","type":"group","item":[{"linkId":"1.1","type":"group","item":[{"linkId":"1.1.1"}]}]}]"#;
    assert_eq!(
        found(&format!(r#"{{"resourceType":"Questionnaire","status":"active",{item}}}"#)),
        ["required at Questionnaire.item[0].item[0].item[0]"]
    );
}

#[test]
fn required_codes_are_of_the_list() {
    patient(r#""gender":"male""#, &[]);
    patient(r#""gender":"Male""#, &["code-invalid at Patient.gender"]);
    observation(r#""valueQuantity":{"value":1,"comparator":"<="}"#, &[]);
    observation(r#""valueQuantity":{"value":1,"comparator":"=<"}"#, &["code-invalid at Observation.value.comparator"]);
    let item =
        |kind: &str| found(&format!(r#"{{"resourceType":"Questionnaire","status":"active","item":[{{"linkId":"1","type":"{kind}"}}]}}"#));
    assert_eq!(item("choice"), [""; 0]);
    assert_eq!(item("question"), ["code-invalid at Questionnaire.item[0].type"], "an abstract code");
}

#[test]
fn required_concepts_have_a_coding_of_the_list() {
    let status = |concept: &str, expected: &[&str]| {
        let json = format!(r#"{{"resourceType":"Condition","subject":{{"display":"a"}},"clinicalStatus":{{{concept}}}}}"#);
        assert_eq!(found(&json), expected, "{concept}");
    };
    let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    status(&format!(r#""coding":[{{"system":"{system}","code":"active"}}]"#), &[]);
    status(&format!(r#""coding":[{{"system":"urn:x","code":"y"}},{{"system":"{system}","code":"active"}}]"#), &[]);
    status(r#""extension":[{"url":"a","valueCode":"b"}]"#, &[]);
    for bad in [
        format!(r#""coding":[{{"system":"{system}","code":"lively"}}]"#),
        r#""coding":[{"system":"urn:x","code":"active"}]"#.to_owned(),
        r#""coding":[{"code":"active"}]"#.to_owned(),
        r#""text":"active""#.to_owned(),
    ] {
        status(&bad, &["code-invalid at Condition.clinicalStatus"]);
    }
}

#[test]
fn issues_say_nothing_of_the_values() {
    let json = r#"{"resourceType":"Patient","birthDate":"secret","gender":"secret","name":[{"given":"secret"}],"active":"secret"}"#;
    let issues = issues(json);
    assert_eq!(issues.len(), 4);
    assert!(issues.iter().all(|issue| !issue.diagnostics.contains("secret")));
}
