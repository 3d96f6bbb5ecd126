//! From a backup to a store: its values as they are, and the index made anew.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use fhirpool_authz::TenantId;
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{TenantRecord, TenantState};

use super::index::Filling;
use super::{Extraction, Keys, MaintenanceError, Names, Result, backup, sync_folder, unfinished};
use crate::Settings;
use crate::committer::{DatabaseError, check_format};
use crate::database::{Database, Space};
use crate::keys::ResourceSlot;
use crate::meta::{Clock, TENANT_PREFIX, read_tenant, read_tenants, tenant_key, write_tenant};
use crate::store::DATABASE_FOLDER;
use crate::tenants::TenantNumber;

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreSummary {
    /// Resources that are there.
    pub resources: u64,
    /// Items of the backup.
    pub items: u64,
    /// Tenants of the backup that are left out: their keys were destroyed.
    pub forgotten: u64,
    /// The last commit in it.
    pub sequence: u64,
}

/// Builds the store beside its place and puts it there when it is whole.
pub(super) fn restore(
    folder: &Path,
    from: &mut dyn Read,
    keys: &mut Keys,
    destroyed: HashSet<TenantId>,
    extraction: &Extraction,
) -> Result<RestoreSummary> {
    let place = folder.join(DATABASE_FOLDER);
    if place.exists() {
        return Err(MaintenanceError::Occupied(folder.display().to_string()));
    }
    let path = unfinished(folder);
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    let database = Database::open(&path, &Settings::default()).map_err(DatabaseError::from)?;
    let (items, forgotten) = copy(&database, from, destroyed)?;
    check_format(&database)?;
    let resources = rebuild(&database, keys, extraction)?;
    let sequence = Clock::read(&database.snapshot())?.sequence;
    drop(database);
    std::fs::rename(&path, &place)?;
    sync_folder(folder)?;
    Ok(RestoreSummary { resources, items, forgotten, sequence })
}

/// Gives the number of items, and of the tenants that were left out. They are being deleted, so that whoever opens the store
/// removes what is elsewhere: content lies beside the backup as a whole.
fn copy(database: &Database, from: &mut dyn Read, mut destroyed: HashSet<TenantId>) -> Result<(u64, u64)> {
    let mut filling = Filling::new(database);
    let (mut items, mut forgotten, mut last_number) = (0, HashSet::new(), 0);
    backup::read(from, |space, key, value| {
        items += 1;
        if space == Space::Meta && key.starts_with(TENANT_PREFIX) {
            // Tenants come ahead of what they have.
            let (number, record) = read_tenant(key, value)?;
            last_number = number.0.max(last_number);
            if destroyed.remove(&record.id) {
                forgotten.insert(number);
                return filling.put(space, key, write_tenant(number, &being_deleted(record)));
            }
        } else if space != Space::Meta
            && key.first_chunk().is_some_and(|number| forgotten.contains(&TenantNumber(u32::from_be_bytes(*number))))
        {
            return Ok(());
        }
        filling.put(space, key, value)
    })?;
    // Made since the backup, and deleted since.
    for tenant in destroyed {
        last_number += 1;
        let record = being_deleted(TenantRecord::unrecorded(tenant, None));
        filling.put(Space::Meta, tenant_key(&record.id), write_tenant(TenantNumber(last_number), &record))?;
    }
    filling.finish()?;
    Ok((items, forgotten.len() as u64))
}

fn being_deleted(record: TenantRecord) -> TenantRecord {
    match record.state {
        // That was done before the backup was made.
        TenantState::Deleted => record,
        _ => TenantRecord { state: TenantState::Deleting, revision: record.revision + 1, access: None, ..record },
    }
}

/// Makes the index of all resources; gives their number.
fn rebuild(database: &Database, keys: &mut Keys, extraction: &Extraction) -> Result<u64> {
    let snapshot = database.snapshot();
    let names = Names::of(&read_tenants(&snapshot)?);
    let mut filling = Filling::new(database);
    let mut resources = 0;
    for item in snapshot.range::<&[u8]>(Space::Resources, ..) {
        let (slot, record) = item?;
        let parsed = ResourceSlot::parse(&slot).and_then(|(number, resource_type, id)| Some((names.get(number)?, resource_type, id)));
        let (tenant, resource_type, id) = parsed.ok_or_else(|| StorageError::Damaged("a resource's key cannot be read".into()))?;
        let key = ResourceKey::new(resource_type, (&id).into());
        let version = keys.open(&record, tenant, &key)?;
        resources += u64::from(version.content != fhirpool_storage::Content::Deleted);
        filling.index(&slot, tenant, &key, &version, extraction)?;
    }
    filling.finish()?;
    Ok(resources)
}
