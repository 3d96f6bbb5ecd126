//! References (R4 search.html#reference): resources of this server by type and id, whatever form the reference has; others by
//! URL; canonicals by URL and version.

use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey, ResourceType};

use super::{Accept, form, text};
use crate::entry::KeyRange;
use crate::{Pattern, ValueTest};

/// The value of a reference to a resource of this server.
pub fn reference_value(key: &ResourceKey) -> Vec<u8> {
    local(form::REFERENCE, key)
}

fn local(form: u8, key: &ResourceKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.id.as_str().len() + 4);
    out.extend_from_slice(&[form, key.resource_type.number()]);
    let id = OrderedId::from(&key.id);
    id.write(&mut out);
    if matches!(id, OrderedId::Text(_)) {
        out.push(0);
    }
    out
}

/// The resource of this server that a value refers to; `None` for any other value.
pub fn reference_target(value: &[u8]) -> Option<ResourceKey> {
    let [form::REFERENCE, number, id @ ..] = value else { return None };
    let id = if id.first() == Some(&OrderedId::TEXT_MARKER) { id.strip_suffix(&[0])? } else { id };
    Some(ResourceKey::new(ResourceType::from_number(*number)?, ResourceId::from(&OrderedId::read(id)?)))
}

/// How type and id are written.
pub(super) fn pattern() -> Pattern {
    let uuid = Pattern::sequence([Pattern::byte(OrderedId::UUID_MARKER), Pattern::AnyBytes(16)]);
    let text = Pattern::sequence([Pattern::byte(OrderedId::TEXT_MARKER), Pattern::Until(0)]);
    Pattern::sequence([Pattern::AnyBytes(1), Pattern::OneOf(vec![uuid, text])])
}

/// How many bytes behind the form are type and id.
pub(super) fn len(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        OrderedId::UUID_MARKER => Some(18),
        OrderedId::TEXT_MARKER => Some(2 + text::len(&bytes[2..], 1)?),
        _ => None,
    }
}

/// The further value of a reference to a certain version.
pub(crate) fn version_value(key: &ResourceKey, version: &str) -> Vec<u8> {
    let mut out = local(form::REFERENCE_VERSION, key);
    text::write(version, text::CODE_BYTES_MAX, &mut out);
    out
}

/// The value of a reference elsewhere.
pub(crate) fn url_value(url: &str) -> Vec<u8> {
    texts(form::REFERENCE_URL, &[url])
}

/// The value of a canonical.
pub(crate) fn canonical_value(url: &str, version: &str) -> Vec<u8> {
    texts(form::CANONICAL, &[url, version])
}

fn texts(form: u8, parts: &[&str]) -> Vec<u8> {
    let mut out = vec![form];
    for part in parts {
        text::write(part, text::CODE_BYTES_MAX, &mut out);
    }
    out
}

/// References to one of these resources, in whatever version.
pub(crate) fn local_test<'a>(keys: impl IntoIterator<Item = &'a ResourceKey>) -> ValueTest {
    ValueTest::values(keys.into_iter().map(reference_value))
}

/// References to this version of the resource.
pub(crate) fn version_test(key: &ResourceKey, version: &str) -> ValueTest {
    ValueTest::values([version_value(key, version)])
}

/// References to this URL elsewhere, or to the canonical resource of this URL in whatever version; `local`: to this resource
/// here, which the URL names, too.
pub(crate) fn url_test(url: &str, local: Option<&ResourceKey>) -> ValueTest {
    let canonical = texts(form::CANONICAL, &[url]);
    let mut ranges = vec![KeyRange::prefix(url_value(url)), KeyRange::prefix(canonical)];
    ranges.extend(local.map(|key| KeyRange::prefix(reference_value(key))));
    ValueTest::new(ranges, Accept::All)
}

/// References to this version of a canonical resource.
pub(crate) fn canonical_test(url: &str, version: &str) -> ValueTest {
    ValueTest::values([canonical_value(url, version)])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn key(name: &str, id: &str) -> ResourceKey {
        ResourceKey::new(ResourceType::parse(name).unwrap(), ResourceId::parse(id).unwrap())
    }

    #[test]
    fn local_values_are_read_back() {
        for key in [key("Patient", "1"), key("Account", "0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99"), key("VisionPrescription", "A.b-c")] {
            let value = reference_value(&key);
            assert_eq!(reference_target(&value), Some(key));
            assert_eq!(crate::value::value_len(&[&*value, b"x"].concat()), Some(value.len()));
        }
        assert_eq!(reference_target(&url_value("http://x")), None);
    }

    #[test]
    fn an_id_that_begins_another_is_not_the_other() {
        let test = local_test([&key("Patient", "1")]);
        assert!(test.accepts(&reference_value(&key("Patient", "1"))));
        assert!(!test.accepts(&reference_value(&key("Patient", "12"))));
        assert!(!test.accepts(&reference_value(&key("Person", "1"))));
        assert!(test.is_single_value(0));
    }

    #[test]
    fn a_canonical_is_found_with_and_without_its_version() {
        let value = canonical_value("http://x/Q", "2.0");
        assert!(url_test("http://x/Q", None).accepts(&value));
        assert!(canonical_test("http://x/Q", "2.0").accepts(&value));
        assert!(!canonical_test("http://x/Q", "2").accepts(&value));
        assert!(!url_test("http://x", None).accepts(&value));
    }
}
