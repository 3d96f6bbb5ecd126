//! How documents and terms of a tenant are named. Names are made only here, and only from an access.
//!
//! Terms begin with a digest of the tenant, so that a range of terms never runs through another's. That is for speed:
//! that a search finds nothing of another tenant is due to the scope, which every query demands and which spells the tenant out.

use std::sync::Arc;

use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey, ResourceType};
use fhirpool_storage::{Result, StorageError};

use crate::text;

/// Marks a term of a system alone. No value's form is so high.
const SYSTEM_MARK: u8 = 0xFE;
const DIGEST_LENGTH: usize = 6;
const DIGEST_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The shard where all documents of an access's tenant lie.
pub(crate) fn routing(access: &ReadAccess) -> &str {
    access.tenant().as_str()
}

/// What names begin with for one type of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct TypeNames {
    tenant: TenantId,
    resource_type: ResourceType,
    /// Digest and type.
    prefix: Arc<str>,
}

impl TypeNames {
    /// For looking for resources of a type.
    pub(crate) fn to_read(access: &ReadAccess, resource_type: ResourceType) -> Result<Self> {
        if !access.allows(resource_type) {
            return Err(StorageError::Denied);
        }
        Ok(Self::new(access.tenant(), resource_type))
    }

    /// For telling of resources of a type.
    pub(crate) fn to_write(access: &WriteAccess, resource_type: ResourceType) -> Result<Self> {
        if !access.allows(resource_type) {
            return Err(StorageError::Denied);
        }
        Ok(Self::new(access.tenant(), resource_type))
    }

    fn new(tenant: &TenantId, resource_type: ResourceType) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, tenant.as_str().as_bytes());
        let letters = digest.as_ref()[..DIGEST_LENGTH].iter().map(|byte| char::from(DIGEST_ALPHABET[usize::from(byte % 64)]));
        let prefix = letters.chain([char::from(resource_type.number())]).collect::<String>();
        Self { tenant: tenant.clone(), resource_type, prefix: prefix.into() }
    }

    /// The type.
    pub(crate) fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// The tenant, which all documents carry.
    pub(crate) fn tenant(&self) -> &str {
        self.tenant.as_str()
    }

    /// What all documents of resources that are there carry, and every search asks for.
    pub(crate) fn scope(&self) -> String {
        format!("{}/{}", self.tenant, self.resource_type)
    }

    /// A document's id.
    pub(crate) fn document(&self, id: &ResourceId) -> String {
        format!("{}/{}/{id}", self.tenant, self.resource_type)
    }

    /// A document's place in the order of types and ids, and at the same time its name among terms.
    pub(crate) fn place(&self, id: &OrderedId) -> String {
        let mut out = self.prefix.to_string();
        text::push(&mut out, &id_bytes(id));
        out
    }

    /// The id at a place of this type.
    pub(crate) fn id_at(&self, place: &str) -> Option<OrderedId> {
        OrderedId::read(&text::bytes_of(place.strip_prefix(&*self.prefix)?)?)
    }

    /// What all terms of a parameter begin with; by itself the term of a resource that has any value of it.
    pub(crate) fn parameter(&self, parameter: ParameterNumber) -> String {
        let mut out = self.prefix.to_string();
        text::push(&mut out, &parameter.0.to_be_bytes());
        out
    }

    /// The term of a value.
    pub(crate) fn value(&self, parameter: ParameterNumber, value: &[u8]) -> String {
        let mut out = self.parameter(parameter);
        text::push(&mut out, value);
        out
    }

    /// The term of a resource that has a code of this system.
    pub(crate) fn system(&self, parameter: ParameterNumber, form: u8, system: &[u8]) -> String {
        let mut out = self.parameter(parameter);
        text::push(&mut out, &[SYSTEM_MARK, form]);
        text::push(&mut out, system);
        out
    }
}

/// An id as the order of results has it.
pub(crate) fn id_bytes(id: &OrderedId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17);
    id.write(&mut bytes);
    bytes
}

/// The resource of a place of any type of the access's tenant.
pub(crate) fn key_at(access: &ReadAccess, place: &str) -> Option<(ResourceKey, OrderedId)> {
    let resource_type = ResourceType::from_number(u8::try_from(u32::from(place.chars().nth(DIGEST_LENGTH)?)).ok()?)?;
    let id = TypeNames::to_read(access, resource_type).ok()?.id_at(place)?;
    Some((ResourceKey::new(resource_type, ResourceId::from(&id)), id))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::Principal;

    use super::*;

    fn names(tenant: &str) -> TypeNames {
        let tenant = TenantId::parse(tenant).unwrap();
        let access = ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap();
        TypeNames::to_read(&access, ResourceType::parse("Patient").unwrap()).unwrap()
    }

    #[test]
    fn places_are_read_back_and_only_by_their_tenant() {
        for id in ["1", "a.b-C", "0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99"] {
            let id = OrderedId::from(&ResourceId::parse(id).unwrap());
            let place = names("a").place(&id);
            assert_eq!(names("a").id_at(&place), Some(id));
            assert_eq!(names("b").id_at(&place), None);
        }
    }
}
