//! Stored keys as types. Each has one constructor, which takes a [`Scope`] (an access and its tenant's number) and refuses
//! types that the access does not cover, or is derived from a key that was made so.
//!
//! | keyspace | key |
//! |---|---|
//! | resources, forward | tenant u32 · type u8 · id |
//! | versions | tenant u32 · type u8 · id · 0x00 · version u64 |
//! | postings | tenant u32 · type u8 · parameter u16 · value · id |
//! | feed | tenant u32 · type u8 or 0xFF · last updated i64 · sequence u64 · part u32 |
//! | audit | tenant u32 · name of a block; see [`crate::audit`] |
//! | meta | `c` · tenant u32 · type u8: a counter; `b` · tenant u32: bytes stored; the others are in [`crate::meta`] |
//!
//! Numbers are big-endian. An id is [`OrderedId::write`]: of fixed length for UUIDs, without a zero byte otherwise, so that
//! no version key lies among those of another id.

use std::ops::Range;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType, Timestamp, VersionId};
use fhirpool_storage::Result;

use crate::database::successor;
use crate::tenants::{Scope, TenantNumber};

/// Tenant and type.
pub(crate) const TYPE_PREFIX_BYTES: usize = 5;
/// Tenant, type and parameter.
pub(crate) const PARAMETER_PREFIX_BYTES: usize = 7;

fn type_prefix(scope: &Scope<'_>, resource_type: ResourceType) -> Result<[u8; TYPE_PREFIX_BYTES]> {
    scope.check(resource_type)?;
    let mut prefix = [0; TYPE_PREFIX_BYTES];
    prefix[..4].copy_from_slice(&scope.tenant().0.to_be_bytes());
    prefix[4] = resource_type.number();
    Ok(prefix)
}

/// A resource's key in `resources` and `forward`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceSlot(Vec<u8>);

impl ResourceSlot {
    /// The key of a resource.
    pub(crate) fn new(scope: &Scope<'_>, resource_type: ResourceType, id: &OrderedId) -> Result<Self> {
        let mut bytes = Vec::with_capacity(TYPE_PREFIX_BYTES + 17);
        bytes.extend_from_slice(&type_prefix(scope, resource_type)?);
        id.write(&mut bytes);
        Ok(Self(bytes))
    }

    /// The key of a resource that is known from the store itself, for maintenance.
    pub(crate) fn found(tenant: TenantNumber, resource_type: ResourceType, id: &OrderedId) -> Self {
        let mut bytes = tenant.0.to_be_bytes().to_vec();
        bytes.push(resource_type.number());
        id.write(&mut bytes);
        Self(bytes)
    }

    /// The tenant.
    pub(crate) fn tenant(&self) -> TenantNumber {
        TenantNumber(self.0.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
    }

    /// Reads a key found in the store.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(TenantNumber, ResourceType, OrderedId)> {
        let (tenant, rest) = bytes.split_first_chunk::<4>()?;
        let (number, id) = rest.split_first()?;
        Some((TenantNumber(u32::from_be_bytes(*tenant)), ResourceType::from_number(*number)?, OrderedId::read(id)?))
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tenant and type.
    pub(crate) fn type_prefix(&self) -> &[u8] {
        &self.0[..TYPE_PREFIX_BYTES]
    }

    /// The id's bytes.
    pub(crate) fn id(&self) -> &[u8] {
        &self.0[TYPE_PREFIX_BYTES..]
    }

    /// The key of one of its versions.
    pub(crate) fn version(&self, version: VersionId) -> Vec<u8> {
        let mut key = self.versions();
        key.extend_from_slice(&version.0.to_be_bytes());
        key
    }

    /// What the keys of its versions begin with.
    pub(crate) fn versions(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.0.len() + 9);
        key.extend_from_slice(&self.0);
        key.push(0);
        key
    }

    /// The key of a posting of it.
    pub(crate) fn posting(&self, parameter: ParameterNumber, value: &[u8]) -> Vec<u8> {
        posting_key(&self.0, parameter, value)
    }
}

