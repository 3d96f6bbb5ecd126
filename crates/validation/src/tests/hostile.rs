//! Whatever parses is judged, not choked on.

use super::*;

/// A resource with most of what the walk knows.
const RESOURCE: &str = r##"{"resourceType":"Observation","id":"a","contained":[{"resourceType":"Patient","id":"p","_birthDate":{"extension":[{"url":"u","valueCode":"c"}]},"name":[{"given":["a",null],"_given":[null,{"id":"i","extension":[{"url":"u","valueString":"s"}]}]}]}],"status":"final","code":{"coding":[{"system":"s","code":"c"}]},"subject":{"reference":"#p"},"effectiveDateTime":"2020-02-29T10:00:00.5Z","valueQuantity":{"value":-1.50e3,"comparator":"<"},"text":{"status":"generated","div":"<div xmlns=\"x\">\u00e4</div>"}}"##;

/// What is put in the place of a piece of the text.
const PIECES: [&str; 16] = [
    "",
    "null",
    "[]",
    "{}",
    "[null]",
    "1",
    "-0",
    "\"\"",
    "\"#\"",
    "\"\\u0000\"",
    "true",
    ",",
    "_",
    "\\",
    "\"value",
    "[{\"extension\":[{}]}]",
];

#[test]
fn mutations_give_issues_at_most() {
    const SEED: u64 = 0x5eed_0001;
    println!("seed {SEED:#x}");
    let mut state = SEED;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut parsed = 0;
    for _ in 0..50_000 {
        let mut text = RESOURCE.to_owned();
        for _ in 0..=random(3) {
            let (from, length) = (random(text.len()), random(24));
            let to = (from + length).min(text.len());
            if text.is_char_boundary(from) && text.is_char_boundary(to) {
                text.replace_range(from..to, PIECES[random(PIECES.len())]);
            }
        }
        if let Ok(document) = Document::parse(text) {
            parsed += 1;
            assert!(validate(definitions(), document.root()).len() <= ISSUES_MAX);
        }
    }
    assert!(parsed > 500, "{parsed} of the mutations parse");
}
