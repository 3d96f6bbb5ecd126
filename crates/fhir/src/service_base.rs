//! Under which URLs a service is known.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A service base URL (R4 http.html#root), without a slash at its end: the one that links are made with. References below its
/// other URLs are as local as those below it.
#[derive(Debug, Clone)]
pub struct ServiceBase {
    url: Cow<'static, str>,
    others: Option<Arc<[String]>>,
}

impl ServiceBase {
    /// One that has no other URL.
    pub const fn fixed(url: &'static str) -> Self {
        Self { url: Cow::Borrowed(url), others: None }
    }

    /// One that has no other URL.
    pub fn new(url: String) -> Self {
        Self { url: Cow::Owned(url), others: None }
    }

    /// One that is known by these URLs and makes no links: where there is no request, nobody knows by which it was reached.
    pub fn without_links(urls: Arc<[String]>) -> Self {
        Self::fixed("urn:fhirpool:nowhere").known_by(urls)
    }

    /// The same, also known by these.
    pub fn known_by(self, others: Arc<[String]>) -> Self {
        Self { others: Some(others).filter(|others| !others.is_empty()), ..self }
    }

    /// The one that links are made with.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// All of them, the one for links first.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let others = self.others.as_deref().unwrap_or_default();
        std::iter::once(self.as_str()).chain(others.iter().map(String::as_str))
    }

    /// What stands behind one of its URLs in a text, byte for byte: nothing, or what begins with `/` or `?`.
    pub fn below<'a>(&self, text: &'a str) -> Option<&'a str> {
        let is_below = |rest: &&str| rest.is_empty() || rest.starts_with(['/', '?']);
        self.urls().find_map(|url| text.strip_prefix(url).filter(is_below))
    }
}

impl Deref for ServiceBase {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ServiceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    #[test]
    fn what_is_below_any_of_its_urls_is_its_own() {
        let base = ServiceBase::fixed("https://a.example/r4").known_by(["https://b.example/tenant/a".to_owned()].into());
        assert_eq!(format!("{base}/x"), "https://a.example/r4/x");
        assert_eq!(base.below("https://a.example/r4/Patient"), Some("/Patient"));
        assert_eq!(base.below("https://b.example/tenant/a?x=y"), Some("?x=y"));
        assert_eq!(base.below("https://b.example/tenant/ab"), None);
        for (text, is_local) in [
            ("https://a.example/r4/Patient/1", true),
            ("https://B.example/tenant/a/Patient/1", true),
            ("Patient/1", true),
            ("https://b.example/tenant/b/Patient/1", false),
            ("https://b.example/Patient/1", false),
        ] {
            assert_eq!(Reference::parse(text).local(&base).is_some(), is_local, "{text}");
        }
    }
}
