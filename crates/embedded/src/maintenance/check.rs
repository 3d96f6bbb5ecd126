//! One resource: its versions, and what is posted for it.

use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::{Result, StorageError};

use super::Keys;
use crate::database::{Bytes, Scan};
use crate::keys::parse_version;
use crate::record::Head;
use fhirpool_authz::TenantId;

/// Superseded versions in the order of their keys, resource by resource.
pub(super) struct Superseded {
    scan: Scan,
    next: Option<(Bytes, Bytes)>,
}

impl Superseded {
    pub(super) fn new(scan: Scan) -> Result<Self> {
        let mut superseded = Self { scan, next: None };
        superseded.advance()?;
        Ok(superseded)
    }

    fn advance(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        let next = self.scan.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The resource's key of the next version.
    fn next_slot(&self) -> Option<&[u8]> {
        self.next.as_ref().map(|(key, _)| parse_version(key).map_or(&key[..], |(slot, _)| slot))
    }

    /// The next version, if it is of a resource whose key comes before this one (or of any, for `None`).
    pub(super) fn next_before(&mut self, slot: Option<&[u8]>) -> Result<Option<(Bytes, Bytes)>> {
        match self.next_slot() {
            Some(next) if slot.is_none_or(|slot| next < slot) => self.advance(),
            _ => Ok(None),
        }
    }

    /// The next version, if it is of this resource.
    pub(super) fn next_of(&mut self, slot: &[u8]) -> Result<Option<(Bytes, Bytes)>> {
        match self.next_slot() {
            Some(next) if next == slot => self.advance(),
            _ => Ok(None),
        }
    }
}

/// What is wrong with a version, if anything: it must open, and say the number that its key says.
pub(super) fn check_version(
    keys: &mut Keys,
    tenant: &TenantId,
    key: &ResourceKey,
    expected: Option<VersionId>,
    record: &[u8],
) -> std::result::Result<Head, String> {
    let head = Head::of(record).map_err(|error| error.to_string())?;
    keys.open(record, tenant, key).map_err(|error: StorageError| error.to_string())?;
    match expected {
        Some(expected) if expected != head.version => Err(format!("says that it is version {}", head.version)),
        _ => Ok(head),
    }
}
