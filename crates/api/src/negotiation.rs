//! Media types: which of ours an `Accept` or `_format` asks for, and what a `Content-Type` says (RFC 9110, section 12.5;
//! R4 http.html#mime-type).

use std::borrow::Cow;

use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use http::{HeaderMap, HeaderValue};

/// The types that JSON is served as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum JsonType {
    /// `application/fhir+json`
    #[default]
    FhirJson,
    /// `application/json`
    Json,
    /// `text/json`
    TextJson,
}

impl JsonType {
    const ALL: [Self; 3] = [Self::FhirJson, Self::Json, Self::TextJson];

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::FhirJson => "application/fhir+json",
            Self::Json => "application/json",
            Self::TextJson => "text/json; charset=utf-8",
        }
    }

    fn essence(self) -> &'static str {
        match self {
            Self::TextJson => "text/json",
            other => other.content_type(),
        }
    }
}

/// One element of an `Accept`.
#[derive(Debug)]
struct Range<'a> {
    essence: &'a str,
    /// In thousandths.
    quality: u16,
    /// Whether it asks for a version of FHIR that is not served (`fhirVersion=3.0`).
    is_foreign: bool,
}

impl Range<'_> {
    /// How exactly it names the type: 3 by name, 2 by `text/*`, 1 by `*/*`; 0: not at all.
    fn specificity(&self, essence: &str) -> u8 {
        let (kind, subtype) = essence.split_once('/').unwrap_or((essence, ""));
        match self.essence.split_once('/') {
            Some((own, "*")) if own.eq_ignore_ascii_case(kind) => 2,
            Some(("*", "*")) => 1,
            Some((own, own_subtype)) if own.eq_ignore_ascii_case(kind) && own_subtype.eq_ignore_ascii_case(subtype) => 3,
            // What `curl -H 'Accept: *'` and some HTTP libraries mean by it.
            None if self.essence == "*" => 1,
            _ => 0,
        }
    }
}

/// What a request's `Accept` asks for; nothing in it: anything.
#[derive(Debug)]
pub(crate) struct Accepted<'a>(Vec<Range<'a>>);

impl<'a> Accepted<'a> {
    /// Reads the header. Elements that are no media ranges match nothing.
    pub fn parse(headers: &'a HeaderMap) -> Self {
        let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        Self(texts.flat_map(split_list).map(parse_range).collect())
    }

    /// The wanted type of JSON, and its quality; `None` where none of them is accepted.
    pub fn json(&self) -> Option<(JsonType, u16)> {
        if self.0.is_empty() {
            return Some((JsonType::default(), 1000));
        }
        let rated = JsonType::ALL.into_iter().filter_map(|json| {
            let (quality, place, specificity) = self.rate(json.essence())?;
            // Of equally wanted types the one named first, of those named by one wildcard FHIR's own.
            Some((quality, std::cmp::Reverse(place), specificity, json))
        });
        let best = rated.reduce(|best, next| if (next.0, next.1, next.2) > (best.0, best.1, best.2) { next } else { best });
        best.map(|(quality, _, _, json)| (json, quality))
    }

    /// Whether content of this type is wanted more than a resource in JSON: named, or by `image/*`.
    pub fn prefers(&self, essence: &str) -> bool {
        let json = self.json().map_or(0, |(_, quality)| quality);
        self.rate(essence).is_some_and(|(quality, _, specificity)| specificity > 1 && quality > json || json == 0)
            && !JsonType::ALL.iter().any(|json| json.essence().eq_ignore_ascii_case(essence) && *json != JsonType::TextJson)
    }

    /// Quality, place in the list and specificity of the most specific range for a type; `None` where it is not accepted.
    fn rate(&self, essence: &str) -> Option<(u16, usize, u8)> {
        let matching = self.0.iter().enumerate().map(|(place, range)| (range.specificity(essence), place, range));
        let best = matching.filter(|(specificity, _, range)| *specificity > 0 && !range.is_foreign);
        let (specificity, place, range) = best.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        (range.quality > 0).then_some((range.quality, place, specificity))
    }
}

