//! A tenant's index in a snapshot of the store.

use std::ops::ControlFlow;

use fhirpool_fhir::ResourceType;
use fhirpool_storage::{Result, StorageError};

use crate::database::{Scan, Space};
use crate::forward::Forward;
use crate::keys::{CounterKey, PostingRange, ResourceSlot, TypeRange, split_posting};
use crate::meta::read_counter;
use crate::picture::Picture;
use crate::search::ids::IdRef;
use crate::search::postings::{Postings, Stretch};
use crate::tenants::Scope;

/// What an access may see in a picture.
pub(crate) struct StoredPostings<'a> {
    scope: Scope<'a>,
    picture: &'a Picture,
}

impl<'a> StoredPostings<'a> {
    /// What the access of the scope may see.
    pub(crate) fn new(scope: Scope<'a>, picture: &'a Picture) -> Self {
        Self { scope, picture }
    }

    fn range(&self, stretch: Stretch<'_>) -> Result<Scan> {
        let range = PostingRange::new(&self.scope, stretch.resource_type, stretch.parameter)?;
        let from = range.at(stretch.from, &[]);
        let to = match stretch.to {
            Some(to) => range.at(to, &[]),
            None => range.all().end,
        };
        // A stretch without room, its end ahead of its start, must not reach the database.
        let to = to.max(from.clone());
        Ok(self.picture.snapshot.range(Space::Postings, from..to))
    }
}

impl Postings for StoredPostings<'_> {
    fn tenant(&self) -> u32 {
        self.scope.tenant().0
    }

    fn sequence(&self) -> u64 {
        self.picture.sequence
    }

    fn allows(&self, resource_type: ResourceType) -> bool {
        self.scope.access().allows(resource_type)
    }

    fn scan(&self, stretch: Stretch<'_>, visit: &mut dyn FnMut(&[u8], IdRef<'_>) -> ControlFlow<()>) -> Result<()> {
        for item in self.range(stretch)? {
            let (key, value) = item?;
            let (value, id) = split_posting(&key, &value).ok_or_else(damaged_posting)?;
            if visit(value, IdRef::read(id).ok_or_else(damaged_posting)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn greatest_value(&self, stretch: Stretch<'_>) -> Result<Option<Vec<u8>>> {
        let Some(item) = self.range(stretch)?.next_back() else { return Ok(None) };
        let (key, value) = item?;
        let (value, _) = split_posting(&key, &value).ok_or_else(damaged_posting)?;
        Ok(Some(value.to_vec()))
    }

    fn entries(&self, resource_type: ResourceType, id: IdRef<'_>) -> Result<Option<Forward>> {
        let slot = ResourceSlot::new(&self.scope, resource_type, &id.to_ordered())?;
        Ok(self.picture.snapshot.get(Space::Forward, slot.as_bytes())?.map(Forward::read))
    }

    fn ids(
        &self,
        resource_type: ResourceType,
        after: Option<IdRef<'_>>,
        visit: &mut dyn FnMut(IdRef<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let after = after.map(IdRef::to_ordered);
        let range = TypeRange::new(&self.scope, resource_type)?.after(after.as_ref());
        for item in self.picture.snapshot.range(Space::Forward, range) {
            let (key, _) = item?;
            let id = IdRef::read(TypeRange::id(&key)).ok_or_else(|| StorageError::Damaged("a key of a forward list has no id".into()))?;
            if visit(id).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn count(&self, resource_type: ResourceType) -> Result<u64> {
        read_counter(&self.picture.snapshot, &CounterKey::new(&self.scope, resource_type)?)
    }
}

fn damaged_posting() -> StorageError {
    StorageError::Damaged("a posting's key cannot be split into value and id".into())
}
