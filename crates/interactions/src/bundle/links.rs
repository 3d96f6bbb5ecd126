//! Links from one entry of a transaction to another, found and rewritten (R4 http.html#trules).
//!
//! Rewritten are references (also relative ones, resolved against the entry's own `fullUrl`), elements of type uri, url,
//! canonical, oid and uuid that hold an entry's `urn:uuid:` or `urn:oid:`, and `href` and `src` in the narrative. References
//! that are searches are found, too, for the caller to resolve. A version behind a reference is kept: `Patient/1/_history/2`
//! is no link to an entry.

use std::collections::HashMap;
use std::ops::Range;

use fhirpool_fhir::definitions::TypeId;
use fhirpool_fhir::json::{Edit, Value, write_string};
use fhirpool_fhir::reference::Reference;
use fhirpool_fhir::{Definitions, ResourceType, ServiceBase};

/// The entries that can be linked to, by `fullUrl`.
#[derive(Debug, Default)]
pub(super) struct FullUrls(HashMap<String, usize>);

/// A place in a resource that holds a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Where the string stands in the source.
    pub range: Range<usize>,
    pub target: LinkTarget,
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkTarget {
    /// The resource of an entry; `suffix` is the fragment behind it.
    Entry { entry: usize, suffix: String },
    /// The resource that a search finds.
    Criteria { resource_type: ResourceType, query: String },
    /// Text with links to entries at some places.
    Narrative { text: String, places: Vec<(Range<usize>, usize)> },
}

impl FullUrls {
    /// Adds an entry; `false` if its URL is there already.
    pub(super) fn insert(&mut self, url: &str, entry: usize) -> bool {
        self.0.insert(url.to_owned(), entry).is_none()
    }
}

/// Finds the links of a resource.
pub(super) fn find(
    definitions: &Definitions,
    urls: &FullUrls,
    base: &ServiceBase,
    own_url: Option<&str>,
    resource: Value<'_>,
) -> Vec<Link> {
    let mut finder = Finder { definitions, urls, base, own_root: own_url.and_then(root_of), links: Vec::new() };
    finder.object(resource, None);
    finder.links
}

/// The edits that put the targets in; `entry` and `criteria` name the resource, as `Type/id`.
pub(super) fn edits<'a>(
    links: &[Link],
    entry: impl Fn(usize) -> Option<&'a str>,
    criteria: impl Fn(ResourceType, &str) -> Option<&'a str>,
) -> Vec<Edit> {
    let edit = |link: &Link| {
        let text = match &link.target {
            LinkTarget::Entry { entry: index, suffix } => format!("{}{suffix}", entry(*index)?),
            LinkTarget::Criteria { resource_type, query } => criteria(*resource_type, query)?.to_owned(),
            LinkTarget::Narrative { text, places } => {
                let mut out = String::with_capacity(text.len());
                let mut done = 0;
                for (range, index) in places {
                    out.push_str(&text[done..range.start]);
                    out.push_str(entry(*index).unwrap_or(&text[range.clone()]));
                    done = range.end;
                }
                out.push_str(&text[done..]);
                out
            }
        };
        let mut json = String::with_capacity(text.len() + 2);
        write_string(&text, &mut json);
        Some(Edit { range: link.range.clone(), text: json })
    };
    links.iter().filter_map(edit).collect()
}

struct Finder<'a> {
    definitions: &'a Definitions,
    urls: &'a FullUrls,
    base: &'a ServiceBase,
    /// What relative references in this resource are relative to.
    own_root: Option<&'a str>,
    links: Vec<Link>,
}

/// An object on the way from the resource to a value, and the property that led to it.
struct Frame<'f> {
    object: Value<'f>,
    name: &'f str,
    above: Option<&'f Frame<'f>>,
}

