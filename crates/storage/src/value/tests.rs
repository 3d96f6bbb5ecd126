#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_fhir::json::Document;
use proptest::prelude::*;

use super::*;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","meta":{"profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]},"name":[{"use":"official","family":"Müller","given":["Änne"]}],"birthDate":"1970-01-01"}"#;

struct Names {
    tenant: TenantId,
    id: ResourceId,
    version: u64,
    transaction: &'static [u8],
    type_name: &'static str,
}

impl Names {
    fn new() -> Self {
        Self {
            tenant: TenantId::parse("acme").unwrap(),
            id: ResourceId::parse("p1").unwrap(),
            version: 1,
            transaction: b"",
            type_name: "Patient",
        }
    }

    fn item(&self) -> ItemName<'_> {
        ItemName {
            tenant: &self.tenant,
            resource_type: ResourceType::parse(self.type_name).unwrap(),
            id: &self.id,
            version: VersionId(self.version),
            transaction: self.transaction,
        }
    }
}

fn key(epoch: u32, byte: u8) -> TenantKey {
    TenantKey::new(KeyEpoch(epoch), &[byte; 32])
}

fn body(text: &str) -> ResourceBody {
    let document = Document::parse(text).unwrap();
    ResourceBody::prepare(document.root(), &ResourceId::parse("p1").unwrap(), &[])
}

fn version_of(content: Content) -> StoredVersion {
    StoredVersion { version: VersionId(1), last_updated: Timestamp(1_795_250_572_007), method: Method::Put, content }
}

fn sealed(version: &StoredVersion) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::default().seal(&key(3, 7), &Names::new().item(), version, &mut out);
    out
}

fn is_damaged(result: &Result<StoredVersion>) -> bool {
    matches!(result, Err(StorageError::Damaged(_)))
}

