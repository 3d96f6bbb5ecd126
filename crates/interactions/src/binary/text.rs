//! The JSON of a Binary: where it says its content lies, and how that is put in and taken out.
//!
//! Where content does not stand in `data`, the stored resource has an extension of `data` in its place, of the URL
//! [`CONTENT_URL`] and with one of these values:
//!
//! | value | content |
//! |---|---|
//! | `empty` | none: an upload of no bytes |
//! | `body <length> <name>` | set aside under this name |
//! | `version <n>` | what was uploaded for that version of the same Binary |
//!
//! Neither `data` nor this: what is uploaded for the version itself. Clients never see the extension.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhirpool_fhir::json::{Document, Member, Value, write_string};
use fhirpool_fhir::{Issue, IssueCode, ResourceBody, VersionId};

use crate::subset::SUBSETTED_SYSTEM;
use crate::{ErrorKind, InteractionError, Result};

/// The URL of the extension; a text that no other resource holds by chance.
const CONTENT_URL: &str = "urn:fhirpool:binary-content";
/// The property of a read's answer with the URL to GET the content from.
pub(super) const DOWNLOAD_URL: &str = "presignedGetUrl";
/// The property of a write's answer with the URL to PUT the content to.
pub(super) const UPLOAD_URL: &str = "presignedPutUrl";

/// What stands in the place of `data` where a client has sent no bytes at all as content.
pub const EMPTY_DATA_MEMBER: (&str, &str) = ("_data", r#"{"extension":[{"url":"urn:fhirpool:binary-content","valueString":"empty"}]}"#);

/// Where the content of a version lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In `data`.
    Inline,
    /// There is none.
    Empty,
    /// Set aside by the server.
    SetAside { name: String, length: u64 },
    /// Uploaded by a client for this version (`None`: the version's own).
    Uploaded(Option<VersionId>),
}

impl Place {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let place = match (words.next()?, words.next(), words.next()) {
            ("empty", None, None) => Self::Empty,
            ("body", Some(length), Some(name)) => Self::SetAside { name: name.to_owned(), length: length.parse().ok()? },
            ("version", Some(version), None) => Self::Uploaded(Some(VersionId::parse(version)?)),
            _ => return None,
        };
        words.next().is_none().then_some(place)
    }

    fn marker(&self) -> String {
        let value = match self {
            Self::Inline | Self::Uploaded(None) => return String::new(),
            Self::Empty => "empty".to_owned(),
            Self::SetAside { name, length } => format!("body {length} {name}"),
            Self::Uploaded(Some(version)) => format!("version {version}"),
        };
        let mut member = format!("\"_data\":{{\"extension\":[{{\"url\":\"{CONTENT_URL}\",\"valueString\":");
        write_string(&value, &mut member);
        member.push_str("}]}");
        member
    }
}

/// What a Binary says of its content.
#[derive(Debug)]
pub(super) struct Facts {
    pub place: Place,
    pub content_type: String,
    /// Whether `data` was left out of the resource, by a search or by `_elements`.
    pub is_shortened: bool,
}

impl Facts {
    /// `None` for what is no JSON.
    pub fn of_text(json: &str) -> Option<Self> {
        Some(Self::of(Document::parse(json).ok()?.root()))
    }

    fn of(resource: Value<'_>) -> Self {
        let is_shortened = is_subsetted(resource);
        let place = match marker(resource) {
            Some(place) => place,
            None if resource.get("data").is_some() || is_shortened => Place::Inline,
            None => Place::Uploaded(None),
        };
        let content_type = resource.get_str("contentType").map(|text| text.into_owned()).unwrap_or_default();
        Self { place, content_type, is_shortened }
    }
}

fn marker(resource: Value<'_>) -> Option<Place> {
    marker_value(resource).and_then(|value| Place::parse(&value))
}

fn marker_value(resource: Value<'_>) -> Option<String> {
    let own = own_extension(resource.get("_data")?)?;
    Some(own.get_str("valueString").map(|value| value.into_owned()).unwrap_or_default())
}

