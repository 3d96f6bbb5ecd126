//! Single versions.

use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::{Result, StorageError};

use crate::client::{Consistency, Query, SortRange};
use crate::cost::Operation;
use crate::item::{Outcome, Standing, VersionItem};
use crate::keys::{self, Access, Partition, PartitionKey};
use crate::store::Core;
use crate::transaction::Undecided;

/// Newest versions.
pub(crate) const READ: Operation = Operation("read");
/// Certain versions.
pub(crate) const VREAD: Operation = Operation("vread");

impl Core {
    /// The newest committed version, read strongly.
    pub(crate) async fn newest(
        &self,
        operation: Operation,
        access: &(impl Access + Sync),
        key: &ResourceKey,
    ) -> Result<Option<VersionItem>> {
        let partition = PartitionKey::new(access, Partition::Resource(key))?;
        match self.top(operation, &partition).await? {
            Some(top) if self.is_committed(access, &top).await? => Ok(Some(top)),
            Some(top) => self.below(operation, &partition, top.version).await,
            None => Ok(None),
        }
    }

    /// The version with the greatest number, committed or not.
    pub(crate) async fn top(&self, operation: Operation, partition: &PartitionKey) -> Result<Option<VersionItem>> {
        let query = Query { descending: true, limit: Some(1), ..Query::data(partition, SortRange::All) };
        self.client.query(operation, query).await?.items.into_iter().next().map(VersionItem::read).transpose()
    }

    /// The version below one. Nothing is staged above what is not committed, so this one is, and final.
    pub(crate) async fn below(&self, operation: Operation, partition: &PartitionKey, version: VersionId) -> Result<Option<VersionItem>> {
        if version.0 <= 1 {
            return Ok(None);
        }
        let below = VersionId(version.0 - 1);
        match self.final_version(operation, partition, below).await? {
            Some(item) => Ok(Some(item)),
            None => Err(StorageError::Damaged("a version is missing".into())),
        }
    }

    /// The item of a version that is final: an eventual read that finds it is as good as a strong one.
    async fn final_version(&self, operation: Operation, partition: &PartitionKey, version: VersionId) -> Result<Option<VersionItem>> {
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            if let Some(item) = self.client.get_data(operation, partition, keys::version(version), consistency).await? {
                return VersionItem::read(item).map(Some);
            }
        }
        Ok(None)
    }

    /// A certain version, if it is committed.
    pub(crate) async fn committed_version(
        &self,
        operation: Operation,
        access: &(impl Access + Sync),
        key: &ResourceKey,
        version: VersionId,
    ) -> Result<Option<VersionItem>> {
        if version.0 == 0 || version > keys::VERSION_MAX {
            return Ok(None);
        }
        let partition = PartitionKey::new(access, Partition::Resource(key))?;
        // What an eventual read shows may have been an intent that another write has replaced since.
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            let item = self.client.get_data(operation, &partition, keys::version(version), consistency).await?;
            if let Some(item) = item.map(VersionItem::read).transpose()?
                && self.is_committed(access, &item).await?
            {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Whether a version counts.
    pub(crate) async fn is_committed(&self, access: &(impl Access + Sync), item: &VersionItem) -> Result<bool> {
        match item.standing {
            Standing::Alone { .. } => Ok(true),
            Standing::Intent { transaction, deadline } => {
                let outcome = self.transactions.outcome(access, Undecided { transaction, deadline }, self.node.now_us()).await?;
                Ok(matches!(outcome, Some(Outcome::Committed { .. })))
            }
        }
    }
}
