//! Reference strings and canonical URLs (R4 references.html#literal, #canonical).
//!
//! Reading a reference never fails: what has no known shape is [`Reference::Other`]. Whether a shape is allowed where it
//! stands is for the caller to say.

use crate::{ResourceId, ResourceKey, ResourceType, ServiceBase};

#[cfg(test)]
mod tests;

/// What a reference string says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `Patient/1`, `Patient/1/_history/2`, or either behind an absolute http(s) URL.
    Resource {
        /// The URL ahead of the type, without the slash; `None` where the reference is relative.
        base: Option<&'a str>,
        /// The resource.
        key: ResourceKey,
        /// The version, which is another server's own affair in form: `[A-Za-z0-9\-\.]{1,64}`.
        version: Option<&'a str>,
    },
    /// `urn:uuid:…` or `urn:oid:…`, the whole of it.
    Urn(&'a str),
    /// `#id` of a contained resource, without the `#`; empty: the containing resource.
    Fragment(&'a str),
    /// An absolute URL with a version or fragment, or that does not end as a resource's does. One of a canonical resource
    /// may well end so: where an element is a `canonical`, read it by [`Canonical::parse`].
    Canonical(Canonical<'a>),
    /// `Patient?identifier=…`: a search in a transaction (R4 http.html#trules).
    Conditional {
        /// What is sought.
        resource_type: ResourceType,
        /// The query behind the `?`.
        query: &'a str,
    },
    /// Anything else.
    Other(&'a str),
}

/// A canonical URL and which version of what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Canonical<'a> {
    /// The URL.
    pub url: &'a str,
    /// Behind `|`.
    pub version: Option<&'a str>,
    /// Behind `#`.
    pub fragment: Option<&'a str>,
}

impl<'a> Canonical<'a> {
    /// Takes `url|version#fragment` apart; each of the last two may be absent.
    pub fn parse(text: &'a str) -> Self {
        let (rest, fragment) = split_filled(text, '#');
        let (url, version) = split_filled(rest, '|');
        Self { url, version, fragment }
    }
}

/// The text ahead of the first separator and, unless empty, the one behind it.
fn split_filled(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((ahead, behind)) => (ahead, Some(behind).filter(|behind| !behind.is_empty())),
        None => (text, None),
    }
}

impl<'a> Reference<'a> {
    /// Reads a reference.
    pub fn parse(text: &'a str) -> Self {
        if let Some(id) = text.strip_prefix('#') {
            return Self::Fragment(id);
        }
        if is_absolute_http(text) {
            return resource(text).unwrap_or_else(|| Self::Canonical(Canonical::parse(text)));
        }
        if starts_with_ignoring_case(text, "urn:uuid:") || starts_with_ignoring_case(text, "urn:oid:") {
            return if text.contains(['|', '#']) { Self::Canonical(Canonical::parse(text)) } else { Self::Urn(text) };
        }
        if let Some((name, query)) = text.split_once('?') {
            return match ResourceType::parse(name) {
                Some(resource_type) => Self::Conditional { resource_type, query },
                None => Self::Other(text),
            };
        }
        resource(text).unwrap_or(Self::Other(text))
    }

    /// The resource it names on the service at this base, and the version if it names one: a relative reference always,
    /// an absolute one if it is below one of the base's URLs. Scheme and host compare without case, `http` and `https` are one, and a slash
    /// at the end of a URL does not count.
    pub fn local(&self, service: &ServiceBase) -> Option<(&ResourceKey, Option<&'a str>)> {
        match self {
            Self::Resource { base, key, version } => {
                base.is_none_or(|base| service.urls().any(|own| same_base(base, own))).then_some((key, *version))
            }
            _ => None,
        }
    }
}

/// `[base/]Type/id[/_history/version]`, or `None`.
fn resource(text: &str) -> Option<Reference<'_>> {
    let (rest, last) = text.rsplit_once('/')?;
    let (rest, id, version) = match rest.strip_suffix("/_history") {
        Some(instance) => {
            let (rest, id) = instance.rsplit_once('/')?;
            (rest, id, Some(last).filter(|version| ResourceId::is_valid(version)))
        }
        None => (rest, last, None),
    };
    if version.is_none() && text.len() != rest.len() + 1 + id.len() {
        return None;
    }
    let (base, name) = match rest.rsplit_once('/') {
        Some((base, name)) => (Some(base), name),
        None => (None, rest),
    };
    if base.is_some_and(|base| !is_base(base)) {
        return None;
    }
    let key = ResourceKey { resource_type: ResourceType::parse(name)?, id: ResourceId::parse(id)? };
    Some(Reference::Resource { base, key, version })
}

/// Whether this can be a server's base URL: scheme, host, and neither query nor fragment nor canonical version.
fn is_base(base: &str) -> bool {
    is_absolute_http(base) && !base.contains(['?', '#', '|', ' '])
}

fn is_absolute_http(text: &str) -> bool {
    after_scheme(text).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}

fn after_scheme(url: &str) -> Option<&str> {
    ["http://", "https://"].iter().find(|scheme| starts_with_ignoring_case(url, scheme)).map(|scheme| &url[scheme.len()..])
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn same_base(one: &str, other: &str) -> bool {
    let parts = |url| {
        let rest: &str = after_scheme(url)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        Some(rest.split_at(rest.find('/').unwrap_or(rest.len())))
    };
    match (parts(one), parts(other)) {
        (Some((one_host, one_path)), Some((other_host, other_path))) => one_host.eq_ignore_ascii_case(other_host) && one_path == other_path,
        _ => false,
    }
}
