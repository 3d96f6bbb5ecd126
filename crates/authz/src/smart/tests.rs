#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::Leave;

fn scopes(texts: &[&str]) -> Scopes {
    Scopes::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

fn key(text: &str) -> ResourceKey {
    own_resource(text, None, &[]).unwrap()
}

fn named(name: &str) -> ResourceType {
    ResourceType::parse(name).unwrap()
}

fn launch(patient: Option<&str>, user: Option<&str>) -> Launch {
    Launch { patient: patient.and_then(ResourceId::parse), user: user.map(key), ..Launch::default() }
}

fn grants(texts: &[&str], launch: &Launch, has_role: bool) -> Grants {
    scopes(texts).grants(launch, has_role, TypeSet::default())
}

/// The letters of the interactions that a scope grants on a type.
fn letters(scope: &str, name: &str) -> String {
    let grants = grants(&[scope], &launch(Some("p"), None), true);
    let pairs = [
        ('c', Interaction::Create),
        ('r', Interaction::Read),
        ('v', Interaction::Vread),
        ('i', Interaction::HistoryInstance),
        ('u', Interaction::Update),
        ('p', Interaction::Patch),
        ('d', Interaction::Delete),
        ('s', Interaction::Search),
        ('t', Interaction::HistoryType),
        ('b', Interaction::Bundle),
    ];
    pairs.iter().filter(|(_, interaction)| grants.types(*interaction).contains(named(name))).map(|(letter, _)| letter).collect()
}

#[test]
fn scopes_of_both_versions_grant_their_interactions() {
    for context in ["patient", "user", "system"] {
        for (permissions, expected) in [
            ("read", "rvistb"),
            ("write", "cupdb"),
            ("*", "crviupdstb"),
            ("cruds", "crviupdstb"),
            ("rs", "rvistb"),
            ("r", "rvib"),
            ("s", "stb"),
            ("c", "cb"),
            ("u", "upb"),
            ("d", "db"),
            ("cd", "cdb"),
        ] {
            assert_eq!(letters(&format!("{context}/Observation.{permissions}"), "Observation"), expected, "{context} {permissions}");
            assert_eq!(letters(&format!("{context}/*.{permissions}"), "Observation"), expected, "{context} {permissions}");
            assert_eq!(letters(&format!("{context}/Patient.{permissions}"), "Observation").trim_end_matches('b'), "");
        }
    }
}

#[test]
fn what_is_no_scope_grants_nothing_and_narrows_all_the_same() {
    for scope in [
        "patient/",
        "patient/Observation",
        "patient/Observation.",
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.reads",
        "patient/Observation.READ",
        "patient/observation.read",
        "patient/Foo.read",
        "patient/Observation.read?category=x",
        "patient/Observation.rs?",
        "patient/Observation.rs.rs",
        "patient/*.",
        "user/**.read",
        "system//Patient.read",
        "launch",
        "launch/patient",
        "launch/encounter",
    ] {
        let scopes = scopes(&[scope]);
        assert!(scopes.is_smart(), "{scope}");
        assert_eq!(scopes.grants(&launch(Some("p"), None), true, TypeSet::all()), Grants::default(), "{scope}");
    }
    for scope in ["openid", "profile", "fhirUser", "offline_access", "aws.cognito.signin.user.admin", "Patient/x.read", "patients/x.read"] {
        assert!(!scopes(&[scope]).is_smart(), "{scope}");
    }
}

#[test]
fn each_context_limits_in_its_own_way() {
    let limits = |scope: &str, launch: &Launch, has_role: bool| {
        let grants = grants(&[scope], launch, has_role);
        match grants.leave(Interaction::Read, named("Observation")) {
            Leave::Denied => "denied".to_owned(),
            Leave::Whole => "whole".to_owned(),
            Leave::Within(limits) => limits
                .iter()
                .map(|limit| {
                    let compartment = limit.compartment.as_ref().map_or("-".to_owned(), ToString::to_string);
                    format!("{compartment} {}", limit.criteria.as_deref().unwrap_or("-"))
                })
                .collect::<Vec<_>>()
                .join("; "),
        }
    };
    let (nobody, patient) = (launch(None, None), launch(Some("p"), Some("Practitioner/x")));
    assert_eq!(limits("patient/Observation.rs", &patient, true), "Patient/p -");
    assert_eq!(limits("patient/Observation.rs?category=a&code=b", &patient, false), "Patient/p category=a&code=b");
    assert_eq!(limits("patient/Observation.rs", &nobody, true), "denied");
    assert_eq!(limits("system/Observation.rs", &nobody, false), "whole");
    assert_eq!(limits("system/Observation.rs?code=b", &nobody, false), "- code=b");
    assert_eq!(limits("user/Observation.rs", &nobody, true), "whole");
    assert_eq!(limits("user/Observation.rs", &nobody, false), "denied");
    for user in ["Practitioner/x", "PractitionerRole/x"] {
        assert_eq!(limits("user/*.rs", &launch(None, Some(user)), false), "whole");
    }
    for has_role in [false, true] {
        assert_eq!(limits("user/*.rs", &launch(None, Some("Patient/q")), has_role), "Patient/q -");
        assert_eq!(limits("user/*.rs", &launch(Some("p"), Some("RelatedPerson/r")), has_role), "RelatedPerson/r -");
        assert_eq!(limits("user/*.rs", &launch(None, Some("Person/r")), has_role), "denied");
    }
}

#[test]
fn alternatives_stand_side_by_side_and_the_widest_counts() {
    let launch = launch(Some("p"), None);
    let both = grants(&["patient/*.rs", "system/Observation.rs?code=b", "system/Patient.r"], &launch, false);
    let Leave::Within(limits) = both.leave(Interaction::Search, named("Observation")) else { panic!("limited") };
    assert_eq!(limits.len(), 2);
    assert_eq!(both.leave(Interaction::Read, named("Patient")), Leave::Whole);
    assert!(matches!(both.leave(Interaction::Search, named("Patient")), Leave::Within(limits) if limits.len() == 1));
    assert_eq!(both.leave(Interaction::Update, named("Patient")), Leave::Denied);
}

#[test]
fn shared_types_are_looked_at_as_a_whole_and_never_changed() {
    let shared: TypeSet = [named("Practitioner")].into_iter().collect();
    let grants = scopes(&["patient/*.cruds"]).grants(&launch(Some("p"), None), false, shared);
    assert_eq!(grants.leave(Interaction::Search, named("Practitioner")), Leave::Whole);
    assert!(matches!(grants.leave(Interaction::Update, named("Practitioner")), Leave::Within(_)));
    assert!(matches!(grants.leave(Interaction::Search, named("Observation")), Leave::Within(_)));
}

#[test]
fn claims_name_resources_of_this_server_alone() {
    let bases = ["https://fhir.example/tenant/acme".to_owned(), "https://fhir.example".to_owned()];
    let user = |text: &str| own_resource(text, None, &bases).map(|key| key.to_string());
    let patient = |text: &str| own_resource(text, Some(patient_type()), &bases).map(|key| key.to_string());
    assert_eq!(user("Practitioner/1").as_deref(), Some("Practitioner/1"));
    assert_eq!(user("https://fhir.example/tenant/acme/Patient/1").as_deref(), Some("Patient/1"));
    assert_eq!(user("https://fhir.example/Patient/1").as_deref(), Some("Patient/1"));
    assert_eq!(patient("1").as_deref(), Some("Patient/1"));
    assert_eq!(patient("Patient/1").as_deref(), Some("Patient/1"));
    for foreign in [
        "https://fhir.example/tenant/other/Patient/1",
        "https://evil.example/tenant/acme/Patient/1",
        "https://fhir.example.evil/Patient/1",
        "https://fhir.examplePatient/1",
        "Patient/1/_history/2",
        "Patient/",
        "Patient/a b",
        "Foo/1",
        "1",
        "",
        "https://fhir.example/1",
    ] {
        assert_eq!(user(foreign), None, "{foreign}");
    }
    for foreign in ["Practitioner/1", "a/b", "https://fhir.example/1", "", "a b"] {
        assert_eq!(patient(foreign), None, "{foreign}");
    }
}