#[test]
fn what_was_sealed_opens_unchanged() {
    let versions = [
        version_of(Content::Resource(body(PATIENT))),
        version_of(Content::Resource(body(r#"{"resourceType":"Patient"}"#))),
        version_of(Content::Resource(body(r#"{"resourceType":"Patient","meta":{}}"#))),
        version_of(Content::Resource(body(&format!(r#"{{"resourceType":"Binary","data":"{}"}}"#, "QUJD".repeat(400_000))))),
        StoredVersion { method: Method::Delete, ..version_of(Content::Deleted) },
        StoredVersion { last_updated: Timestamp(-1), method: Method::Patch, ..version_of(Content::Resource(body(PATIENT))) },
        StoredVersion { method: Method::Post, ..version_of(Content::Resource(body(PATIENT))) },
    ];
    for codec in [Codec::default(), Codec::with_dictionary(DictionaryId::NONE)] {
        for version in &versions {
            let mut value = b"ahead".to_vec();
            codec.seal(&key(3, 7), &Names::new().item(), version, &mut value);
            assert_eq!(&open(&key(3, 7), &Names::new().item(), &value[5..]).unwrap(), version);
            let mut value = Vec::new();
            let compressed = codec.compress(version.method, &version.content);
            compressed.write_unsealed(&Names::new().item(), version.last_updated, &mut value);
            assert_eq!(&open_unsealed(&Names::new().item(), &value).unwrap(), version);
            assert_eq!(&open(&key(3, 7), &Names::new().item(), &value).unwrap(), version);
        }
    }
}

#[test]
fn a_value_tells_its_seal() {
    let version = version_of(Content::Resource(body(PATIENT)));
    assert_eq!(seal_of(&sealed(&version)), Ok(Seal::Key(KeyEpoch(3))));
    let mut value = Vec::new();
    Codec::default().compress(Method::Put, &version.content).write_unsealed(&Names::new().item(), Timestamp(0), &mut value);
    assert_eq!(seal_of(&value), Ok(Seal::Checksum));
}

#[test]
fn a_sealed_value_shows_nothing_and_never_repeats() {
    let version = version_of(Content::Resource(body(PATIENT)));
    let (one, other) = (sealed(&version), sealed(&version));
    assert_ne!(one, other);
    assert!(!one.windows(4).any(|window| window == b"nne\""));
    assert!(is_damaged(&open_unsealed(&Names::new().item(), &one)));
}

#[test]
fn a_value_opens_only_as_what_it_was_sealed_as() {
    let version = version_of(Content::Resource(body(PATIENT)));
    let value = sealed(&version);
    let others = [
        Names { tenant: TenantId::parse("acme2").unwrap(), ..Names::new() },
        Names { id: ResourceId::parse("p2").unwrap(), ..Names::new() },
        Names { version: 2, ..Names::new() },
        Names { transaction: b"t", ..Names::new() },
        Names { type_name: "Person", ..Names::new() },
        // The same letters, cut elsewhere.
        Names { tenant: TenantId::parse("acmeP").unwrap(), ..Names::new() },
    ];
    let mut unsealed = Vec::new();
    Codec::default().compress(Method::Put, &version.content).write_unsealed(&Names::new().item(), Timestamp(0), &mut unsealed);
    for other in &others {
        assert!(is_damaged(&open(&key(3, 7), &other.item(), &value)));
        assert!(is_damaged(&open_unsealed(&other.item(), &unsealed)));
    }
    assert!(is_damaged(&open(&key(3, 8), &Names::new().item(), &value)), "another key of that epoch");
    assert!(is_damaged(&open(&key(4, 7), &Names::new().item(), &value)), "the same key in another epoch");
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let version = version_of(Content::Resource(body(PATIENT)));
    let value = sealed(&version);
    let mut unsealed = Vec::new();
    Codec::default().compress(Method::Put, &version.content).write_unsealed(&Names::new().item(), Timestamp(0), &mut unsealed);
    for original in [&value, &unsealed] {
        for bit in 0..original.len() * 8 {
            let mut bytes = original.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(is_damaged(&open(&key(3, 7), &Names::new().item(), &bytes)), "bit {bit}");
        }
        for length in 0..original.len() {
            assert!(is_damaged(&open(&key(3, 7), &Names::new().item(), &original[..length])), "cut to {length}");
        }
        let longer = [original.as_slice(), b"\0"].concat();
        assert!(is_damaged(&open(&key(3, 7), &Names::new().item(), &longer)));
    }
}

/// A value with a right checksum over a payload of the attacker's.
fn forged(payload: &[u8]) -> Vec<u8> {
    let header = [FORMAT, DictionaryId::NONE.number(), SEAL_CHECKSUM, 0];
    let name = authenticated(&Names::new().item(), &header);
    let sum = seal::checksum(&name, payload);
    [&header[..], payload, &sum].concat()
}

#[test]
fn a_frame_cannot_grow_beyond_what_it_says() {
    let bomb = zstd::bulk::compress(&vec![b' '; 10_000_000], 3).unwrap();
    let mut lengths = vec![0, 1, 9_999_999, 10_000_001, u64::from(u32::MAX), u64::MAX];
    lengths.retain(|length| {
        let mut payload = [&[0; 8][..], &[Method::Put as u8 | FLAG_COMPRESSED, 0]].concat();
        write_varint(*length, &mut payload);
        payload.extend_from_slice(&bomb);
        !is_damaged(&open_unsealed(&Names::new().item(), &forged(&payload)))
    });
    assert_eq!(lengths, Vec::<u64>::new());
}

#[test]
fn an_offset_inside_a_character_or_beyond_the_text_is_refused() {
    for offset in [1, 3, 200] {
        let payload = [&[0; 8][..], &[Method::Put as u8, offset, 2], "é".as_bytes()].concat();
        assert!(is_damaged(&open_unsealed(&Names::new().item(), &forged(&payload))), "{offset}");
    }
}

#[test]
fn dictionaries_keep_their_numbers_and_bytes() {
    let prepared = DictionaryId::from_number(1).unwrap().prepared().unwrap();
    assert_eq!(prepared.encoder.as_cdict().get_dict_id(), prepared.decoder.as_ddict().get_dict_id());
    let first = include_bytes!("../../dictionaries/1.zdict");
    assert_eq!((first.len(), crc32fast::hash(first)), (114_688, FIRST_DICTIONARY_CRC32), "a released dictionary was changed");
    assert_eq!(DictionaryId::from_number(DictionaryId::NEWEST.number() + 1), None);
}

const FIRST_DICTIONARY_CRC32: u32 = 3_884_244_272;

#[test]
fn the_first_format_is_read_for_ever() {
    let value = hex(FIRST_FORMAT);
    let version = version_of(Content::Resource(body(PATIENT)));
    assert_eq!(open(&key(3, 7), &Names::new().item(), &value).unwrap(), version);
}

const FIRST_FORMAT: &str = "
    010101030dad46d1d0355965aad17517847b050d134e6aa9c71f37ce552d6325632c122b3a7cd34de9c09cbf7b5ff416ae95
    dc7bef181cf5e5255c5654e37e92bd22a5edd66e8b172ce81097ee4154d965b4742ba73795bdbf9ea2bea1056f702701e4b6
    db8705ea768280391ba86424a762
";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = open(&key(3, 7), &Names::new().item(), &bytes);
        let _ = open_unsealed(&Names::new().item(), &forged(&bytes));
        let _ = seal_of(&bytes);
        let dictionary_forged = [&[0; 8][..], &[Method::Put as u8 | FLAG_COMPRESSED, 0, 0x80, 1], &bytes].concat();
        let _ = open_unsealed(&Names::new().item(), &forged(&dictionary_forged));
    }

    #[test]
    fn any_text_comes_back(text in "\\PC{0,3000}", offset in 0_u32..3000) {
        let offset = (0..=offset.min(text.len() as u32)).rev().find(|offset| text.is_char_boundary(*offset as usize)).unwrap();
        let version = version_of(Content::Resource(ResourceBody { text, meta_offset: offset, meta: MetaPlace::Filled }));
        prop_assert_eq!(open(&key(3, 7), &Names::new().item(), &sealed(&version)).unwrap(), version);
    }

    #[test]
    fn varints_come_back(value in any::<u64>()) {
        let mut out = Vec::new();
        write_varint(value, &mut out);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.varint().unwrap(), value);
        prop_assert!(reader.rest().is_empty() && out.len() <= bytes::VARINT_LENGTH_MAX);
    }
}
