//! What is one of a kind: the format, the tenants' numbers, the state of the clock, counters.

use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
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
/// What the keys of tenants' numbers begin with; the name follows.
pub(crate) const TENANT_PREFIX: &[u8] = b"tenant/";

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

/// Reads the tenants' numbers.
pub(crate) fn read_tenants(snapshot: &Snapshot) -> Result<Tenants> {
    let tenants = Tenants::default();
    for item in snapshot.prefix(Space::Meta, TENANT_PREFIX) {
        let (key, value) = item?;
        let tenant = std::str::from_utf8(&key[TENANT_PREFIX.len()..]).ok().and_then(TenantId::parse);
        let number = value.as_ref().try_into().ok().map(u32::from_be_bytes);
        let (Some(tenant), Some(number)) = (tenant, number) else {
            return Err(StorageError::Damaged("a tenant's record cannot be read".into()));
        };
        tenants.insert(tenant, TenantNumber(number));
    }
    Ok(tenants)
}

/// The key of a tenant's number.
pub(crate) fn tenant_key(tenant: &TenantId) -> Vec<u8> {
    [TENANT_PREFIX, tenant.as_str().as_bytes()].concat()
}
