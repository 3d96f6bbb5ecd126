//! What one record of the stream tells.

use aws_sdk_dynamodbstreams::types::{OperationType, Record};
use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{FeedChange, FeedPosition, FeedRecord, FeedVersion, Result, StorageError};

use super::{image, versions};
use crate::item::{Item, Manifest, Outcome, Standing, TransactionId, VersionItem, text};
use crate::keys::{self, MANIFEST_PREFIX, PARTITION, ParsedPartition, RECORD, SORT};
use crate::store::Core;

/// A record that was looked at.
pub(super) struct Told {
    pub(super) position: FeedPosition,
    /// When it was written, and what; `None`: nothing of interest.
    change: Option<(i64, FeedChange)>,
}

impl Told {
    pub(super) fn versions(&self) -> usize {
        match &self.change {
            Some((_, FeedChange::Committed { versions, .. })) => versions.len(),
            _ => 0,
        }
    }

    pub(super) fn into_record(self) -> Option<FeedRecord> {
        let Self { position, change } = self;
        change.map(|(written_at, change)| FeedRecord { position, written_at, change })
    }
}

/// Looks at a record. What it holds that cannot be read is told as such.
///
/// # Errors
/// What stands in the table cannot be read now.
pub(super) async fn tell(core: &Core, record: &Record) -> Result<Told> {
    let Some(data) = &record.dynamodb else { return Err(without("content")) };
    let position = FeedPosition(data.sequence_number.clone().ok_or_else(|| without("a sequence number"))?);
    // What is removed is garbage: what an aborted transaction left, or what expired.
    let (Some(new_image), Some(OperationType::Insert | OperationType::Modify)) = (&data.new_image, &record.event_name) else {
        return Ok(Told { position, change: None });
    };
    let item = image::item(new_image).unwrap_or_default();
    let change = match change(core, &item).await {
        Err(StorageError::Damaged(cause)) => Some((0, unreadable(&item, cause))),
        // The tenant is closed: it is being removed, or its keys are gone.
        Err(StorageError::UnknownTenant) => {
            metrics::counter!("fhirpool_dropped_changes_total").increment(1);
            None
        }
        change => change?,
    };
    Ok(Told { position, change })
}

fn without(what: &str) -> StorageError {
    StorageError::Unavailable(format!("a record of the stream comes without {what}"))
}

fn unreadable(item: &Item, cause: String) -> FeedChange {
    let partition = text(item, PARTITION).unwrap_or_default();
    let tenant = keys::parse(partition).map(|partition| match partition {
        ParsedPartition::Resource(tenant, _) | ParsedPartition::Transaction(tenant, _) | ParsedPartition::Other(tenant) => tenant,
    });
    FeedChange::Unreadable { tenant, record: format!("{partition} {}", text(item, SORT).unwrap_or_default()), cause }
}

async fn change(core: &Core, item: &Item) -> Result<Option<(i64, FeedChange)>> {
    match keys::parse(text(item, PARTITION)?) {
        Some(ParsedPartition::Resource(tenant, key)) => {
            core.refuse_closed(&tenant).await?;
            version(core, &tenant, key, item).await
        }
        Some(ParsedPartition::Transaction(tenant, transaction)) => {
            // Also because what its record names may be removed already, which would else look like damage.
            core.refuse_closed(&tenant).await?;
            self::transaction(core, &tenant, transaction, item).await
        }
        Some(ParsedPartition::Other(_)) => Ok(None),
        None => Err(StorageError::Damaged("the key is none of ours".into())),
    }
}

async fn version(core: &Core, tenant: &TenantId, key: ResourceKey, item: &Item) -> Result<Option<(i64, FeedChange)>> {
    let item = VersionItem::read(item.clone())?;
    let Standing::Alone { at, .. } = item.standing else { return Ok(None) };
    let access = operator(tenant)?;
    let stored = core.bodies.open(access.as_read(), &key, &item).await?;
    Ok(Some((at, FeedChange::Committed { access, versions: vec![FeedVersion { key, stored }], transaction: None })))
}

async fn transaction(core: &Core, tenant: &TenantId, transaction: TransactionId, item: &Item) -> Result<Option<(i64, FeedChange)>> {
    let access = operator(tenant)?;
    let sort = text(item, SORT)?;
    if sort.strip_prefix(MANIFEST_PREFIX).is_some() {
        // One of its parts is enough.
        let deadline = (sort == keys::manifest_part(0)).then(|| Manifest::deadline_of(item)).transpose()?;
        return Ok(deadline.map(|deadline| (0, FeedChange::Begun { access, transaction: transaction.to_string(), deadline })));
    }
    if sort != RECORD {
        return Err(StorageError::Damaged("the sort key is none of a transaction's".into()));
    }
    let Outcome::Committed { at, .. } = Outcome::read(item)? else { return Ok(None) };
    let manifest = core.transactions.manifest(&access, transaction).await?;
    let manifest = manifest.ok_or_else(|| StorageError::Damaged("a committed transaction has no manifest".into()))?;
    if manifest.entries.is_empty() {
        return Ok(None);
    }
    let versions = versions::of_transaction(core, &access, transaction, manifest.entries).await?;
    Ok(Some((at, FeedChange::Committed { access, versions, transaction: Some(transaction.to_string()) })))
}

fn operator(tenant: &TenantId) -> Result<WriteAccess> {
    WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)
}
