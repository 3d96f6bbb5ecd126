//! The versions of a committed transaction.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use fhirpool_authz::WriteAccess;
use fhirpool_storage::{FeedVersion, Result, StorageError};

use crate::client::{Consistency, Table, unexpected};
use crate::concurrent::each;
use crate::cost::{Operation, item_bytes};
use crate::item::{Item, ManifestEntry, TransactionId, VersionItem, key, text};
use crate::keys::{self, PARTITION, Partition, PartitionKey, SORT};
use crate::store::Core;

const FEED: Operation = Operation("feed_transaction");

/// As many items as one request may ask for.
const BATCH_MAX: usize = 100;
const BATCHES_AT_ONCE: usize = 4;
/// How often the service may leave something of a batch undone.
const ROUNDS_MAX: u32 = 10;
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// All of them, in the manifest's order.
///
/// A version that bears the transaction's mark is final, for the transaction is. So an eventual read is tried first, and what it
/// does not show, or shows as another's, is read strongly.
pub(super) async fn of_transaction(
    core: &Core,
    access: &WriteAccess,
    transaction: TransactionId,
    entries: Vec<ManifestEntry>,
) -> Result<Vec<FeedVersion>> {
    let batches = each(BATCHES_AT_ONCE, entries.chunks(BATCH_MAX), |batch| Box::pin(read(core, access, transaction, batch))).await?;
    Ok(batches.into_iter().flatten().collect())
}

async fn read(core: &Core, access: &WriteAccess, transaction: TransactionId, batch: &[ManifestEntry]) -> Result<Vec<FeedVersion>> {
    let mut found: Vec<Option<VersionItem>> = vec![None; batch.len()];
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        let missing: Vec<usize> = (0..batch.len()).filter(|index| found[*index].is_none()).collect();
        if missing.is_empty() {
            break;
        }
        let keys = missing.iter().map(|index| version_key(access, &batch[*index])).collect::<Result<Vec<Item>>>()?;
        let mut items = get(core, keys.clone(), consistency).await?;
        for (index, key) in missing.into_iter().zip(&keys) {
            let item = items.remove(&name(key)?).map(VersionItem::read).transpose()?;
            found[index] = item.filter(|item| item.transaction() == Some(transaction));
        }
    }
    let mut versions = Vec::with_capacity(batch.len());
    for (entry, item) in batch.iter().zip(found) {
        let item = item.ok_or_else(|| StorageError::Damaged("a version of a committed transaction is missing".into()))?;
        let stored = core.bodies.open(access.as_read(), &entry.key, &item).await?;
        versions.push(FeedVersion { key: entry.key.clone(), stored });
    }
    Ok(versions)
}

fn version_key(access: &WriteAccess, entry: &ManifestEntry) -> Result<Item> {
    let partition = PartitionKey::new(access, Partition::Resource(&entry.key))?;
    Ok(key(&partition, keys::version(entry.version)))
}

fn name(item: &Item) -> Result<(String, String)> {
    Ok((text(item, PARTITION)?.to_owned(), text(item, SORT)?.to_owned()))
}

/// The items that are there, by their keys.
async fn get(core: &Core, keys: Vec<Item>, consistency: Consistency) -> Result<HashMap<(String, String), Item>> {
    let table = core.client.table(Table::Data);
    let mut items = HashMap::with_capacity(keys.len());
    let mut wanted = keys;
    for round in 0..ROUNDS_MAX {
        let asked = KeysAndAttributes::builder().set_keys(Some(wanted.clone())).consistent_read(consistency == Consistency::Strong);
        let asked = asked.build().expect("the keys are given");
        let send = || core.client.sdk().batch_get_item().request_items(table, asked.clone()).send();
        let answer = core.client.retry().send("BatchGetItem", send).await?.map_err(|error| unexpected("BatchGetItem", &error))?;
        let undone = answer.unprocessed_keys.and_then(|mut tables| tables.remove(table)).map(|undone| undone.keys).unwrap_or_default();
        let mut given = 0;
        for item in answer.responses.and_then(|mut tables| tables.remove(table)).unwrap_or_default() {
            core.client.count_read(FEED, consistency, item_bytes(&item));
            given += 1;
            items.insert(name(&item)?, item);
        }
        // What is not there is paid for as well.
        (0..wanted.len().saturating_sub(given + undone.len())).for_each(|_| core.client.count_read(FEED, consistency, 0));
        if undone.is_empty() {
            return Ok(items);
        }
        wanted = undone;
        tokio::time::sleep(ROUND_PAUSE * (round + 1)).await;
    }
    Err(StorageError::Unavailable("dynamodb BatchGetItem: it is left undone again and again".into()))
}