/// The type of JSON that a request's `Accept` asks for; `None` where none of them is accepted.
pub(crate) fn json_of_accept(headers: &HeaderMap) -> Option<JsonType> {
    // What most requests send needs no list.
    match headers.get(ACCEPT).map(HeaderValue::as_bytes) {
        None => Some(JsonType::FhirJson),
        Some(b"application/fhir+json" | b"*/*") if headers.get_all(ACCEPT).iter().nth(1).is_none() => Some(JsonType::FhirJson),
        Some(_) => Accepted::parse(headers).json().map(|(json, _)| json),
    }
}

/// The type of JSON that a `_format` names (R4 http.html#parameters); `None`: another format.
pub(crate) fn json_of_format(format: &str) -> Option<JsonType> {
    // An unescaped plus has become a space.
    let format = format.replace(' ', "+").to_ascii_lowercase();
    let range = parse_range(&format);
    match range.essence {
        _ if range.is_foreign => None,
        "json" | "application/fhir+json" => Some(JsonType::FhirJson),
        "application/json" => Some(JsonType::Json),
        "text/json" => Some(JsonType::TextJson),
        _ => None,
    }
}

/// Whether the answer may be compressed.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut wildcard = false;
    for range in texts.flat_map(split_list).map(parse_range) {
        match range.essence {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => return range.quality > 0,
            "*" => wildcard = range.quality > 0,
            _ => {}
        }
    }
    wildcard
}

/// A `Content-Type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType<'a> {
    /// Type and subtype in lower case.
    pub essence: Cow<'a, str>,
    /// Whether its text is UTF-8, as far as it says.
    pub is_utf8: bool,
}

impl<'a> MediaType<'a> {
    /// Reads the header's value.
    pub fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim();
        let essence = if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(essence.to_ascii_lowercase())
        } else {
            Cow::Borrowed(essence)
        };
        let charset = parts.find_map(|parameter| parameter_value(parameter, "charset"));
        let is_utf8 = charset.is_none_or(|charset| ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name)));
        Self { essence, is_utf8 }
    }

    /// Whether it is one of the types of JSON.
    pub fn is_json(&self) -> bool {
        JsonType::ALL.iter().any(|json| json.essence() == self.essence)
    }

    /// Whether it is a type of FHIR resources, readable or not.
    pub fn is_fhir(&self) -> bool {
        self.is_json() || matches!(&*self.essence, "application/fhir+xml" | "application/xml" | "text/xml" | "application/fhir+turtle")
    }
}

/// The one value of a header as text; `Err` where it stands twice or is not UTF-8.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).map(|text| Some(text.trim())).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// The elements of a comma-separated list; commas in quotes do not separate.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .map(str::trim)
    .filter(|element| !element.is_empty())
}

fn parse_range(element: &str) -> Range<'_> {
    let mut parts = element.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let mut range = Range { essence, quality: 1000, is_foreign: false };
    for parameter in parts {
        if let Some(quality) = parameter_value(parameter, "q") {
            range.quality = parse_quality(quality);
        } else if let Some(version) = parameter_value(parameter, "fhirVersion") {
            range.is_foreign = !matches!(version, "4.0" | "4.0.0" | "4.0.1");
        }
    }
    range
}

/// A quality in thousandths; what is none counts as 1, as it does with most servers.
fn parse_quality(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0) as u16,
        _ => 1000,
    }
}

