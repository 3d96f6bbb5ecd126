#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn key(resource_type: &str, id: &str) -> ResourceKey {
    ResourceKey::new(ResourceType::parse(resource_type).unwrap(), ResourceId::parse(id).unwrap())
}

#[test]
fn relative_references_name_a_resource() {
    assert_eq!(Reference::parse("Patient/1"), Reference::Resource { base: None, key: key("Patient", "1"), version: None });
    assert_eq!(
        Reference::parse("Observation/a.b-c/_history/7"),
        Reference::Resource { base: None, key: key("Observation", "a.b-c"), version: Some("7") }
    );
}

#[test]
fn absolute_references_keep_their_base() {
    assert_eq!(
        Reference::parse("http://example.org/fhir/Patient/1"),
        Reference::Resource { base: Some("http://example.org/fhir"), key: key("Patient", "1"), version: None }
    );
    assert_eq!(
        Reference::parse("https://example.org/Patient/1/_history/x.1"),
        Reference::Resource { base: Some("https://example.org"), key: key("Patient", "1"), version: Some("x.1") }
    );
}

#[test]
fn other_shapes_are_told_apart() {
    assert_eq!(Reference::parse("#p1"), Reference::Fragment("p1"));
    assert_eq!(Reference::parse("#"), Reference::Fragment(""));
    let urn = "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d";
    assert_eq!(Reference::parse(urn), Reference::Urn(urn));
    assert_eq!(Reference::parse("urn:oid:1.2.3"), Reference::Urn("urn:oid:1.2.3"));
    assert_eq!(
        Reference::parse("Patient?identifier=http://x/y|1"),
        Reference::Conditional { resource_type: ResourceType::parse("Patient").unwrap(), query: "identifier=http://x/y|1" }
    );
}

#[test]
fn canonical_urls_are_taken_apart() {
    let parsed = Canonical { url: "http://hl7.org/fhir/ValueSet/x", version: Some("4.0.1"), fragment: Some("a") };
    assert_eq!(Reference::parse("http://hl7.org/fhir/ValueSet/x|4.0.1#a"), Reference::Canonical(parsed));
    let plain = Canonical { url: "http://acme.org/some/thing", version: None, fragment: None };
    assert_eq!(Reference::parse("http://acme.org/some/thing"), Reference::Canonical(plain));
    assert_eq!(Canonical::parse("http://hl7.org/fhir/ValueSet/x|").version, None);
    assert_eq!(Canonical::parse("urn:uuid:1|2"), Canonical { url: "urn:uuid:1", version: Some("2"), fragment: None });
}

#[test]
fn what_has_no_known_shape_is_kept_as_it_is() {
    let others = [
        "",
        "/",
        "Patient",
        "Patient/",
        "/Patient/1",
        "Patient//1",
        "Patient/1/",
        "Patient/1/_history",
        "Patient/1/_history/",
        "Patient/1/2",
        "Nonsense/1",
        "patient/1",
        "Patient/a b",
        "Nonsense?x=y",
        "fhir/Patient/1",
        "ftp://x/Patient/1",
        "mailto:a@b.c",
        "Patient/1#x",
        "Patient/_history/1",
    ];
    for text in others {
        assert_eq!(Reference::parse(text), Reference::Other(text), "{text}");
    }
    let long = format!("Patient/{}", "1".repeat(65));
    assert_eq!(Reference::parse(&long), Reference::Other(&long));
}

#[test]
fn local_references_are_recognised() {
    let local = |text: &str, base: &'static str| {
        let base = ServiceBase::fixed(base);
        Reference::parse(text).local(&base).map(|(key, version)| (key.clone(), version.map(str::to_owned)))
    };
    let patient = Some((key("Patient", "1"), None));
    assert_eq!(local("Patient/1", "http://x/fhir"), patient);
    assert_eq!(local("http://x/fhir/Patient/1", "http://x/fhir"), patient);
    assert_eq!(local("https://X/fhir/Patient/1", "http://x/fhir/"), patient);
    assert_eq!(local("http://x/fhir/Patient/1/_history/3", "http://x/fhir"), Some((key("Patient", "1"), Some("3".to_owned()))));
    assert_eq!(local("http://x/FHIR/Patient/1", "http://x/fhir"), None);
    assert_eq!(local("http://x/other/Patient/1", "http://x/fhir"), None);
    assert_eq!(local("http://y/fhir/Patient/1", "http://x/fhir"), None);
    assert_eq!(local("#1", "http://x/fhir"), None);
}