/// The key of a posting of the resource with this key.
pub(crate) fn posting_key(slot: &[u8], parameter: ParameterNumber, value: &[u8]) -> Vec<u8> {
    let (type_prefix, id) = slot.split_at(TYPE_PREFIX_BYTES.min(slot.len()));
    let mut key = Vec::with_capacity(slot.len() + 2 + value.len());
    key.extend_from_slice(type_prefix);
    key.extend_from_slice(&parameter.0.to_be_bytes());
    key.extend_from_slice(value);
    key.extend_from_slice(id);
    key
}

/// Reads a version's key found in the store: the resource's key and the version.
pub(crate) fn parse_version(bytes: &[u8]) -> Option<(&[u8], VersionId)> {
    let (rest, version) = bytes.split_last_chunk::<8>()?;
    let (0, slot) = rest.split_last().map(|(zero, slot)| (*zero, slot))? else { return None };
    Some((slot, VersionId(u64::from_be_bytes(*version))))
}

/// All keys of a type in `resources` or `forward`, in the order of the ids.
#[derive(Debug, Clone)]
pub(crate) struct TypeRange {
    prefix: [u8; TYPE_PREFIX_BYTES],
}

impl TypeRange {
    /// The keys of a type.
    pub(crate) fn new(scope: &Scope<'_>, resource_type: ResourceType) -> Result<Self> {
        Ok(Self { prefix: type_prefix(scope, resource_type)? })
    }

    /// Those behind an id, or all.
    pub(crate) fn after(&self, id: Option<&OrderedId>) -> Range<Vec<u8>> {
        let mut from = self.prefix.to_vec();
        if let Some(id) = id {
            id.write(&mut from);
            from.push(0);
        }
        from..successor(&self.prefix).expect("a type number is under 0xFF")
    }

    /// The id in a key of this range.
    pub(crate) fn id(key: &[u8]) -> &[u8] {
        key.get(TYPE_PREFIX_BYTES..).unwrap_or_default()
    }
}

/// The postings of one parameter of one type.
#[derive(Debug, Clone)]
pub(crate) struct PostingRange {
    prefix: [u8; PARAMETER_PREFIX_BYTES],
}

impl PostingRange {
    /// The postings of a parameter.
    pub(crate) fn new(scope: &Scope<'_>, resource_type: ResourceType, parameter: ParameterNumber) -> Result<Self> {
        let mut prefix = [0; PARAMETER_PREFIX_BYTES];
        prefix[..TYPE_PREFIX_BYTES].copy_from_slice(&type_prefix(scope, resource_type)?);
        prefix[TYPE_PREFIX_BYTES..].copy_from_slice(&parameter.0.to_be_bytes());
        Ok(Self { prefix })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Range<Vec<u8>> {
        self.prefix.to_vec()..successor(&self.prefix).expect("a type number is under 0xFF")
    }

    /// The first key at or behind a value and id (an id's bytes; empty: the value's first).
    pub(crate) fn at(&self, value: &[u8], id: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(PARAMETER_PREFIX_BYTES + value.len() + id.len());
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(value);
        key.extend_from_slice(id);
        key
    }
}

/// A posting's stored value: how long the index value in its key is, so that the id can be told from it.
pub(crate) fn posting_value(value: &[u8]) -> [u8; 2] {
    (value.len() as u16).to_be_bytes()
}

/// Index value and id (as [`OrderedId::write`] wrote it) of a posting; `None` if it is damaged.
pub(crate) fn split_posting<'a>(key: &'a [u8], value: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let length = usize::from(u16::from_be_bytes(value.try_into().ok()?));
    key.get(PARAMETER_PREFIX_BYTES..)?.split_at_checked(length)
}

/// Tenant, type and parameter number of a posting.
pub(crate) fn parse_posting_prefix(key: &[u8]) -> Option<(TenantNumber, ResourceType, ParameterNumber)> {
    let (tenant, rest) = key.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first()?;
    let (parameter, _) = rest.split_first_chunk::<2>()?;
    let tenant = TenantNumber(u32::from_be_bytes(*tenant));
    Some((tenant, ResourceType::from_number(*number)?, ParameterNumber(u16::from_be_bytes(*parameter))))
}