/// The server's extension of a `_data`.
fn own_extension(data: Value<'_>) -> Option<Value<'_>> {
    data.get("extension")?.elements().find(|extension| extension.get_str("url").as_deref() == Some(CONTENT_URL))
}

fn is_subsetted(resource: Value<'_>) -> bool {
    let tags = resource.get("meta").and_then(|meta| meta.get("tag"));
    tags.into_iter().flat_map(Value::elements).any(|tag| tag.get_str("code").as_deref() == Some("SUBSETTED"))
}

/// What becomes of a member.
enum Change {
    Keep,
    Drop,
    Replace(String),
}

/// A resource with some of its members changed, and where an offset in the text, if it is the end or the inside of a member that
/// is kept, has gone.
fn rewrite(document: &Document, offset: usize, change: impl Fn(Member<'_>) -> Change) -> (String, usize) {
    let source = document.source();
    let mut out = String::with_capacity(source.len() + 64);
    let mut new_offset = 0;
    for member in document.root().members() {
        let range = member.range();
        let change = change(member);
        if matches!(change, Change::Drop) {
            continue;
        }
        out.push(if out.is_empty() { '{' } else { ',' });
        if range.start < offset {
            new_offset = out.len() + (offset - range.start);
        }
        match change {
            Change::Replace(text) => out.push_str(&text),
            _ => out.push_str(&source[range]),
        }
    }
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    (out, new_offset)
}

fn rewrite_text(json: String, change: impl Fn(Member<'_>) -> Change) -> String {
    match Document::parse(json.as_str()) {
        Ok(document) => rewrite(&document, 0, change).0,
        Err(_) => json,
    }
}

fn rewrite_body(body: &ResourceBody, change: impl Fn(Member<'_>) -> Change) -> ResourceBody {
    let Ok(document) = Document::parse(body.text.as_str()) else { return body.clone() };
    let (text, offset) = rewrite(&document, body.meta_offset as usize, change);
    ResourceBody { text, meta_offset: offset as u32, meta: body.meta }
}

/// The members of `data` are replaced by one: the first of them takes the place.
fn replace_data(text: &str) -> impl Fn(Member<'_>) -> Change + '_ {
    move |member| match &*member.name() {
        "_data" => Change::Replace(text.to_owned()),
        _ => Change::Keep,
    }
}

/// Without the server's extension.
pub(super) fn without_marker(json: String) -> String {
    if !may_have_marker(&json) {
        return json;
    }
    rewrite_text(json, |member| if is_marker(member) { Change::Drop } else { Change::Keep })
}

fn is_marker(member: Member<'_>) -> bool {
    member.name() == "_data" && own_extension(member.value()).is_some()
}

/// As searches and histories show it: without the server's extension, and tagged where `data` is left out.
pub(crate) fn listed(json: String) -> String {
    if !may_have_marker(&json) {
        return json;
    }
    let Some(facts) = Facts::of_text(&json) else { return json };
    if !matches!(facts.place, Place::SetAside { .. }) || facts.is_shortened {
        return without_marker(json);
    }
    rewrite_text(json, |member| match &*member.name() {
        "meta" => Change::Replace(format!("\"meta\":{}", tagged(member.value()))),
        _ if is_marker(member) => Change::Drop,
        _ => Change::Keep,
    })
}

/// A `meta` with the tag that says that something is left out.
fn tagged(meta: Value<'_>) -> String {
    let tag = format!("{{\"system\":\"{SUBSETTED_SYSTEM}\",\"code\":\"SUBSETTED\"}}");
    let mut out = String::from("{");
    let mut has_tags = false;
    for member in meta.members() {
        if out.len() > 1 {
            out.push(',');
        }
        let raw = member.value().raw();
        match member.name() == "tag" && raw.ends_with(']') && raw.len() > 2 {
            true => {
                has_tags = true;
                out.push_str(&format!("\"tag\":{},{tag}]", &raw[..raw.len() - 1]));
            }
            false => out.push_str(&format!("{}:{raw}", member.raw_name())),
        }
    }
    if !has_tags {
        out.push_str(&format!("{}\"tag\":[{tag}]", if out.len() > 1 { "," } else { "" }));
    }
    out.push('}');
    out
}

/// With a member of text behind the others.
pub(super) fn with_member(json: &str, name: &str, value: &str) -> String {
    let mut out = json.strip_suffix('}').unwrap_or(json).to_owned();
    out.push_str(&format!(",\"{name}\":"));
    write_string(value, &mut out);
    out.push('}');
    out
}

/// With data in the place of the extension.
pub(super) fn with_data(json: &str, data: &str) -> String {
    rewrite_text(json.to_owned(), replace_data(&format!("\"data\":\"{data}\"")))
}

/// As [`with_data`], of a stored text.
pub(super) fn body_with_data(body: &ResourceBody, data: &str) -> ResourceBody {
    rewrite_body(body, replace_data(&format!("\"data\":\"{data}\"")))
}

/// With an extension where there is neither data nor one yet.
pub(super) fn body_with_marker(body: &ResourceBody, place: &Place) -> ResourceBody {
    let mut text = body.text.strip_suffix('}').unwrap_or(&body.text).to_owned();
    text.push(',');
    text.push_str(&place.marker());
    text.push('}');
    ResourceBody { text, ..body.clone() }
}

/// A stored text without the URLs that an answer gave and a client sent back: they are the server's, as `meta.versionId` is.
pub(crate) fn without_urls(body: &mut ResourceBody) {
    if body.text.contains(DOWNLOAD_URL) || body.text.contains(UPLOAD_URL) {
        *body = rewrite_body(body, |member| match &*member.name() {
            DOWNLOAD_URL | UPLOAD_URL => Change::Drop,
            _ => Change::Keep,
        });
    }
}

/// Refuses the server's extension in what a client sends: it could name content of another Binary.
pub(super) fn check_own_marker(text: &str) -> Result<()> {
    if !may_have_marker(text) {
        return Ok(());
    }
    let Ok(document) = Document::parse(text) else { return Ok(()) };
    match marker_value(document.root()) {
        None => Ok(()),
        Some(value) if value == "empty" && document.root().get("data").is_none() => Ok(()),
        Some(_) => Err(foreign_marker()),
    }
}

/// Whether the server's extension may be in a text: an escape could hide it.
fn may_have_marker(text: &str) -> bool {
    text.contains(CONTENT_URL) || text.contains('\\')
}

fn foreign_marker() -> InteractionError {
    let issue = Issue::error(IssueCode::BusinessRule, format!("the extension {CONTENT_URL} is the server's own"));
    InteractionError::new(ErrorKind::Unprocessable, issue.at("Binary.data"))
}

/// A stored text whose data was taken out.
pub(super) struct Split {
    pub body: ResourceBody,
    pub name: String,
    pub content_type: String,
    pub data: Vec<u8>,
}

/// Takes data of more than so many bytes out of a stored text. Only data that comes back byte by byte is: base64 without white
/// space, escapes or extensions.
pub(super) fn set_data_aside(body: &ResourceBody, name: &str, length_min: usize) -> Option<Split> {
    let document = Document::parse(body.text.as_str()).ok()?;
    let resource = document.root();
    let raw = resource.get("data")?.raw();
    if resource.get("_data").is_some() {
        return None;
    }
    let data = STANDARD.decode(raw.strip_prefix('"')?.strip_suffix('"')?).ok()?;
    if data.len() <= length_min {
        return None;
    }
    let place = Place::SetAside { name: name.to_owned(), length: data.len() as u64 };
    let (text, offset) = rewrite(&document, body.meta_offset as usize, |member| match &*member.name() {
        "data" => Change::Replace(place.marker()),
        _ => Change::Keep,
    });
    Some(Split {
        body: ResourceBody { text, meta_offset: offset as u32, meta: body.meta },
        name: name.to_owned(),
        content_type: Facts::of(resource).content_type,
        data,
    })
}

/// The bytes of `data`. R4's base64Binary may hold white space.
pub(super) fn inline_data(json: &str) -> Vec<u8> {
    let Ok(document) = Document::parse(json) else { return Vec::new() };
    let data = document.root().get_str("data").unwrap_or_default();
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(data).unwrap_or_default()
}

/// A patched Binary: the extension stays only where the content is still that of the version patched.
pub(crate) fn after_patch(before: &Document, after: String) -> Result<String> {
    if !may_have_marker(&after) {
        return Ok(after);
    }
    let Ok(document) = Document::parse(after.as_str()) else { return Ok(after) };
    let (before, resource) = (before.root(), document.root());
    let Some(value) = marker_value(resource) else { return Ok(after) };
    if Some(&value) != marker_value(before).as_ref() {
        return Err(foreign_marker());
    }
    let is_same_type = before.get("contentType").map(Value::raw) == resource.get("contentType").map(Value::raw);
    let stays = resource.get("data").is_none() && (is_same_type || value == "empty");
    Ok(if stays { after } else { without_marker(after) })
}

#[cfg(test)]
mod tests;
