//! URIs (R4 search.html#uri), compared byte by byte.

use super::{Accept, form, text};
use crate::ValueTest;
use crate::entry::KeyRange;

/// A URI's value.
pub(crate) fn value(uri: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(uri.len() + 2);
    out.push(form::URI);
    text::write(uri, text::URI_BYTES_MAX, &mut out);
    out
}

/// Just this URI.
pub(crate) fn test(uri: &str) -> ValueTest {
    ValueTest::values([value(uri)])
}

/// What begins with the URL (`:below`); `None` where it is too long.
pub(crate) fn below(url: &str) -> Option<ValueTest> {
    let prefix = [&[form::URI], url.as_bytes()].concat();
    (url.len() <= text::URI_BYTES_MAX).then(|| ValueTest::new([KeyRange::prefix(prefix)], Accept::All))
}

/// The URL and its beginnings that end at or behind a `/`, `?`, `#` or `|` (`:above`); `None` where it is too long.
pub(crate) fn above(url: &str) -> Option<ValueTest> {
    if url.len() > text::URI_BYTES_MAX {
        return None;
    }
    let separators = url.bytes().enumerate().filter(|(_, byte)| b"/?#|".contains(byte));
    let ends = separators.flat_map(|(at, _)| [at, at + 1]).chain([url.len()]);
    Some(ValueTest::values(ends.filter(|end| *end > 0).map(|end| value(&url[..end]))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn above_and_below() {
        let url = "http://acme.org/fhir/ValueSet/123";
        assert!(below("http://acme.org/fhir/").unwrap().accepts(&value(url)));
        assert!(!below("http://acme.org/other").unwrap().accepts(&value(url)));
        let above = above("http://acme.org/fhir/ValueSet/123/_history/5").unwrap();
        assert!(above.accepts(&value(url)) && above.accepts(&value("http://acme.org/fhir/")));
        assert!(!above.accepts(&value("http://acme.org/fhir/ValueSet/12")));
        assert!(test(url).accepts(&value(url)) && !test(url).accepts(&value("http://ACME.org/fhir/ValueSet/123")));
    }
}
