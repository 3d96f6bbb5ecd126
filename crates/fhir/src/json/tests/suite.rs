//! JSONTestSuite: what must parse, what must not, and what may do either but not crash.

use super::*;

/// JSON allows these and R4 does not (json.html: property names are unique; datatypes.html#string: no NUL).
const REFUSED_BY_R4: [&str; 4] = [
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
    "y_string_null_escape.json",
];

#[test]
fn the_whole_suite_is_told_apart() {
    let folder = data("json-parsing");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("the test data must be at {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    assert!(names.len() >= 300, "the suite has 318 files, not {}", names.len());
    let mut wrong = Vec::new();
    for name in &names {
        let result = Document::parse(std::fs::read(folder.join(name)).unwrap());
        let expected = match name.as_bytes()[0] {
            b'y' => !REFUSED_BY_R4.contains(&name.as_str()),
            b'n' => false,
            _ => continue,
        };
        if result.is_ok() != expected {
            wrong.push((name, result.err()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    for name in REFUSED_BY_R4 {
        let kind = Document::parse(std::fs::read(folder.join(name)).unwrap()).unwrap_err().kind;
        assert!(matches!(kind, ParseErrorKind::DuplicateKey | ParseErrorKind::Nul), "{name}: {kind}");
    }
}