fn parameter_value<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    let (own, value) = parameter.split_once('=')?;
    own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn accept(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(text).unwrap())])
    }

    fn json(text: &str) -> Option<JsonType> {
        Accepted::parse(&accept(text)).json().map(|(json, _)| json)
    }

    #[test]
    fn what_real_clients_send_is_answered_in_the_type_they_can_read() {
        let hapi = "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, application/xml+fhir;q=0.9, application/json+fhir;q=0.9";
        assert_eq!(json(hapi), Some(JsonType::FhirJson));
        assert_eq!(json("application/fhir+json, */*; q=0.1"), Some(JsonType::FhirJson));
        assert_eq!(json("application/json"), Some(JsonType::Json));
        assert_eq!(json("text/json"), Some(JsonType::TextJson));
        assert_eq!(json("*/*"), Some(JsonType::FhirJson));
        assert_eq!(json("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(JsonType::FhirJson));
        assert_eq!(json("Application/FHIR+JSON; charset=UTF-8; fhirVersion=4.0"), Some(JsonType::FhirJson));
        assert_eq!(Accepted::parse(&HeaderMap::new()).json(), Some((JsonType::FhirJson, 1000)));
    }

    #[test]
    fn quality_then_order_decide() {
        assert_eq!(json("application/json;q=0.5, application/fhir+json;q=0.4"), Some(JsonType::Json));
        assert_eq!(json("application/json, application/fhir+json"), Some(JsonType::Json));
        assert_eq!(json("application/fhir+json, application/json"), Some(JsonType::FhirJson));
        assert_eq!(json("text/*"), Some(JsonType::TextJson));
        assert_eq!(json("application/*, text/json;q=0.9"), Some(JsonType::FhirJson));
        assert_eq!(json("*/*, application/fhir+json;q=0"), Some(JsonType::Json));
    }

    #[test]
    fn nothing_that_can_be_served_is_told() {
        for text in
            ["application/fhir+xml", "text/html", "application/json;q=0", "application/fhir+json; fhirVersion=3.0", "*/*;q=0", "junk"]
        {
            assert_eq!(json(text), None, "{text}");
        }
    }

    #[test]
    fn content_is_preferred_to_a_resource_where_it_is_named() {
        let prefers = |accept_text: &str, essence: &str| Accepted::parse(&accept(accept_text)).prefers(essence);
        assert!(prefers("text/plain", "text/plain"));
        assert!(prefers("image/*, */*;q=0.1", "image/png"));
        assert!(prefers("text/plain, */*;q=0.1", "text/plain"));
        assert!(!prefers("*/*", "text/plain"));
        assert!(!prefers("application/fhir+json, */*; q=0.1", "text/plain"));
        assert!(!prefers("text/plain", "text/html"));
        assert!(!prefers("application/json", "application/json"));
        assert!(!Accepted::parse(&HeaderMap::new()).prefers("text/plain"));
    }

    #[test]
    fn formats_by_parameter() {
        for format in ["json", "application/fhir+json", "application/fhir json", "application/fhir+json;charset=utf-8", "JSON"] {
            assert_eq!(json_of_format(format), Some(JsonType::FhirJson), "{format}");
        }
        assert_eq!(json_of_format("application/json"), Some(JsonType::Json));
        for format in ["xml", "application/fhir+xml", "ttl", "html", ""] {
            assert_eq!(json_of_format(format), None, "{format}");
        }
    }

    #[test]
    fn compression_is_used_only_when_accepted() {
        let gzip = |text: &str| accepts_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(text).unwrap())]));
        assert!(gzip("gzip") && gzip("br, GZIP;q=0.5") && gzip("*"));
        assert!(!gzip("br") && !gzip("gzip;q=0, *") && !gzip("identity"));
    }

    #[test]
    fn content_types_with_parameters() {
        assert_eq!(
            MediaType::parse("Application/JSON; charset=\"UTF-8\""),
            MediaType { essence: "application/json".into(), is_utf8: true }
        );
        assert!(!MediaType::parse("application/json; charset=iso-8859-1").is_utf8);
        assert!(MediaType::parse("application/fhir+xml").is_fhir() && !MediaType::parse("application/fhir+xml").is_json());
    }
}
