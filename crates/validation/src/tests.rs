#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, OnceLock};

use fhirpool_fhir::json::{Document, Limits};

use super::*;

mod examples;
mod hostile;
mod structure;
mod synthea;
mod types;

fn definitions() -> &'static Definitions {
    static R4: OnceLock<Arc<Definitions>> = OnceLock::new();
    R4.get_or_init(Definitions::r4)
}

fn issues(json: &str) -> Vec<Issue> {
    let limits = Limits { depth_max: 1000 };
    validate(definitions(), Document::parse_with(json, &limits).unwrap().root())
}

/// Where and what each issue is, as `code at expression`.
fn found(json: &str) -> Vec<String> {
    issues(json).into_iter().map(|issue| format!("{} at {}", issue.code.code(), issue.expression.unwrap())).collect()
}

/// A Patient with these properties has these issues.
#[track_caller]
fn patient(properties: &str, expected: &[&str]) {
    assert_eq!(found(&format!(r#"{{"resourceType":"Patient",{properties}}}"#)), expected, "{properties}");
}

/// An Observation with these properties besides those it must have has these issues.
#[track_caller]
fn observation(properties: &str, expected: &[&str]) {
    let json = format!(r#"{{"resourceType":"Observation","status":"final","code":{{"text":"a"}},{properties}}}"#);
    assert_eq!(found(&json), expected, "{properties}");
}
