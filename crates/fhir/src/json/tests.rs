#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;

use super::*;

mod against_serde;
mod suite;

fn error(text: &str) -> (ParseErrorKind, usize, String) {
    let error = Document::parse(text).expect_err(text);
    (error.kind, error.offset, error.path)
}

fn compact(text: &str) -> String {
    let mut out = String::new();
    Document::parse(text).unwrap().root().write_compact(&mut out);
    out
}

#[test]
fn values_are_read_where_they_stand() {
    let document = Document::parse(r#" {"a":[1.00,true,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":-1E+5},"d\u0065":""} "#).unwrap();
    let root = document.root();
    let a: Vec<Value<'_>> = root.get("a").unwrap().elements().collect();
    assert_eq!(a[0].as_number(), Some("1.00"));
    assert_eq!(a[1].as_bool(), Some(true));
    assert_eq!(a[2].kind(), Kind::Null);
    assert_eq!(a[3].as_str().unwrap(), "xé😀\n");
    assert_eq!(root.get("b").unwrap().get("c").unwrap().as_number(), Some("-1E+5"));
    assert_eq!(root.get_str("de").unwrap(), "");
    assert!(root.get("e").is_none() && root.get("c").is_none() && a[0].get("c").is_none());
    let members: Vec<_> = root.members().map(|member| (member.name().into_owned(), member.range())).collect();
    assert_eq!(members[2], ("de".to_owned(), 63..75));
    assert_eq!(&document.source()[63..75], r#""d\u0065":"""#);
}

#[test]
fn each_is_one_or_many() {
    let texts = |text: &str| {
        let document = Document::parse(text).unwrap();
        document.root().get("x").unwrap().each().map(|value| value.raw().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(r#"{"x":{"a":[1,2],"b":{}},"y":1}"#), [r#"{"a":[1,2],"b":{}}"#]);
    assert_eq!(texts(r#"{"x":"s","y":1}"#), [r#""s""#]);
    assert_eq!(texts(r#"{"x":[],"y":1}"#), [""; 0]);
    assert_eq!(texts(r#"{"x":[{}],"y":1}"#), ["{}"]);
    assert_eq!(texts(r#"{"x":[[],{"a":1},3],"y":1}"#), ["[]", r#"{"a":1}"#, "3"]);
    let document = Document::parse("{}").unwrap();
    assert_eq!(document.root().each().count(), 1);
    assert_eq!((document.root().members().count(), document.root().elements().count()), (0, 0));
}

#[test]
fn errors_name_kind_byte_and_path() {
    use ParseErrorKind as K;
    let cases = [
        ("", K::Syntax, 0, ""),
        ("{", K::Syntax, 1, ""),
        (r#"{"resourceType":"Patient","name":[{"given":["a",}]}"#, K::Syntax, 48, "Patient.name[0].given[1]"),
        (r#"{"resourceType":"Patient","name":[{"given":["a"],"given":1}]}"#, K::DuplicateKey, 49, "Patient.name[0].given"),
        (r#"{"name":[{},{"x":01}]}"#, K::Syntax, 18, "name[1].x"),
        (r#"{"a":1,"a":2}"#, K::DuplicateKey, 7, "a"),
        (r#"{"a":1,"\u0061":2}"#, K::DuplicateKey, 7, "a"),
        (r#"{"a":"\ud800"}"#, K::Surrogate, 6, "a"),
        (r#"{"a":"\ud800\u0041"}"#, K::Surrogate, 6, "a"),
        (r#"{"a":"\udc00"}"#, K::Surrogate, 6, "a"),
        (r#"{"a":"\u0000"}"#, K::Nul, 6, "a"),
        ("{\"a\":\"\0\"}", K::Nul, 6, "a"),
        ("{\"a\":\"12345678\n\"}", K::Control, 14, "a"),
        (r#"{"a":"\x"}"#, K::Escape, 6, "a"),
        (r#"{"a":"\u12g4"}"#, K::Escape, 8, "a"),
        (r#"{"a":"\u12"#, K::Escape, 8, "a"),
        (r#"{"a":-}"#, K::Number, 5, "a"),
        (r#"{"a":1.}"#, K::Number, 5, "a"),
        (r#"{"a":1e}"#, K::Number, 5, "a"),
        ("{} {}", K::Trailing, 3, ""),
        (r#"{"a" 1}"#, K::Syntax, 5, "a"),
        (r#"{"a":1 "b":2}"#, K::Syntax, 7, "a"),
        (r#"{"a":nul}"#, K::Syntax, 5, "a"),
        (r#"{"a":"#, K::Syntax, 5, "a"),
        (r#"{1:2}"#, K::Syntax, 1, ""),
    ];
    for (text, kind, offset, path) in cases {
        assert_eq!(error(text), (kind, offset, path.to_owned()), "{text}");
    }
    let broken = Document::parse("{\n  \"a\": \"é\",\n  \"b\" x }").unwrap_err();
    assert_eq!((broken.line, broken.column), (3, 7));
    assert_eq!(broken.to_string(), "unexpected character or end of text at line 3, column 7 (b)");
    let utf8 = Document::parse(&b"{\"a\":\n\"\xff\"}"[..]).unwrap_err();
    assert_eq!((utf8.kind, utf8.offset, utf8.line, utf8.column), (ParseErrorKind::Utf8, 7, 2, 2));
}

#[test]
fn duplicates_are_found_among_many_members() {
    for count in [2, 10, 23, 24, 25, 26, 300] {
        let names: Vec<String> = (0..count).map(|number| format!("\"n{number}\":{{\"n{number}\":[]}}")).collect();
        let unique = format!("{{{}}}", names.join(","));
        assert!(Document::parse(unique.as_str()).is_ok(), "{count} members");
        for twice in [0, count / 2, count - 1] {
            let text = format!("{{{},\"n{twice}\":1}}", names.join(","));
            let found = error(&text);
            assert_eq!((found.0, found.2), (ParseErrorKind::DuplicateKey, format!("n{twice}")), "{count} members, n{twice} twice");
            let escaped = format!("{{{},\"\\u006e{twice}\":1}}", names.join(","));
            assert_eq!(error(&escaped).0, ParseErrorKind::DuplicateKey, "{count} members, n{twice} twice, once escaped");
        }
    }
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Document::parse(nested(100)).is_ok());
    assert_eq!(error(&nested(101)).0, ParseErrorKind::Depth);
    assert_eq!(error(&"{\"a\":".repeat(101)).0, ParseErrorKind::Depth);
    assert_eq!(error(&"[".repeat(10_000_000)).0, ParseErrorKind::Depth);
    let limits = |depth_max| Limits { depth_max };
    assert!(Document::parse_with("[[]]", &limits(2)).is_ok());
    assert_eq!(Document::parse_with("[[]]", &limits(1)).unwrap_err().kind, ParseErrorKind::Depth);
    assert_eq!(Document::parse_with("[]", &limits(0)).unwrap_err().kind, ParseErrorKind::Depth);
    assert!(Document::parse_with("1", &limits(0)).is_ok());
    let deep = Document::parse_with(nested(1000), &limits(usize::MAX)).unwrap();
    assert_eq!(deep.root().to_pretty().lines().count(), 1999);
    assert_eq!(Document::parse_with(nested(1001), &limits(usize::MAX)).unwrap_err().kind, ParseErrorKind::Depth);
}

#[test]
fn compact_writing_drops_white_space_only() {
    let text =
        "\u{20}{ \"a\\u0062 c\" : [ 1.00 , -0 , 1E5 , \"x \\/ \\u00e9 é\" , { } , [ ] , null , true ] ,\r\n\t\"b\" : { \"c\" : false } }\n";
    assert_eq!(compact(text), r#"{"a\u0062 c":[1.00,-0,1E5,"x \/ \u00e9 é",{},[],null,true],"b":{"c":false}}"#);
    assert_eq!(compact(&compact(text)), compact(text));
    assert_eq!(compact(" \"x\" "), "\"x\"");
}

#[test]
fn pretty_writing_adds_white_space_only() {
    let document = Document::parse(r#"{"a":[1.00,{},[]],"b":{"c":"x"}}"#).unwrap();
    let pretty = document.root().to_pretty();
    assert_eq!(pretty, "{\n  \"a\": [\n    1.00,\n    {},\n    []\n  ],\n  \"b\": {\n    \"c\": \"x\"\n  }\n}");
    assert_eq!(compact(&pretty), document.source());
}

#[test]
fn edits_replace_values() {
    for text in [r#"{"a":[1,{"b":2}],"c":{"d":"x"},"e":3}"#, r#"{ "a" : [ 1 , { "b" : 2 } ] , "c" : { "d" : "x" } , "e" : 3 }"#] {
        let document = Document::parse(text).unwrap();
        let root = document.root();
        let (a, c, e) = (root.get("a").unwrap(), root.get("c").unwrap(), root.get("e").unwrap());
        let b = a.elements().nth(1).unwrap().get("b").unwrap();
        let write = |value: Value<'_>, edits: &[(Value<'_>, &str)]| {
            let edits: Vec<Edit> = edits.iter().map(|(value, text)| Edit { range: value.range(), text: (*text).to_owned() }).collect();
            let mut out = String::new();
            value.write_edited(&edits, &mut out);
            out
        };
        assert_eq!(write(root, &[(b, "null"), (c, "[]"), (e, "4.0")]), r#"{"a":[1,{"b":null}],"c":[],"e":4.0}"#);
        assert_eq!(write(root, &[(root, "1")]), "1");
        assert_eq!(write(c, &[(b, "null"), (c, "[]"), (e, "4.0")]), "[]");
        assert_eq!(write(c, &[(b, "null"), (e, "4.0")]), r#"{"d":"x"}"#);
        assert_eq!(write(a, &[(b, "7"), (e, "4.0")]), r#"[1,{"b":7}]"#);
        assert_eq!(write(e, &[(b, "7"), (e, "4.0")]), "4.0");
    }
}

#[test]
fn a_writer_places_commas() {
    let mut writer = Writer::new();
    writer.begin_object().string_member("a", "x\"\\\n\u{1}é").key("b").begin_array().raw("1").begin_object().end_object().string("s");
    writer.begin_array().end_array().end_array().raw_member("c", "null").key("d").begin_object().end_object().end_object();
    let text = writer.finish();
    assert_eq!(text, r#"{"a":"x\"\\\n\u0001é","b":[1,{},"s",[]],"c":null,"d":{}}"#);
    assert!(Document::parse(text).is_ok());
}

proptest! {
    #[test]
    fn strings_come_back(text in "\\PC{0,40}|[\\x01-\\x7f]{0,40}|(\\\\|\"|\\PC){0,20}") {
        let mut json = String::new();
        write_string(&text, &mut json);
        let document = Document::parse(json.as_str()).unwrap();
        prop_assert_eq!(document.root().as_str().unwrap(), text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn scans_agree_with_a_plain_loop(bytes in prop::collection::vec(prop::sample::select(vec![0_u8, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', b'a', 0x7f, 0x80, 0xa2, 0xdc, 0xff, b'\n', b'\t', b'\r']), 0..40), at in 0_usize..45) {
        let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let rest = bytes.get(at..).unwrap_or_default();
        prop_assert_eq!(scan::plain_end(&bytes, at), at + rest.iter().take_while(|byte| !special(byte)).count());
        prop_assert_eq!(scan::space_end(&bytes, at), at + rest.iter().take_while(|byte| space(byte)).count());
    }
}

fn data(folder: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(folder)
}
