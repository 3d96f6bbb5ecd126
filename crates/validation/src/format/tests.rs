use fhirpool_fhir::json::Document;

use super::*;

/// Checks JSON texts that must be taken and refused.
#[track_caller]
fn check(primitive: Primitive, good: &[impl AsRef<str>], bad: &[impl AsRef<str>]) {
    let is_good = |json: &str| match Document::parse(json) {
        Ok(document) => fault(primitive, document.root()).is_none(),
        Err(error) => panic!("{json}: {error}"),
    };
    for json in good.iter().map(AsRef::as_ref) {
        assert!(is_good(json), "{} takes {json}", primitive.name());
    }
    for json in bad.iter().map(AsRef::as_ref) {
        assert!(!is_good(json), "{} refuses {json}", primitive.name());
    }
}

#[test]
fn integers_have_32_bits() {
    let bad = ["2147483648", "-2147483649", "1.0", "1e2", "-0", "99999999999999999999"];
    check(Primitive::Integer, &["0", "-1", "2147483647", "-2147483648"], &bad);
    check(Primitive::UnsignedInt, &["0", "2147483647"], &["-1", "2147483648", "0.0"]);
    check(Primitive::PositiveInt, &["1", "2147483647"], &["0", "-1", "2147483648"]);
}

#[test]
fn decimals_have_a_limit() {
    let digits = "1".repeat(65);
    check(Primitive::Decimal, &["0", "-0.00", "129.160", "1e245", "-1.5E-22", "123456789012345678.123456789"], &["1e1234567890", &digits]);
}

#[test]
fn strings_have_content_and_no_controls() {
    let good = [r#""a""#, r#"" ""#, r#""a\tb\r\nc""#, r#""\u000a""#, r#""\u0041""#, r#""\\u0001""#, r#""\\b""#, r#""ä☃""#];
    let bad = [r#""""#, r#""\u0001""#, r#""a\b""#, r#""\f""#, r#""\u001f""#, r#""\\\u0007""#, r#""\u000B""#];
    check(Primitive::String, &good, &bad);
    check(Primitive::Markdown, &good, &bad);
    let (long, longer) = (format!("\"{}\"", "a".repeat(1024 * 1024)), format!("\"{}\"", "a".repeat(1024 * 1024 + 1)));
    let escaped = format!("\"{}\"", "\\n".repeat(1024 * 1024));
    check(Primitive::String, &[&long, &escaped], &[&longer]);
}

#[test]
fn codes_have_single_blanks_inside_only() {
    check(Primitive::Code, &[r#""a""#, r#""a b c""#, r#""<=""#], &[r#""""#, r#"" a""#, r#""a ""#, r#""a  b""#, r#"" ""#, r#""a\t b""#]);
}

#[test]
fn ids_keep_to_the_grammar() {
    let (most, more) = (format!("\"{}\"", "a".repeat(64)), format!("\"{}\"", "a".repeat(65)));
    check(Primitive::Id, &[r#""1""#, r#""A-z.9""#, &most], &[r#""""#, r#""a_b""#, r#""a b""#, &more]);
}

#[test]
fn dates_are_days_of_the_calendar() {
    let bad = [
        "2023-02-29",
        "1900-02-29",
        "2023-13",
        "2023-00",
        "2023-04-31",
        "0000",
        "23",
        "2023-1-1",
        "yesterday",
        "2023-01-01T00:00:00Z",
        "2023-01-01 ",
    ];
    quoted(Primitive::Date, &["2023", "2023-12", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"], &bad);
}

#[test]
fn date_times_have_seconds_and_a_zone() {
    let times = ["2023-01-01T23:59:59Z", "2023-01-01T00:00:00.123456789+14:00", "2016-12-31T23:59:60Z", "2023-01-01T00:00:00-05:30"];
    let bad = [
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:00:00",
        "2023-01-01T00:00Z",
        "2023-01-01T00:00:00+14:01",
        "2023-02-30T00:00:00Z",
        "2023-01-01T00:00:00.Z",
        "2023-01-01t00:00:00z",
    ];
    quoted(Primitive::DateTime, &times, &bad);
    quoted(Primitive::DateTime, &["2023", "2023-05", "2023-05-06"], &[]);
    quoted(Primitive::Instant, &times, &bad);
    quoted(Primitive::Instant, &[], &["2023", "2023-05", "2023-05-06"]);
}

#[test]
fn times_have_seconds_and_no_zone() {
    quoted(
        Primitive::Time,
        &["00:00:00", "23:59:60", "12:30:15.25"],
        &["24:00:00", "12:60:00", "12:00:61", "12:30", "12:30:00Z", "12:30:00.", "1:00:00"],
    );
}

#[test]
fn uris_have_no_blanks() {
    for primitive in [Primitive::Uri, Primitive::Url, Primitive::Canonical] {
        quoted(primitive, &["http://a/b?c#d", "urn:oid:1.2", "a", "http://a|1"], &["", "a b", " a", "a\u{a0}b"]);
    }
    quoted(
        Primitive::Oid,
        &["urn:oid:1.2.840.0.1", "urn:oid:2.0"],
        &["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "urn:oid:1..2", "urn:oid:1.2.", "urn:oid:"],
    );
    let uuid = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520";
    quoted(Primitive::Uuid, &[uuid], &[&uuid[9..], &uuid.to_uppercase(), &uuid[..40], "urn:uuid:c757873dec9a-4326-a141-556f432395200"]);
}

#[test]
fn base64_has_whole_groups() {
    quoted(Primitive::Base64Binary, &["YQ==", "YWI=", "YWJj", "YWJj YWJj"], &["", "YQ", "YQ=", "Y===", "YQ==YQ==", "YW_j", "===="]);
    check(Primitive::Base64Binary, &[r#""YWJj\r\nYWJj""#], &[r#""YWJj\\""#]);
}

#[test]
fn xhtml_is_a_div() {
    let good = [
        r#""<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>""#,
        r#""<div>a</div>""#,
        r#""\u003cdiv\u003ea\u003c/div\u003e""#,
        r#"" <div\n>a</div>\n""#,
    ];
    check(Primitive::Xhtml, &good, &[r#""""#, r#"" ""#, r#""a""#, r#""<p>a</p>""#, r#""<divide>a</div>""#, r#""<div>a""#]);
}

/// Checks strings, which are quoted here.
#[track_caller]
fn quoted(primitive: Primitive, good: &[&str], bad: &[&str]) {
    let quote = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| format!("\"{text}\"")).collect() };
    check(primitive, &quote(good), &quote(bad));
}
