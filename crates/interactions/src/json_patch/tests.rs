#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const LIMITS: PatchLimits = PatchLimits { operations_max: 1000, work_max: 1 << 20, depth_max: 100 };

fn patched(document: &str, patch: &str) -> Result<String, PatchError> {
    apply(&Document::parse(document).unwrap(), &Document::parse(patch).unwrap(), LIMITS)
}

#[test]
fn agrees_with_the_cases_of_hl7() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/patch/json-patch-tests.json");
    let text = std::fs::read(path).expect("the test data of the repository's neighbour shared/data is absent");
    let cases = Document::parse(text).unwrap();
    assert!(cases.root().elements().count() > 10);
    for case in cases.root().elements() {
        let comment = case.get_str("comment").unwrap_or_default();
        let (document, patch) = (case.get("doc").unwrap().raw(), case.get("patch").unwrap().raw());
        let result = patched(document, patch);
        match case.get("expected") {
            Some(expected) => {
                let result = Document::parse(result.unwrap_or_else(|error| panic!("{comment}: {error}"))).unwrap();
                assert_eq!(equal::equal(&result.root().into(), expected, &mut 1_000_000), Ok(true), "{comment}: {result:?}");
            }
            None => assert!(result.is_err(), "{comment}: {result:?}"),
        }
    }
}

#[test]
fn keeps_the_bytes_of_what_it_does_not_touch() {
    let document = "{ \"a\":[1.00, 1E2],\"b\":\"\\u0041\",\"c\":{\"d\":-0.0}}";
    let result = patched(document, r#"[{"op":"replace","path":"/a/1","value":2.50},{"op":"add","path":"/c/e","value":true}]"#);
    assert_eq!(result.unwrap(), "{\"a\":[1.00,2.50],\"b\":\"\\u0041\",\"c\":{\"d\":-0.0,\"e\":true}}");
}

#[test]
fn refuses_what_is_no_patch() {
    for patch in ["{}", "[1]", r#"[{"op":"add","path":"/a"}]"#, r#"[{"op":"jump","path":"/a"}]"#, r#"[{"op":"remove","path":"a"}]"#] {
        assert!(matches!(patched("{\"a\":1}", patch), Err(PatchError::Malformed { .. })), "{patch}");
    }
}

#[test]
fn refuses_places_that_are_not_there() {
    for path in ["/b", "/a/2", "/a/01", "/a/-", "/a/0/x", ""] {
        let patch = format!("[{{\"op\":\"remove\",\"path\":\"{path}\"}}]");
        assert!(matches!(patched("{\"a\":[1]}", &patch), Err(PatchError::Inapplicable { operation: 0, .. })), "{path}");
    }
    let into_itself = r#"[{"op":"move","from":"/a","path":"/a/0"}]"#;
    assert!(matches!(patched("{\"a\":[1]}", into_itself), Err(PatchError::Inapplicable { .. })));
}

#[test]
fn copies_of_copies_end_at_the_limit() {
    let patch = format!("[{}]", [r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 500].join(","));
    let result = patched("{\"a\":[1]}", &patch);
    assert!(matches!(result, Err(PatchError::TooLarge | PatchError::Inapplicable { .. })), "{:?}", result.map(|json| json.len()));
    let wide =
        format!("[{}]", [r#"{"op":"copy","from":"","path":"/b"}"#, r#"{"op":"copy","from":"/b","path":"/c"}"#].repeat(300).join(","));
    assert!(patched("{\"a\":\"xxxxxxxxxxxxxxxxxxxx\"}", &wide).is_err());
}