/// The commits of a tenant, or those that concern a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FeedRange {
    prefix: [u8; TYPE_PREFIX_BYTES],
}

/// Where in a feed a part of a commit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FeedPlace {
    pub(crate) last_updated: Timestamp,
    pub(crate) sequence: u64,
    pub(crate) part: u32,
}

impl FeedRange {
    /// What stands in place of a type in the feed of the whole tenant.
    pub(crate) const TENANT: u8 = 0xFF;

    /// The feed of a type, or of the tenant. The latter is for an access that may see all types, or for one who looks at
    /// each entry's type.
    pub(crate) fn new(scope: &Scope<'_>, resource_type: Option<ResourceType>) -> Result<Self> {
        let mut prefix = [Self::TENANT; TYPE_PREFIX_BYTES];
        match resource_type {
            Some(resource_type) => prefix = type_prefix(scope, resource_type)?,
            None => prefix[..4].copy_from_slice(&scope.tenant().0.to_be_bytes()),
        }
        Ok(Self { prefix })
    }

    /// The feed of a resource's type.
    pub(crate) fn of_type(slot: &ResourceSlot) -> Self {
        let mut prefix = [0; TYPE_PREFIX_BYTES];
        prefix.copy_from_slice(slot.type_prefix());
        Self { prefix }
    }

    /// The feed of a resource's tenant.
    pub(crate) fn of_tenant(slot: &ResourceSlot) -> Self {
        let mut feed = Self::of_type(slot);
        feed.prefix[4] = Self::TENANT;
        feed
    }

    /// The key of a place. Times before 1970 do not occur.
    pub(crate) fn at(&self, place: FeedPlace) -> Vec<u8> {
        let mut key = Vec::with_capacity(TYPE_PREFIX_BYTES + 20);
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(&place.last_updated.0.max(0).to_be_bytes());
        key.extend_from_slice(&place.sequence.to_be_bytes());
        key.extend_from_slice(&place.part.to_be_bytes());
        key
    }

    /// From a time on (included), up to a place (excluded) or the end.
    pub(crate) fn between(&self, since: Option<Timestamp>, before: Option<FeedPlace>) -> Range<Vec<u8>> {
        let from = since.map_or_else(|| self.prefix.to_vec(), |since| self.at(FeedPlace { last_updated: since, sequence: 0, part: 0 }));
        let to = match before {
            Some(place) => self.at(place),
            None => {
                let mut end = self.prefix.to_vec();
                end.extend_from_slice(&[0xFF; 21]);
                end
            }
        };
        from..to
    }

    /// The place in a key of a feed.
    pub(crate) fn place(key: &[u8]) -> Option<FeedPlace> {
        let (time, rest) = key.get(TYPE_PREFIX_BYTES..)?.split_first_chunk::<8>()?;
        let (sequence, part) = rest.split_first_chunk::<8>()?;
        Some(FeedPlace {
            last_updated: Timestamp(i64::from_be_bytes(*time)),
            sequence: u64::from_be_bytes(*sequence),
            part: u32::from_be_bytes(part.try_into().ok()?),
        })
    }

    /// Tenant and type (`None`: the tenant's) of a key of a feed.
    pub(crate) fn parse(key: &[u8]) -> Option<(TenantNumber, Option<ResourceType>)> {
        let (tenant, rest) = key.split_first_chunk::<4>()?;
        let resource_type = match *rest.first()? {
            Self::TENANT => None,
            number => Some(ResourceType::from_number(number)?),
        };
        Some((TenantNumber(u32::from_be_bytes(*tenant)), resource_type))
    }
}

/// The key in `meta` of the number of a type's resources that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CounterKey([u8; 1 + TYPE_PREFIX_BYTES]);

impl CounterKey {
    /// What all counters' keys begin with.
    pub(crate) const PREFIX: u8 = b'c';

    /// The counter of a type.
    pub(crate) fn new(scope: &Scope<'_>, resource_type: ResourceType) -> Result<Self> {
        Ok(Self::of_prefix(&type_prefix(scope, resource_type)?))
    }

