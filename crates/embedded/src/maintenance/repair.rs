//! Building a store anew from what can be read of a damaged one.
//!
//! What is not derived is read value by value: resources, superseded versions, feeds. A version that does not open is set
//! aside as a file, and a tombstone takes its place: so versions keep their numbers, and an old version never passes for the
//! newest. The index, the counters and the feeds are made anew. The old database stays beside the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fhirpool_authz::TenantId;
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_storage::value::Codec;
use fhirpool_storage::{Content, Method, StorageError, StoredVersion};

use super::index::Filling;
use super::{Extraction, Keys, Names, Result, sync_folder, unfinished};
use crate::Settings;
use crate::committer::{DatabaseError, check_format};
use crate::database::{Bytes, Database, Snapshot, Space};
use crate::feed::{PART_BYTES, read_part, write_entry};
use crate::keys::{FeedPlace, FeedRange, ResourceSlot, parse_version};
use crate::meta::{CLOCK_KEY, Clock, TENANTS_EPOCH_KEY, read_tenants, read_tenants_epoch, tenant_key, write_tenant};
use crate::record::Head;
use crate::store::DATABASE_FOLDER;
use crate::tenants::TenantNumber;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Resources that are there.
    pub resources: u64,
    /// Versions, tombstones among them.
    pub versions: u64,
    /// Versions in whose place stands a tombstone now.
    pub set_aside: Vec<SetAside>,
    /// Where the old database is.
    pub old: PathBuf,
}

/// A version that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Whose.
    pub tenant: TenantId,
    /// Of which resource.
    pub key: ResourceKey,
    /// Its number.
    pub version: VersionId,
    /// Why.
    pub reason: String,
    /// Where its bytes are, if there are any.
    pub file: Option<PathBuf>,
}

/// A version for the new feeds.
struct Made {
    slot: ResourceSlot,
    version: VersionId,
    method: Method,
}

struct Repair<'a> {
    old: &'a Snapshot,
    aside: PathBuf,
    keys: &'a mut Keys,
    extraction: &'a Extraction,
    /// What the old feeds say of a resource's versions: commit and time.
    fed: BTreeMap<Vec<u8>, BTreeMap<u64, FeedPlace>>,
    /// Versions in the order of their commits; those that no feed names come by their time, ahead of others of that time.
    made: BTreeMap<(TenantNumber, Timestamp, u64), Vec<Made>>,
    /// Tenants of which something was opened: their keys are in place.
    opened: BTreeSet<TenantId>,
    report: RepairReport,
}

/// Repairs the database of a folder.
pub(super) fn repair(folder: &Path, database: Database, keys: &mut Keys, extraction: &Extraction) -> Result<RepairReport> {
    let beside = new_folder(folder)?;
    let path = unfinished(folder);
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    let rebuilt = Database::open(&path, &Settings::default()).map_err(DatabaseError::from)?;
    check_format(&rebuilt)?;
    let old = database.snapshot();
    let tenants = read_tenants(&old)?;
    let mut repair = Repair {
        old: &old,
        aside: beside.join("values"),
        keys,
        extraction,
        fed: BTreeMap::new(),
        made: BTreeMap::new(),
        opened: BTreeSet::new(),
        report: RepairReport { old: beside.join(DATABASE_FOLDER), ..RepairReport::default() },
    };
    let mut filling = Filling::new(&rebuilt);
    for (id, tenant) in tenants.all() {
        filling.put(Space::Meta, tenant_key(&id), write_tenant(tenant.number, &tenant.record))?;
    }
    filling.put(Space::Meta, TENANTS_EPOCH_KEY, read_tenants_epoch(&old)?.to_be_bytes())?;
    let names = Names::of(&tenants);
    for slot in repair.slots() {
        repair.resource(&names, &slot, &mut filling)?;
    }
    // As it is: `verify` tells what is missing of it, and what is left must not be made to look whole.
    for (key, value) in readable(&old, Space::Audit) {
        filling.put(Space::Audit, key, value)?;
    }
    let clock = repair.feeds(&mut filling)?;
    filling.put(Space::Meta, CLOCK_KEY, clock.write())?;
    filling.finish()?;
    let report = repair.report;
    drop((old, database, rebuilt));
    std::fs::rename(folder.join(DATABASE_FOLDER), &report.old)?;
    std::fs::rename(&path, folder.join(DATABASE_FOLDER))?;
    sync_folder(folder)?;
    Ok(report)
}

