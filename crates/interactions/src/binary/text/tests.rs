#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_fhir::{ResourceId, Timestamp};

use super::*;

fn body(json: &str) -> ResourceBody {
    let document = Document::parse(json).unwrap();
    ResourceBody::prepare(document.root(), &ResourceId::parse("b1").unwrap(), &[])
}

fn shown(body: &ResourceBody) -> String {
    let mut out = String::new();
    body.write(VersionId(3), Timestamp(1_700_000_000_000), &mut out);
    out
}

#[test]
fn data_goes_aside_and_comes_back_byte_by_byte_wherever_meta_stands() {
    for json in [
        r#"{"resourceType":"Binary","contentType":"a/b","data":"AAECAwQFBgc="}"#,
        r#"{"resourceType":"Binary","meta":{"tag":[{"code":"x"}]},"data":"AAECAwQFBgc=","contentType":"a/b"}"#,
        r#"{"data":"AAECAwQFBgc=","resourceType":"Binary","contentType":"a/b","meta":{"versionId":"9"}}"#,
        r#"{"data":"AAECAwQFBgc=","contentType":"a/b","meta":{"source":"urn:x","versionId":"9"},"id":"b1","resourceType":"Binary"}"#,
    ] {
        let whole = body(json);
        let split = set_data_aside(&whole, "binary/1", 4).unwrap();
        assert_eq!((split.data.as_slice(), split.content_type.as_str()), (&[0, 1, 2, 3, 4, 5, 6, 7][..], "a/b"));
        let stored = shown(&split.body);
        let facts = Facts::of_text(&stored).unwrap();
        assert_eq!(facts.place, Place::SetAside { name: "binary/1".into(), length: 8 });
        assert_eq!(with_data(&stored, "AAECAwQFBgc="), shown(&whole), "{json}");
        assert_eq!(shown(&body_with_data(&split.body, "AAECAwQFBgc=")), shown(&whole), "{json}");
    }
}

#[test]
fn data_that_would_not_come_back_the_same_stays() {
    for data in [r#""AAEC\nAwQFBgc=""#, r#""AAECAwQFBgc\u003d""#, r#""AAECAwQFBgd=""#, "\"AAEC AwQFBgc=\""] {
        let body = body(&format!(r#"{{"resourceType":"Binary","contentType":"a/b","data":{data}}}"#));
        assert!(set_data_aside(&body, "binary/1", 4).is_none(), "{data}");
    }
    let extended = body(r#"{"resourceType":"Binary","data":"AAECAwQFBgc=","_data":{"id":"d"}}"#);
    assert!(set_data_aside(&extended, "binary/1", 4).is_none());
    assert!(set_data_aside(&body(r#"{"resourceType":"Binary","data":"AAECAwQFBgc="}"#), "binary/1", 8).is_none());
}

#[test]
fn lists_show_no_extension_and_say_what_is_left_out() {
    let split = set_data_aside(&body(r#"{"resourceType":"Binary","contentType":"a/b","data":"AAECAwQFBgc="}"#), "binary/1", 4).unwrap();
    let listed_json = listed(shown(&split.body));
    let document = Document::parse(listed_json.as_str()).unwrap();
    assert!(!listed_json.contains(CONTENT_URL) && is_subsetted(document.root()), "{listed_json}");
    assert_eq!(document.root().get("meta").unwrap().get_str("versionId").unwrap(), "3");
    let tagged_before = r#"{"resourceType":"Binary","meta":{"tag":[{"code":"x"}],"source":"urn:x"},"data":"AAECAwQFBgc="}"#;
    let split = set_data_aside(&body(tagged_before), "binary/1", 4).unwrap();
    let listed_json = listed(shown(&split.body));
    let document = Document::parse(listed_json.as_str()).unwrap();
    assert_eq!(document.root().get("meta").unwrap().get("tag").unwrap().elements().count(), 2, "{listed_json}");
    let inline = shown(&body(r#"{"resourceType":"Binary","data":"AAEC"}"#));
    assert_eq!(listed(inline.clone()), inline);
}

#[test]
fn the_extension_is_the_servers_own() {
    let marked = |value: &str| format!(r#"{{"_data":{{"extension":[{{"url":"{CONTENT_URL}","valueString":"{value}"}}]}}}}"#);
    for value in ["body 1 binary/2", "version 1", "", "nonsense"] {
        assert!(check_own_marker(&marked(value)).is_err(), "{value}");
    }
    let hidden = marked("body 9 binary/x").replace("urn:fhirpool:", r"urn:fhirpool\u003a");
    assert!(check_own_marker(&hidden).is_err() && check_own_marker(&hidden.replace("_data", r"\u005fdata")).is_err());
    assert!(check_own_marker(&marked("empty")).is_ok());
    let before = Document::parse(marked("version 1")).unwrap();
    assert!(after_patch(&before, marked("version 1")).is_ok());
    assert!(after_patch(&before, marked("version 2")).is_err());
    assert!(after_patch(&before, marked("body 1 x")).is_err());
    assert!(after_patch(&before, hidden).is_err());
    let with_data = marked("version 1").replacen('{', r#"{"data":"AAEC","#, 1);
    assert!(!after_patch(&before, with_data).unwrap().contains(CONTENT_URL));
    let other_type = marked("version 1").replacen('{', r#"{"contentType":"x/y","#, 1);
    assert!(!after_patch(&before, other_type).unwrap().contains(CONTENT_URL));
}

#[test]
fn urls_that_come_back_are_dropped() {
    let mut sent = body(r#"{"resourceType":"Binary","presignedGetUrl":"http://x","contentType":"a/b","presignedPutUrl":"http://y"}"#);
    without_urls(&mut sent);
    assert_eq!(sent, body(r#"{"resourceType":"Binary","contentType":"a/b"}"#));
    assert_eq!(with_member("{\"a\":1}", "b", "x\"y"), r#"{"a":1,"b":"x\"y"}"#);
}