    /// The counter of a resource's type.
    pub(crate) fn of(slot: &ResourceSlot) -> Self {
        let mut prefix = [0; TYPE_PREFIX_BYTES];
        prefix.copy_from_slice(slot.type_prefix());
        Self::of_prefix(&prefix)
    }

    /// The counter of the type of a resource whose key was found in the store, for maintenance.
    pub(crate) fn of_found(slot: &[u8]) -> Option<Self> {
        slot.first_chunk().map(Self::of_prefix)
    }

    /// Tenant and type of a counter's key found in the store.
    pub(crate) fn parse(key: &[u8]) -> Option<(TenantNumber, ResourceType)> {
        let (&Self::PREFIX, rest) = key.split_first()? else { return None };
        let (tenant, rest) = rest.split_first_chunk::<4>()?;
        let [number] = rest else { return None };
        Some((TenantNumber(u32::from_be_bytes(*tenant)), ResourceType::from_number(*number)?))
    }

    fn of_prefix(prefix: &[u8; TYPE_PREFIX_BYTES]) -> Self {
        let mut key = [Self::PREFIX; 1 + TYPE_PREFIX_BYTES];
        key[1..].copy_from_slice(prefix);
        Self(key)
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key in `meta` of the number of bytes that a tenant has stored.
pub(crate) fn stored_bytes_key(scope: &Scope<'_>) -> [u8; 5] {
    stored_bytes_key_of(scope.tenant())
}

/// The same of a tenant that is being removed.
pub(crate) fn stored_bytes_key_of(tenant: TenantNumber) -> [u8; 5] {
    let mut key = [b'b'; 5];
    key[1..].copy_from_slice(&tenant.0.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::{Principal, ReadAccess, TenantId};
    use fhirpool_fhir::ResourceId;
    use fhirpool_storage::StorageError;
    use fhirpool_storage::tenants::TenantRecord;

    use super::*;
    use crate::tenants::Tenants;

    fn named(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn an_access_of_one_type_makes_no_key_of_another() {
        let (tenant, tenants) = (TenantId::parse("acme").unwrap(), Tenants::default());
        tenants.insert(TenantNumber(7), TenantRecord::unrecorded(tenant.clone(), None).into());
        let access = ReadAccess::authorize(&Principal::in_groups(tenant.clone(), &["auditor"]), &tenant).unwrap();
        let scope = Scope::of(&access, &tenants).unwrap();
        let id = OrderedId::from(&ResourceId::parse("1").unwrap());
        let refusals = |resource_type| {
            [
                ResourceSlot::new(&scope, resource_type, &id).err(),
                TypeRange::new(&scope, resource_type).err(),
                PostingRange::new(&scope, resource_type, ParameterNumber(1)).err(),
                FeedRange::new(&scope, Some(resource_type)).err(),
                CounterKey::new(&scope, resource_type).err(),
            ]
        };
        assert_eq!(refusals(named("Patient")), [const { None }; 5]);
        assert_eq!(refusals(named("Observation")), [const { Some(StorageError::Denied) }; 5]);
    }

    #[test]
    fn an_access_of_one_tenant_makes_no_key_of_another() {
        let (tenants, patient) = (Tenants::default(), named("Patient"));
        let id = OrderedId::from(&ResourceId::parse("1").unwrap());
        let slot = |name: &str| {
            let tenant = TenantId::parse(name).unwrap();
            let access = ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap();
            Ok::<_, StorageError>(ResourceSlot::new(&Scope::of(&access, &tenants)?, patient, &id)?.tenant())
        };
        tenants.insert(TenantNumber(7), TenantRecord::unrecorded(TenantId::parse("acme").unwrap(), None).into());
        tenants.insert(TenantNumber(8), TenantRecord::unrecorded(TenantId::parse("acme1").unwrap(), None).into());
        assert_eq!((slot("acme"), slot("acme1")), (Ok(TenantNumber(7)), Ok(TenantNumber(8))));
        assert_eq!(slot("acme2"), Err(StorageError::UnknownTenant));
    }
}
