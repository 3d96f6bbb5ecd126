#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn ordered(id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    OrderedId::from(&ResourceId::parse(id).unwrap()).write(&mut out);
    out
}

#[test]
fn ids_keep_to_the_grammar() {
    for valid in ["1", "a", "A.b-C.9", "-", ".", "..", &"x".repeat(64)] {
        assert_eq!(ResourceId::parse(valid).unwrap().as_str(), valid);
    }
    for invalid in ["", "a b", "a_b", "a/b", "ä", "a\0", "a%20", &"x".repeat(65)] {
        assert_eq!(ResourceId::parse(invalid), None, "{invalid}");
    }
}

#[test]
fn versions_are_plain_numbers() {
    assert_eq!(VersionId::parse("1"), Some(VersionId(1)));
    assert_eq!(VersionId::parse("18446744073709551615"), Some(VersionId(u64::MAX)));
    for invalid in ["", "0", "01", "+1", "-1", "1.0", " 1", "18446744073709551616", "a"] {
        assert_eq!(VersionId::parse(invalid), None, "{invalid}");
    }
}

#[test]
fn canonical_uuids_take_seventeen_bytes_and_come_first() {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(ordered(uuid).len(), 17);
    assert_eq!(ordered(uuid)[..3], [OrderedId::UUID_MARKER, 0x01, 0x23]);
    for other in ["01234567-89AB-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdeg", "0"] {
        assert_eq!(ordered(other)[0], OrderedId::TEXT_MARKER, "{other}");
        assert!(ordered(uuid) < ordered(other));
    }
    for hyphens in ["0-234567-89ab-cdef-0123-456789abcdef", "01234567--9ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-45678-abcdef"]
    {
        assert_eq!(ordered(hyphens)[0], OrderedId::TEXT_MARKER, "{hyphens}");
    }
}

#[test]
fn damaged_bytes_are_no_id() {
    for bytes in [&b""[..], &[0], &[0; 16], &[0; 18], &[2, b'a'], &[1, 0xFF], &[1], &[1, b' '], &[1, b'a', 0]] {
        assert_eq!(OrderedId::read(bytes), None, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn ids_come_back_from_their_bytes(id in "[A-Za-z0-9.-]{1,64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}") {
        let read = OrderedId::read(&ordered(&id)).unwrap();
        let back = ResourceId::from(&read);
        prop_assert_eq!(back.as_str(), &id);
    }

    #[test]
    fn bytes_order_as_values_do(one in "[A-Za-z0-9.-]{1,5}|[0-3]{8}-1111-1111-1111-[0-9]{12}", other in "[A-Za-z0-9.-]{1,5}|[0-3]{8}-1111-1111-1111-[0-9]{12}") {
        let value = |id: &str| OrderedId::from(&ResourceId::parse(id).unwrap());
        prop_assert_eq!(ordered(&one).cmp(&ordered(&other)), value(&one).cmp(&value(&other)));
    }

    #[test]
    fn any_bytes_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        if let Some(id) = OrderedId::read(&bytes) {
            let mut out = Vec::new();
            id.write(&mut out);
            // Text that is a canonical UUID would be written as one, were it not damaged.
            prop_assert_eq!(out, bytes);
        }
    }
}
