//! Writing a database anew: in batches, and the index of each newest version with it.

use std::collections::BTreeMap;

use fhirpool_authz::TenantId;
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{Content, StoredVersion};

use super::{Extraction, Result};
use crate::database::{Batch, Bytes, Database, Space};
use crate::forward::Packed;
use crate::keys::{CounterKey, posting_key, posting_value};

/// A batch that is as long is written.
const BATCH_WRITES: usize = 20_000;

/// Fills a database that nobody else has open.
pub(super) struct Filling<'a> {
    database: &'a Database,
    batch: Batch,
    counters: BTreeMap<CounterKey, u64>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(database: &'a Database) -> Self {
        Self { database, batch: database.batch(BATCH_WRITES), counters: BTreeMap::new() }
    }

    /// Puts a value as it is.
    pub(super) fn put(&mut self, space: Space, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<()> {
        self.batch.insert(space, key, value);
        if self.batch.len() >= BATCH_WRITES { self.write() } else { Ok(()) }
    }

    /// Posts the entries of a newest version, and counts it.
    pub(super) fn index(
        &mut self,
        slot: &[u8],
        tenant: &TenantId,
        key: &ResourceKey,
        version: &StoredVersion,
        extraction: &Extraction,
    ) -> Result<()> {
        let Content::Resource(body) = &version.content else { return Ok(()) };
        if let Some(counter) = CounterKey::of_found(slot) {
            *self.counters.entry(counter).or_default() += 1;
        }
        let mut entries = (extraction.entries)(tenant, key.resource_type, body);
        entries.sort_unstable();
        entries.dedup();
        let time = extraction.extractors.last_updated_entry(version.last_updated);
        self.put(Space::Forward, slot, Packed::new(&entries, time.parameter).with_time(&time))?;
        for entry in entries.iter().chain([&time]) {
            self.put(Space::Postings, posting_key(slot, entry.parameter, &entry.value), posting_value(&entry.value))?;
        }
        Ok(())
    }

    /// Writes the counters and what is left.
    pub(super) fn finish(mut self) -> Result<()> {
        for (key, count) in std::mem::take(&mut self.counters) {
            self.put(Space::Meta, key.as_bytes(), count.to_be_bytes())?;
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, self.database.batch(BATCH_WRITES));
        self.database.wait_for_room()?;
        Ok(batch.commit()?)
    }
}
