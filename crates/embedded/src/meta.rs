//! What is one of a kind: the format, the tenants, the state of the clock, counters.

use std::sync::Arc;

use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::tenants::TenantRecord;
use fhirpool_storage::{Result, StorageError};

use crate::database::{Snapshot, Space};
use crate::keys::CounterKey;
use crate::tenants::{TenantNumber, Tenants};

/// The version of the layout that this code reads and writes.
pub(crate) const FORMAT: u32 = 1;
/// The key of the format's number, u32.
pub(crate) const FORMAT_KEY: &[u8] = b"format";
/// The key of the [`Clock`].
pub(crate) const CLOCK_KEY: &[u8] = b"clock";
/// What the keys of tenants begin with; the id follows. The value is the tenant's number, u32, and its record as JSON, which
/// earlier versions did not write.
pub(crate) const TENANT_PREFIX: &[u8] = b"tenant/";
/// The key of how often tenants' records have changed, u64.
pub(crate) const TENANTS_EPOCH_KEY: &[u8] = b"tenants-epoch";

/// The key that says that something was removed for good which may still be in files.
pub(crate) const UNCOMPACTED_KEY: &[u8] = b"uncompacted";

/// The newest commit's number and time. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    pub(crate) sequence: u64,
    /// Milliseconds since 1970.
    pub(crate) last_updated: i64,
}

impl Clock {
    /// As stored.
    pub(crate) fn write(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.last_updated.to_be_bytes());
        bytes
    }

    /// Reads the stored clock; zero where nothing was committed yet.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self> {
        let Some(bytes) = snapshot.get(Space::Meta, CLOCK_KEY)? else { return Ok(Self::default()) };
        let (sequence, time) = bytes.split_first_chunk::<8>().ok_or_else(damaged_clock)?;
        let time = time.try_into().map_err(|_| damaged_clock())?;
        Ok(Self { sequence: u64::from_be_bytes(*sequence), last_updated: i64::from_be_bytes(time) })
    }

    /// The time of the newest commit.
    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp(self.last_updated)
    }
}

fn damaged_clock() -> StorageError {
    StorageError::Damaged("the clock's record is not 16 bytes".into())
}

/// How many resources of a type there are.
pub(crate) fn read_counter(snapshot: &Snapshot, key: &CounterKey) -> Result<u64> {
    read_count(snapshot, key.as_bytes())
}

/// A count at a key; 0 where nothing was counted yet.
pub(crate) fn read_count(snapshot: &Snapshot, key: &[u8]) -> Result<u64> {
    let Some(bytes) = snapshot.get(Space::Meta, key)? else { return Ok(0) };
    let bytes = bytes.as_ref().try_into().map_err(|_| StorageError::Damaged("a counter is not 8 bytes".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Reads the tenants.
pub(crate) fn read_tenants(snapshot: &Snapshot) -> Result<Tenants> {
    let tenants = Tenants::default();
    for item in snapshot.prefix(Space::Meta, TENANT_PREFIX) {
        let (key, value) = item?;
        let (number, record) = read_tenant(&key, &value)?;
        tenants.insert(number, Arc::new(record));
    }
    Ok(tenants)
}

/// Reads a tenant as [`write_tenant`] wrote it, or as earlier versions did.
pub(crate) fn read_tenant(key: &[u8], value: &[u8]) -> Result<(TenantNumber, TenantRecord)> {
    let damaged = || StorageError::Damaged("a tenant's record cannot be read".into());
    let tenant = std::str::from_utf8(&key[TENANT_PREFIX.len()..]).ok().and_then(TenantId::parse).ok_or_else(damaged)?;
    let (number, record) = value.split_first_chunk().ok_or_else(damaged)?;
    let record = match record {
        [] => TenantRecord::unrecorded(tenant, None),
        record => TenantRecord::from_json(record).ok().filter(|record| record.id == tenant).ok_or_else(damaged)?,
    };
    Ok((TenantNumber(u32::from_be_bytes(*number)), record))
}

/// The key of a tenant.
pub(crate) fn tenant_key(tenant: &TenantId) -> Vec<u8> {
    [TENANT_PREFIX, tenant.as_str().as_bytes()].concat()
}

/// A tenant as stored.
pub(crate) fn write_tenant(number: TenantNumber, record: &TenantRecord) -> Vec<u8> {
    [&number.0.to_be_bytes(), record.to_json().as_bytes()].concat()
}

/// How often tenants' records have changed.
pub(crate) fn read_tenants_epoch(snapshot: &Snapshot) -> Result<u64> {
    let Some(bytes) = snapshot.get(Space::Meta, TENANTS_EPOCH_KEY)? else { return Ok(0) };
    let bytes = bytes.as_ref().try_into().map_err(|_| StorageError::Damaged("the epoch of the tenants is not 8 bytes".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_tenant_that_an_earlier_version_stored_is_active() {
        let acme = TenantId::parse("acme").unwrap();
        let (number, record) = read_tenant(&tenant_key(&acme), &[0, 0, 0, 7]).unwrap();
        assert_eq!((number, &record), (TenantNumber(7), &TenantRecord::unrecorded(acme.clone(), None)));
        assert!(record.state.is_kept());
        let value = write_tenant(number, &record);
        assert_eq!(read_tenant(&tenant_key(&acme), &value).unwrap(), (number, record));
        for damaged in [&value[..3], &value[..9], b"0000{}"] {
            assert!(read_tenant(&tenant_key(&acme), damaged).is_err());
        }
    }
}