/// A folder that is not there yet.
fn new_folder(folder: &Path) -> Result<PathBuf> {
    for number in 1..u32::MAX {
        let path = folder.join(format!("damaged-{number}"));
        if !path.exists() {
            std::fs::create_dir_all(path.join("values"))?;
            return Ok(path);
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into())
}

impl Repair<'_> {
    /// The keys of all resources of which anything is known. A keyspace that cannot be read to its end leaves the others.
    fn slots(&mut self) -> BTreeSet<Vec<u8>> {
        let mut slots = BTreeSet::new();
        for space in [Space::Resources, Space::Forward] {
            slots.extend(readable(self.old, space).map(|(key, _)| key.to_vec()));
        }
        slots.extend(readable(self.old, Space::Versions).filter_map(|(key, _)| parse_version(&key).map(|(slot, _)| slot.to_vec())));
        for (key, part) in readable(self.old, Space::Feed) {
            let (Some((number, _)), Some(place), Ok(entries)) = (FeedRange::parse(&key), FeedRange::place(&key), read_part(&part)) else {
                continue;
            };
            for entry in entries {
                let slot = ResourceSlot::found(number, entry.resource_type, &entry.id).as_bytes().to_vec();
                self.fed.entry(slot.clone()).or_default().insert(entry.version.0, place);
                slots.insert(slot);
            }
        }
        slots
    }

    fn resource(&mut self, names: &Names, slot: &[u8], filling: &mut Filling<'_>) -> Result<()> {
        let Some((number, resource_type, id)) = ResourceSlot::parse(slot) else { return Ok(()) };
        let Some(tenant) = names.get(number) else { return Ok(()) };
        let key = ResourceKey::new(resource_type, (&id).into());
        let slot = ResourceSlot::found(number, resource_type, &id);
        let fed = self.fed.remove(slot.as_bytes()).unwrap_or_default();
        let newest = self.old.get(Space::Resources, slot.as_bytes()).ok().flatten();
        let newest_version = newest.as_ref().and_then(|record| Head::of(record).ok()).map(|head| head.version.0);
        let superseded = readable_versions(self.old, &slot).filter_map(|(key, _)| parse_version(&key).map(|(_, version)| version.0));
        let highest = superseded.chain(newest_version).chain(fed.keys().copied()).max().unwrap_or(0);

        let mut last_updated = Timestamp(-1);
        for version in (1..=highest).map(VersionId) {
            let record = match newest_version == Some(version.0) {
                true => newest.clone(),
                false => self.old.get(Space::Versions, &slot.version(version)).ok().flatten(),
            };
            let place = fed.get(&version.0).copied();
            let (record, opened) = self.version(tenant, &key, version, record, place, last_updated)?;
            last_updated = opened.last_updated;
            let commit = (number, last_updated, place.map_or(0, |place| place.sequence));
            self.made.entry(commit).or_default().push(Made { slot: slot.clone(), version, method: opened.method });
            self.report.versions += 1;
            if version.0 < highest {
                filling.put(Space::Versions, slot.version(version), record)?;
            } else {
                filling.put(Space::Resources, slot.as_bytes(), record)?;
                self.report.resources += u64::from(opened.content != Content::Deleted);
                filling.index(slot.as_bytes(), tenant, &key, &opened, self.extraction)?;
            }
        }
        Ok(())
    }

    /// A version as it is, or the tombstone that takes its place.
    fn version(
        &mut self,
        tenant: &TenantId,
        key: &ResourceKey,
        version: VersionId,
        record: Option<Bytes>,
        place: Option<FeedPlace>,
        before: Timestamp,
    ) -> Result<(Bytes, StoredVersion)> {
        let reason = match &record {
            None => "it is not there, or its block cannot be read".to_owned(),
            Some(record) => match self.keys.open(record, tenant, key) {
                Ok(opened) if opened.version == version && opened.last_updated > before => {
                    self.opened.insert(tenant.clone());
                    return Ok((record.clone(), opened));
                }
                Ok(_) => "its number or time contradicts the other versions".to_owned(),
                Err(StorageError::Damaged(reason)) => reason,
                // The key's number may be what is damaged, unless no key of the tenant is there.
                Err(StorageError::UnknownTenant) if self.opened.contains(tenant) => "it names a key that is not there".to_owned(),
                Err(error) => return Err(error.into()),
            },
        };
        let file = record.as_ref().map(|record| self.set_aside(tenant, key, version, record)).transpose()?;
        self.report.set_aside.push(SetAside { tenant: tenant.clone(), key: key.clone(), version, reason, file });
        let time = place.map_or(0, |place| place.last_updated.0).max(before.0 + 1);
        let head = Head { version, last_updated: Timestamp(time), deleted: true };
        let content = Codec::default().compress(Method::Delete, &Content::Deleted);
        let sealed = head.seal(&content, tenant, key, &*self.keys.newest(tenant)?);
        let opened = StoredVersion { version, last_updated: head.last_updated, method: Method::Delete, content: Content::Deleted };
        Ok((sealed.into(), opened))
    }

    fn set_aside(&self, tenant: &TenantId, key: &ResourceKey, version: VersionId, record: &[u8]) -> Result<PathBuf> {
        let file = self.aside.join(format!("{tenant}.{}.{}.{version}", key.resource_type, key.id));
        std::fs::write(&file, record)?;
        Ok(file)
    }

    /// Writes the feeds, with sequences of their own; gives the clock behind them.
    fn feeds(&mut self, filling: &mut Filling<'_>) -> Result<Clock> {
        let mut clock = Clock::default();
        let mut commits: Vec<_> = std::mem::take(&mut self.made).into_iter().collect();
        commits.sort_by_key(|((_, time, sequence), _)| (*time, *sequence));
        for ((_, last_updated, _), versions) in commits {
            clock = Clock { sequence: clock.sequence + 1, last_updated: last_updated.0 };
            let mut feeds: BTreeMap<FeedRange, Vec<Vec<u8>>> = BTreeMap::new();
            for Made { slot, version, method } in versions {
                for range in [FeedRange::of_type(&slot), FeedRange::of_tenant(&slot)] {
                    let parts = feeds.entry(range).or_default();
                    if parts.last().is_none_or(|part| part.len() >= PART_BYTES) {
                        parts.push(Vec::new());
                    }
                    if let (Some(part), Some((_, resource_type, _))) = (parts.last_mut(), ResourceSlot::parse(slot.as_bytes())) {
                        write_entry(resource_type, slot.id(), version, method, part);
                    }
                }
            }
            for (range, parts) in feeds {
                for (part, entries) in parts.into_iter().enumerate() {
                    let place = FeedPlace { last_updated, sequence: clock.sequence, part: part as u32 };
                    filling.put(Space::Feed, range.at(place), entries)?;
                }
            }
        }
        Ok(clock)
    }
}

/// What can be read of a keyspace: up to the first block that cannot from the front, and likewise from the back.
fn readable(snapshot: &Snapshot, space: Space) -> impl Iterator<Item = (Bytes, Bytes)> {
    let front = snapshot.range::<&[u8]>(space, ..).map_while(|item| item.ok());
    let is_whole = snapshot.range::<&[u8]>(space, ..).all(|item| item.is_ok());
    let back = (!is_whole).then(|| snapshot.range::<&[u8]>(space, ..).rev().map_while(|item| item.ok()));
    front.chain(back.into_iter().flatten())
}

fn readable_versions(snapshot: &Snapshot, slot: &ResourceSlot) -> impl Iterator<Item = (Bytes, Bytes)> + use<> {
    snapshot.prefix(Space::Versions, &slot.versions()).map_while(|item| item.ok())
}
