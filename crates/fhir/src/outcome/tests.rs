#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::json::Document;

#[test]
fn an_outcome_is_written_as_the_resource() {
    let issues = vec![
        Issue::error(IssueCode::Value, "not a \"date\"").at("Patient.birthDate"),
        Issue::warning(IssueCode::NotSupported, "ignored"),
        Issue::information("done"),
    ];
    let json = OperationOutcome { issues }.to_json();
    assert_eq!(
        json,
        concat!(
            r#"{"resourceType":"OperationOutcome","issue":["#,
            r#"{"severity":"error","code":"value","diagnostics":"not a \"date\"","expression":["Patient.birthDate"]},"#,
            r#"{"severity":"warning","code":"not-supported","diagnostics":"ignored"},"#,
            r#"{"severity":"information","code":"informational","diagnostics":"done"}]}"#
        )
    );
    assert!(Document::parse(json).unwrap().root().is_object());
}
