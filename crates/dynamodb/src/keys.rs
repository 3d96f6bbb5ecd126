//! Partition keys of the data table.
//!
//! Each begins with `T#tenant#`, so that an access policy can fence a tenant off by the leading part of its keys. A partition key is
//! made only from an access, which decides tenant and types; every hash in one is an HMAC under a key of the tenant.

use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::{ResourceKey, ResourceType, VersionId};
use fhirpool_storage::{Result, StorageError};

use crate::item::TransactionId;

/// Name of the partition key's attribute.
pub(crate) const PARTITION: &str = "pk";
/// Name of the sort key's attribute.
pub(crate) const SORT: &str = "sk";

/// Bytes of a hash in a key.
pub(crate) const DIGEST_BYTES: usize = 16;

/// An access of either kind, as far as keys are concerned.
pub(crate) trait Access {
    fn tenant(&self) -> &TenantId;
    fn covers(&self, resource_type: ResourceType) -> bool;
}

impl Access for ReadAccess {
    fn tenant(&self) -> &TenantId {
        self.tenant()
    }

    fn covers(&self, resource_type: ResourceType) -> bool {
        self.allows(resource_type)
    }
}

impl Access for WriteAccess {
    fn tenant(&self) -> &TenantId {
        self.tenant()
    }

    /// A write looks at what stands in its way, and its criteria at what they may read.
    fn covers(&self, resource_type: ResourceType) -> bool {
        self.allows(resource_type) || self.as_read().allows(resource_type)
    }
}

