#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_authz::{Principal, ReadAccess, TenantId};
use proptest::prelude::*;

use super::*;
use crate::cost::item_bytes;
use crate::keys::Partition;

fn access() -> ReadAccess {
    let tenant = TenantId::parse("acme").unwrap();
    ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn patient(id: &str) -> ResourceKey {
    ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse(id).unwrap())
}

fn of_patient(id: &str) -> PartitionKey {
    PartitionKey::new(&access(), Partition::Resource(&patient(id))).unwrap()
}

fn of_transaction(transaction: TransactionId) -> PartitionKey {
    PartitionKey::new(&access(), Partition::Transaction(transaction)).unwrap()
}

const WRITER: WriterId = WriterId { node: NodeId(7), number: u64::MAX };

#[test]
fn versions_come_back() {
    let info = ContentInfo { object_version: String::new(), length: 400_000, content_type: OBJECT_CONTENT_TYPE.into() };
    for standing in [
        Standing::Alone { at: 1_795_250_572_007_123, writer: WRITER },
        Standing::Intent { transaction: TransactionId::random(), deadline: 5 },
    ] {
        for value in [SealedValue::Inline(vec![1, 2, 3]), SealedValue::Object { name: "a/b".into(), info: info.clone() }] {
            for deleted in [false, true] {
                let version = VersionItem { version: VersionId(3), last_updated: Timestamp(-1), deleted, standing, value: value.clone() };
                assert_eq!(VersionItem::read(version.write(&of_patient("1"))).unwrap(), version);
            }
        }
    }
}

#[test]
fn records_and_claims_come_back() {
    let transaction = TransactionId::random();
    assert_eq!(TransactionId::parse(&transaction.to_string()), Some(transaction));
    let partition = of_transaction(transaction);
    for outcome in [Outcome::Aborted, Outcome::Committed { at: 9, last_updated: Timestamp(8), writer: WRITER }] {
        assert_eq!(Outcome::read(&outcome.write(&partition, 1)).unwrap(), outcome);
    }
    let claim = ClaimItem { transaction, deadline: 7 };
    assert_eq!(ClaimItem::read(&claim.write(&partition, keys::CLAIM, 1)).unwrap(), claim);
}

#[test]
fn a_version_of_a_common_size_is_one_unit() {
    let standing = Standing::Intent { transaction: TransactionId::random(), deadline: 1_795_250_572_007_123 };
    let value = SealedValue::Inline(vec![0; 800]);
    let version = VersionItem { version: VersionId(1), last_updated: Timestamp(1_795_250_572_007), deleted: false, standing, value };
    assert!(item_bytes(&version.write(&of_patient("01234567-89ab-cdef-0123-456789abcdef"))) <= 1024);
}

#[test]
fn a_manifest_without_all_its_parts_is_none() {
    let partition = of_transaction(TransactionId::random());
    let entry =
        |number: usize| ManifestEntry { key: patient(&format!("{number:064}")), version: VersionId(1), large: number.is_multiple_of(7) };
    let manifest = Manifest { deadline: 1, entries: (0..10_000).map(entry).collect() };
    let parts = manifest.write(&partition, 1);
    assert_eq!(parts.len(), 3);
    assert_eq!(Manifest::read(&parts).unwrap(), Some(manifest));
    assert_eq!(Manifest::read(&parts[..2]).unwrap(), None);
    assert_eq!(Manifest::read(&parts[1..]).unwrap(), None);
    assert_eq!(Manifest::read(&[]).unwrap(), None);
}

#[test]
fn an_entry_of_a_manifest_takes_about_22_bytes() {
    let entry = ManifestEntry { key: patient("01234567-89ab-cdef-0123-456789abcdef"), version: VersionId(300), large: false };
    let mut bytes = Vec::new();
    entry.write(&mut bytes);
    assert_eq!(bytes.len(), 20);
}

proptest! {
    #[test]
    fn manifests_come_back(entries in prop::collection::vec(("[A-Za-z0-9.-]{1,64}", 0..u64::MAX >> 1, 0_u8..146, any::<bool>()), 0..20)) {
        let entries = entries.into_iter().map(|(id, version, number, large)| ManifestEntry {
            key: ResourceKey::new(ResourceType::from_number(number).unwrap(), ResourceId::parse(&id).unwrap()),
            version: VersionId(version),
            large,
        });
        let manifest = Manifest { deadline: -1, entries: entries.collect() };
        prop_assert_eq!(Manifest::read(&manifest.write(&of_transaction(TransactionId::random()), 1)).unwrap(), Some(manifest));
    }

    #[test]
    fn any_bytes_are_a_manifest_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut part = Manifest { deadline: 1, entries: Vec::new() }.write(&of_transaction(TransactionId::random()), 1).remove(0);
        part.insert(MANIFEST.into(), AttributeValue::B(Blob::new(bytes)));
        let _ = Manifest::read(&[part]);
    }
}