impl Finder<'_> {
    /// Depth is bounded by the parser's.
    fn object(&mut self, object: Value<'_>, above: Option<(&Frame<'_>, &str)>) {
        let frame = Frame { object, name: above.map_or("", |(_, name)| name), above: above.map(|(frame, _)| frame) };
        for member in object.members() {
            let name = member.name();
            for value in member.value().each() {
                if value.is_object() {
                    self.object(value, Some((&frame, &name)));
                } else if let Some(target) = self.target(&frame, &name, value) {
                    self.links.push(Link { range: value.range(), target });
                }
            }
        }
    }

    fn target(&self, frame: &Frame<'_>, name: &str, value: Value<'_>) -> Option<LinkTarget> {
        match name {
            "reference" => self.reference(&value.as_str()?),
            "div" => self.narrative(&value.as_str()?),
            _ if value.raw().starts_with("\"urn:") => {
                let entry = *self.urls.0.get(&*value.as_str()?)?;
                self.is_uri(frame, name).then(|| LinkTarget::Entry { entry, suffix: String::new() })
            }
            _ => None,
        }
    }

    fn reference(&self, text: &str) -> Option<LinkTarget> {
        if let Some(entry) = self.urls.0.get(text) {
            return Some(LinkTarget::Entry { entry: *entry, suffix: String::new() });
        }
        if let Some((url, fragment)) = text.split_once('#')
            && let Some(entry) = self.urls.0.get(url)
        {
            return Some(LinkTarget::Entry { entry: *entry, suffix: format!("#{fragment}") });
        }
        let below = self.base.below(text).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        match Reference::parse(below) {
            Reference::Conditional { resource_type, query } => Some(LinkTarget::Criteria { resource_type, query: query.to_owned() }),
            // R4 bundle.html#references: relative to the root of the entry's own fullUrl.
            Reference::Resource { base: None, version: None, .. } => {
                let entry = *self.urls.0.get(&format!("{}/{below}", self.own_root?))?;
                Some(LinkTarget::Entry { entry, suffix: String::new() })
            }
            _ => None,
        }
    }

    /// Links in `href="…"` and `src='…'` of XHTML.
    fn narrative(&self, text: &str) -> Option<LinkTarget> {
        let mut places = Vec::new();
        for attribute in ["href=", "src="] {
            for (at, _) in text.match_indices(attribute) {
                let start = at + attribute.len() + 1;
                let Some(quote) = text.as_bytes().get(start - 1).filter(|quote| matches!(quote, b'"' | b'\'')) else { continue };
                let Some(length) = text.get(start..).and_then(|rest| rest.find(char::from(*quote))) else { continue };
                let range = start..start + length;
                if let Some(LinkTarget::Entry { entry, suffix }) = self.reference(&text[range.clone()]) {
                    places.push((range.start..range.end - suffix.len(), entry));
                }
            }
        }
        places.sort_unstable_by_key(|(range, _)| range.start);
        // A hostile fullUrl may hold another behind an attribute of its own: the outer one counts.
        let mut done = 0;
        places.retain(|(range, _)| {
            let is_behind = range.start >= done;
            done = done.max(range.end);
            is_behind
        });
        (!places.is_empty()).then(|| LinkTarget::Narrative { text: text.to_owned(), places })
    }

    /// Whether a property holds a uri or a type made from it.
    fn is_uri(&self, frame: &Frame<'_>, name: &str) -> bool {
        let of_property = self.type_of(frame).and_then(|type_id| self.definitions.property(type_id, name)).and_then(|found| found.type_id);
        let uri = self.definitions.type_id("uri");
        of_property.zip(uri).is_some_and(|(type_id, uri)| self.definitions.is_a(type_id, uri))
    }

    fn type_of(&self, frame: &Frame<'_>) -> Option<TypeId> {
        if let Some(resource_type) = frame.object.get_str("resourceType").and_then(|name| ResourceType::parse(&name)) {
            return Some(self.definitions.resource_type_id(resource_type));
        }
        self.definitions.property(self.type_of(frame.above?)?, frame.name)?.type_id
    }
}

/// `http://host/base` of `http://host/base/Type/id`; a URN has none.
fn root_of(url: &str) -> Option<&str> {
    match Reference::parse(url) {
        Reference::Resource { base, .. } => base,
        _ => None,
    }
}

/// The path of a link below its resource, such as `.participant[0].individual.reference`.
pub(super) fn path_to(resource: Value<'_>, link: &Link) -> Option<String> {
    let mut path = String::new();
    let mut value = resource;
    // Each step goes one level down, so the depth of the document bounds them.
    while value.range() != link.range {
        let contains = |inner: Value<'_>| inner.range().start <= link.range.start && link.range.end <= inner.range().end;
        if let Some(member) = value.members().find(|member| contains(member.value())) {
            path.push('.');
            path.push_str(&member.name());
            value = member.value();
        } else {
            let (index, element) = value.elements().enumerate().find(|(_, element)| contains(*element))?;
            path.push_str(&format!("[{index}]"));
            value = element;
        }
    }
    Some(path)
}
