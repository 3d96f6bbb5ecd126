//! Ending what a coordinator left behind.

use fhirpool_authz::WriteAccess;
use fhirpool_storage::Result;

use crate::client::{Condition, Table, Written};
use crate::concurrent::each;
use crate::cost::Operation;
use crate::faults::Step;
use crate::item::{ManifestEntry, Outcome, TRANSACTION, TransactionId, key};
use crate::keys::{self, Partition, PartitionKey};
use crate::store::Core;
use crate::transaction::Undecided;

const REMOVAL: Operation = Operation("orphan_removal");

/// Ends a transaction whose deadline has passed and removes what it left; `true`: there is nothing left to do.
pub(crate) async fn sweep(core: &Core, access: &WriteAccess, transaction: TransactionId) -> Result<bool> {
    let now_us = core.node.now_us();
    let Some(manifest) = core.transactions.manifest(access, transaction).await? else { return Ok(true) };
    match core.transactions.settle(access, Undecided { transaction, deadline: manifest.deadline }, now_us).await? {
        None => return Ok(false),
        Some(Outcome::Committed { .. }) => return Ok(true),
        Some(Outcome::Aborted) => {}
    }
    if manifest.deadline >= now_us {
        // Its coordinator ended it, and may still be about to stage what it has sent.
        return Ok(false);
    }
    remove(core, access, transaction, &manifest.entries).await?;
    metrics::counter!("fhirpool_dynamodb_swept_total").increment(1);
    Ok(true)
}

/// Removes the versions that an aborted transaction staged. One that another write has replaced is left alone.
pub(crate) async fn remove(core: &Core, access: &WriteAccess, transaction: TransactionId, entries: &[ManifestEntry]) -> Result<()> {
    let removals = each(core.settings.concurrency, entries.iter().enumerate(), |(index, entry)| {
        Box::pin(async move {
            core.faults.at(Step::BeforeRemoval).await;
            let partition = PartitionKey::new(access, Partition::Resource(&entry.key))?;
            let key = key(&partition, keys::version(entry.version));
            let condition = Condition::Equals(TRANSACTION, transaction.attribute());
            // Refused: it was never staged, is gone already, or another version is there.
            let _: Written = core.client.delete(REMOVAL, Table::Data, key, &condition).await?;
            if entry.large {
                core.bodies.remove(access, transaction, index).await?;
            }
            Ok(())
        })
    });
    removals.await.map(|_| ())
}