/// What a partition holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Partition<'a> {
    /// A resource's versions.
    Resource(&'a ResourceKey),
    /// A transaction's record and manifest.
    Transaction(TransactionId),
    /// Resources of a type that once had an identifier, by its hash, and the exclusive claim on it.
    Identifier(ResourceType, [u8; DIGEST_BYTES]),
    /// The lock of other criteria of a type.
    Criteria(ResourceType),
    /// Which hours of the change log are not empty.
    LogHours,
    /// The segments of an hour (`yyyymmddhh`).
    LogSegments(&'a str),
    /// Which hours of the log of accesses are not empty.
    AuditHours,
    /// The blocks of an hour (`yyyymmddhh`).
    AuditBlocks(&'a str),
}

/// The partition key of an item of the data table. Within this crate [`PartitionKey::new`] is the only way to one, and it asks for an
/// access; from outside there is none:
/// ```compile_fail,E0603
/// let key = fhirpool_dynamodb::keys::PartitionKey("T#acme#R#Patient#1".to_owned());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey(String);

impl PartitionKey {
    /// The only way to one.
    ///
    /// # Errors
    /// [`StorageError::Denied`] where the access does not cover the type.
    pub(crate) fn new(access: &impl Access, partition: Partition<'_>) -> Result<Self> {
        let covers = |resource_type| if access.covers(resource_type) { Ok(()) } else { Err(StorageError::Denied) };
        let tenant = access.tenant();
        Ok(Self(match partition {
            Partition::Resource(key) => {
                covers(key.resource_type)?;
                format!("T#{tenant}#R#{}#{}", key.resource_type, key.id)
            }
            Partition::Transaction(transaction) => format!("T#{tenant}#X#{transaction}"),
            Partition::Identifier(resource_type, digest) => {
                covers(resource_type)?;
                format!("T#{tenant}#I#{resource_type}#{:032x}", u128::from_be_bytes(digest))
            }
            Partition::Criteria(resource_type) => {
                covers(resource_type)?;
                format!("T#{tenant}#Q#{resource_type}")
            }
            Partition::LogHours => format!("T#{tenant}#F"),
            Partition::LogSegments(hour) => format!("T#{tenant}#F#{hour}"),
            Partition::AuditHours => format!("T#{tenant}#A"),
            Partition::AuditBlocks(hour) => format!("T#{tenant}#A#{hour}"),
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn attribute(&self) -> AttributeValue {
        AttributeValue::S(self.0.clone())
    }
}

/// Sort key of a transaction's record.
pub(crate) const RECORD: &str = "X";
/// What sort keys of a manifest's parts begin with.
pub(crate) const MANIFEST_PREFIX: &str = "B#";
/// Sort key of a claim on an identifier.
pub(crate) const CLAIM: &str = "!";
/// What sort keys of identifier look-ups begin with; the id follows.
pub(crate) const LOOKUP_PREFIX: &str = "R#";
/// Sort key of the lock of other criteria.
pub(crate) const CRITERIA_LOCK: &str = "Q";

/// The greatest version that sort keys hold in order.
pub(crate) const VERSION_MAX: VersionId = VersionId(9_999_999_999);

/// Sort key of a version.
pub(crate) fn version(version: VersionId) -> String {
    format!("V#{:010}", version.0)
}

/// The version of a sort key.
pub(crate) fn version_of(sort: &str) -> Option<VersionId> {
    let digits = sort.strip_prefix("V#").filter(|digits| digits.len() == 10)?;
    digits.parse().ok().map(VersionId)
}

/// Sort key of a manifest's part.
pub(crate) fn manifest_part(index: usize) -> String {
    format!("{MANIFEST_PREFIX}{index:04}")
}

/// What a partition key of the data table says, for who reads the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParsedPartition {
    /// A resource's versions.
    Resource(TenantId, ResourceKey),
    /// A transaction.
    Transaction(TenantId, TransactionId),
    /// Anything else of a tenant.
    Other(TenantId),
}

/// Takes a partition key apart; `None`: it is none of ours.
pub(crate) fn parse(partition: &str) -> Option<ParsedPartition> {
    let mut parts = partition.split('#');
    if parts.next()? != "T" {
        return None;
    }
    let tenant = TenantId::parse(parts.next()?)?;
    match (parts.next()?, parts.next(), parts.next()) {
        ("R", Some(resource_type), Some(id)) => {
            let key = ResourceKey::new(ResourceType::parse(resource_type)?, fhirpool_fhir::ResourceId::parse(id)?);
            parts.next().is_none().then_some(ParsedPartition::Resource(tenant, key))
        }
        ("X", Some(transaction), None) => Some(ParsedPartition::Transaction(tenant, TransactionId::parse(transaction)?)),
        _ => Some(ParsedPartition::Other(tenant)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::Principal;
    use fhirpool_fhir::ResourceId;

    use super::*;

    fn access() -> ReadAccess {
        let tenant = TenantId::parse("acme").unwrap();
        ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
    }

    fn patient(id: &str) -> ResourceKey {
        ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse(id).unwrap())
    }

    #[test]
    fn what_is_made_is_understood() {
        let key = patient("a-1.b");
        let partition = PartitionKey::new(&access(), Partition::Resource(&key)).unwrap();
        assert_eq!(partition.as_str(), "T#acme#R#Patient#a-1.b");
        assert_eq!(parse(partition.as_str()), Some(ParsedPartition::Resource(access().tenant().clone(), key)));
        let transaction = TransactionId::random();
        let partition = PartitionKey::new(&access(), Partition::Transaction(transaction)).unwrap();
        assert_eq!(parse(partition.as_str()), Some(ParsedPartition::Transaction(access().tenant().clone(), transaction)));
        assert_eq!(parse("T#acme#Q#Patient"), Some(ParsedPartition::Other(access().tenant().clone())));
        assert_eq!(["", "T", "T#a b#R#Patient#1", "X#acme#R#Patient#1"].map(parse), [const { None }; 4]);
    }

    #[test]
    fn a_key_of_a_type_that_is_not_covered_cannot_be_made() {
        let tenant = TenantId::parse("acme").unwrap();
        let auditor = Principal::in_groups(tenant.clone(), &["auditor"]);
        let access = ReadAccess::authorize(&auditor, &tenant).unwrap();
        let observation = ResourceType::parse("Observation").unwrap();
        let key = ResourceKey::new(observation, ResourceId::parse("1").unwrap());
        for partition in [Partition::Resource(&key), Partition::Identifier(observation, [0; 16]), Partition::Criteria(observation)] {
            assert_eq!(PartitionKey::new(&access, partition), Err(StorageError::Denied));
        }
        assert!(PartitionKey::new(&access, Partition::Resource(&patient("1"))).is_ok());
    }

    #[test]
    fn versions_sort_as_they_count() {
        assert!(version(VersionId(9)) < version(VersionId(10)));
        assert_eq!(version_of(&version(VersionId(12))), Some(VersionId(12)));
        assert_eq!(["V#12", "X", "V#000000001x"].map(version_of), [None; 3]);
    }
}
