#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::json::Document;

fn prepare(text: &str) -> ResourceBody {
    let document = Document::parse(text).unwrap();
    ResourceBody::prepare(document.root(), &ResourceId::parse("1").unwrap(), &[])
}

fn written(body: &ResourceBody) -> String {
    let mut out = String::from("ahead ");
    body.write(VersionId(12), Timestamp(1_795_250_572_007), &mut out);
    out.strip_prefix("ahead ").unwrap().to_owned()
}

const SERVERS: &str = r#""versionId":"12","lastUpdated":"2026-11-21T08:42:52.007Z""#;

#[test]
fn version_and_time_go_where_meta_is() {
    let cases = [
        (r#"{"resourceType":"Patient","id":"1"}"#, r#"{"resourceType":"Patient","id":"1","meta":{S}}"#),
        (r#"{"resourceType":"Patient"}"#, r#"{"resourceType":"Patient","id":"1","meta":{S}}"#),
        (r#"{"resourceType":"Patient","active":true}"#, r#"{"resourceType":"Patient","id":"1","meta":{S},"active":true}"#),
        (r#"{"active":true,"resourceType":"Patient"}"#, r#"{"active":true,"resourceType":"Patient","id":"1","meta":{S}}"#),
        (r#"{"id":"other","resourceType":"Patient"}"#, r#"{"id":"1","resourceType":"Patient","meta":{S}}"#),
        (r#"{"resourceType":"Patient","active":true,"id":"x"}"#, r#"{"resourceType":"Patient","active":true,"id":"1","meta":{S}}"#),
        (r#"{"resourceType":"Patient","meta":{},"id":"x"}"#, r#"{"resourceType":"Patient","meta":{S},"id":"1"}"#),
        (r#"{"meta":{"versionId":"7"},"resourceType":"Patient"}"#, r#"{"meta":{S},"resourceType":"Patient","id":"1"}"#),
        (
            r#"{"resourceType":"Patient","meta":{"lastUpdated":"2000","_lastUpdated":{},"source":"s","versionId":"7","tag":[]},"id":"x"}"#,
            r#"{"resourceType":"Patient","meta":{S,"source":"s","tag":[]},"id":"1"}"#,
        ),
    ];
    for (client, expected) in cases {
        assert_eq!(written(&prepare(client)), expected.replace('S', SERVERS), "{client}");
    }
}

#[test]
fn white_space_goes_and_bytes_stay() {
    let client = "{ \"resourceType\" : \"Patient\",\n \"\\u006dultipleBirthInteger\" : 1.00 , \"name\" : [ { \"text\" : \"a \\u00e4\\/ ä\" } , null ] }";
    assert_eq!(
        prepare(client).text,
        "{\"resourceType\":\"Patient\",\"id\":\"1\",\"\\u006dultipleBirthInteger\":1.00,\"name\":[{\"text\":\"a \\u00e4\\/ ä\"},null]}"
    );
}

#[test]
fn names_written_with_escapes_mean_the_same() {
    let body = prepare(r#"{"resourceType":"Patient","\u0069d":"x","\u006deta":{"\u0076ersionId":"3","tag":[]}}"#);
    assert_eq!(body.text, r#"{"resourceType":"Patient","\u0069d":"1","\u006deta":{"tag":[]}}"#);
    assert_eq!(body.meta, MetaPlace::Filled);
}

#[test]
fn edits_reach_everything_meta_too() {
    for space in ["", " "] {
        let text = format!(
            r#"{{"resourceType":"Observation",{space}"meta":{{"profile":["urn:uuid:1"],"versionId":"9"}},"subject":{{"reference":"urn:uuid:2"}},"focus":[{{"reference":"urn:uuid:3"}}]}}"#
        );
        let document = Document::parse(text).unwrap();
        let root = document.root();
        let profile = root.get("meta").unwrap().get("profile").unwrap().elements().next().unwrap();
        let subject = root.get("subject").unwrap().get("reference").unwrap();
        let focus = root.get("focus").unwrap().elements().next().unwrap();
        let edits = [(profile, "\"A\""), (subject, "\"B\""), (focus, "{\"reference\":\"C\"}")]
            .map(|(value, text)| Edit { range: value.range(), text: text.to_owned() });
        let body = ResourceBody::prepare(root, &ResourceId::parse("1").unwrap(), &edits);
        assert_eq!(
            body.text,
            r#"{"resourceType":"Observation","id":"1","meta":{"profile":["A"]},"subject":{"reference":"B"},"focus":[{"reference":"C"}]}"#
        );
        let entries = format!(r#"{{"entry":[{}]}}"#, document.source());
        let bundle = Document::parse(entries).unwrap();
        let inner = bundle.root().get("entry").unwrap().elements().next().unwrap();
        let shifted = edits.map(|edit| Edit { range: edit.range.start + 10..edit.range.end + 10, ..edit });
        assert_eq!(ResourceBody::prepare(inner, &ResourceId::parse("1").unwrap(), &shifted), body);
    }
}

proptest! {
    /// What a client reads and sends back is stored as it was.
    #[test]
    fn a_round_trip_changes_nothing(meta in prop::option::of(prop::sample::select(vec!["{}", r#"{"tag":[]}"#, r#"{"source":"é"}"#])), id_first in any::<bool>()) {
        let meta = meta.map_or(String::new(), |meta| format!(r#","meta":{meta}"#));
        let head = if id_first { r#""id":"1","resourceType":"Patient""# } else { r#""resourceType":"Patient","id":"1""# };
        let first = prepare(&format!(r#"{{{head}{meta},"active":true}}"#));
        let seen = written(&first);
        let second = prepare(&seen);
        prop_assert_eq!(written(&second), seen);
    }
}
