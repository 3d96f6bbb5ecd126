//! The log of accesses.
//!
//! | what | pk | sk | attributes |
//! |---|---|---|---|
//! | a block | `T#t#A#yyyymmddhh` | time, chain, number | `b` its bytes |
//! | an hour that is not empty | `T#t#A` | `yyyymmddhh` | |
//!
//! A chain is a process: its number is random, and chosen when the log is made. A sort key begins with the time of the block's
//! earliest record, so that the blocks of several nodes lie by time. An hour is noted ahead of its first block: who reads may find
//! it empty, but never misses one.
//!
//! Deliberately absent: an expiry. Who wants one sets it on copies, by a sink.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{AuditBlock, AuditLog, AuditPage, AuditRange, BlockName, Chain, ChainEnd, Result, StorageError, check_audit};
use quick_cache::sync::Cache;

use crate::change_log::hour_of;
use crate::client::{Client, Condition, Consistency, Query, SortRange, Table, Written};
use crate::cost::Operation;
use crate::item::{Item, key, text};
use crate::keys::{Partition, PartitionKey, SORT};
use crate::tenants::Tenants;

#[cfg(test)]
mod tests;

const APPEND: Operation = Operation("audit_append");
const READ: Operation = Operation("audit_read");

const BYTES: &str = "b";

/// Hours that are remembered as noted.
const HOURS_KEPT: usize = 10_000;
/// Hours looked up at once.
const HOURS_MAX: i32 = 48;

/// Appends to the logs of tenants, and reads them.
pub struct DynamoAuditLog {
    client: Client,
    tenants: Arc<dyn Tenants>,
    chain: u64,
    noted: Cache<String, ()>,
}

impl DynamoAuditLog {
    /// Of the connection's data table, with chains of its own.
    pub fn new(client: Client, tenants: Arc<dyn Tenants>) -> Self {
        Self { client, tenants, chain: rand::random(), noted: Cache::new(HOURS_KEPT) }
    }

    async fn note_hour(&self, access: &WriteAccess, hour: &str) -> Result<()> {
        let partition = PartitionKey::new(access, Partition::AuditHours)?;
        let name = format!("{}#{hour}", partition.as_str());
        if self.noted.get(&name).is_some() {
            return Ok(());
        }
        self.client.put(APPEND, Table::Data, &key(&partition, hour.to_owned()), &Condition::None).await?;
        self.noted.insert(name, ());
        Ok(())
    }

    /// The hours of a range that are not empty, the latest first.
    async fn hours(&self, access: &ReadAccess, from: Timestamp, until: Timestamp) -> Result<Vec<String>> {
        let partition = PartitionKey::new(access, Partition::AuditHours)?;
        let range = SortRange::Between(hour_of(from), hour_of(until));
        let mut query = Query { descending: true, limit: Some(HOURS_MAX), ..Query::data(&partition, range) };
        let mut hours = Vec::new();
        loop {
            let page = self.client.query(READ, query.clone()).await?;
            for item in &page.items {
                hours.push(text(item, SORT)?.to_owned());
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(hours),
            }
        }
    }
}

#[async_trait]
impl AuditLog for DynamoAuditLog {
    async fn chain(&self, access: &WriteAccess) -> Result<Chain> {
        match self.tenants.is_known(access.tenant()).await? {
            true => Ok(Chain { number: self.chain, end: None }),
            false => Err(StorageError::UnknownTenant),
        }
    }

    async fn append(&self, access: &WriteAccess, blocks: &[AuditBlock]) -> Result<()> {
        // Of a tenant that is being deleted nothing may come behind its removal.
        if !self.tenants.is_known(access.tenant()).await? {
            return Err(StorageError::UnknownTenant);
        }
        for block in blocks {
            let hour = hour_of(block.name.time);
            self.note_hour(access, &hour).await?;
            let partition = PartitionKey::new(access, Partition::AuditBlocks(&hour))?;
            let mut item = key(&partition, sort_key(&block.name));
            item.insert(BYTES.into(), AttributeValue::B(Blob::new(block.bytes.clone())));
            let written = self.client.put(APPEND, Table::Data, &item, &Condition::Absent).await?;
            if let Written::Refused(there) = written
                && there.as_ref().and_then(|there| there.get(BYTES)) != item.get(BYTES)
            {
                return Err(damaged("another block has this name"));
            }
        }
        Ok(())
    }

    async fn scan(&self, access: &ReadAccess, range: &AuditRange) -> Result<AuditPage> {
        check_audit(access)?;
        let mut page = AuditPage::default();
        let bound = |time| BlockName { time, chain: 0, sequence: 0 };
        let until = range.before.map_or(bound(range.until), |before| before.min(bound(range.until)));
        if bound(range.from) >= until {
            return Ok(page);
        }
        let (from_key, until_key) = (sort_key(&bound(range.from)), sort_key(&until));
        for hour in self.hours(access, range.from, until.time).await? {
            let partition = PartitionKey::new(access, Partition::AuditBlocks(&hour))?;
            let range_of_hour = SortRange::Between(from_key.clone(), until_key.clone());
            let mut query = Query { descending: true, ..Query::data(&partition, range_of_hour) };
            loop {
                // One more: the bound itself is found too, and whether there are more.
                query.limit = Some(i32::try_from(range.limit - page.blocks.len() + 1).unwrap_or(i32::MAX));
                let found = self.client.query(READ, query.clone()).await?;
                for item in &found.items {
                    let block = read_block(item)?;
                    if block.name >= until {
                        continue;
                    }
                    if page.blocks.len() == range.limit {
                        page.more = true;
                        return Ok(page);
                    }
                    page.blocks.push(block);
                }
                match found.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(page)
    }

    async fn block(&self, access: &ReadAccess, name: &BlockName) -> Result<Option<AuditBlock>> {
        check_audit(access)?;
        let partition = PartitionKey::new(access, Partition::AuditBlocks(&hour_of(name.time)))?;
        let item = self.client.get_data(READ, &partition, sort_key(name), Consistency::Strong).await?;
        item.as_ref().map(read_block).transpose()
    }

    /// None: to note them would cost as much as to append, and a process does not come back to its chain.
    async fn ends(&self, access: &ReadAccess) -> Result<Vec<ChainEnd>> {
        check_audit(access)?;
        Ok(Vec::new())
    }
}

fn sort_key(name: &BlockName) -> String {
    format!("{:015}#{:016x}#{:010}", name.time.0.max(0), name.chain, name.sequence)
}

fn read_sort_key(sort: &str) -> Option<BlockName> {
    let mut pieces = sort.split('#');
    let name = BlockName {
        time: Timestamp(pieces.next()?.parse().ok()?),
        chain: u64::from_str_radix(pieces.next()?, 16).ok()?,
        sequence: pieces.next()?.parse().ok()?,
    };
    (pieces.next().is_none() && sort_key(&name) == sort).then_some(name)
}

fn read_block(item: &Item) -> Result<AuditBlock> {
    let name = read_sort_key(text(item, SORT)?).ok_or_else(|| damaged("sort key"))?;
    match item.get(BYTES) {
        Some(AttributeValue::B(bytes)) => Ok(AuditBlock { name, bytes: bytes.as_ref().to_vec() }),
        _ => Err(damaged("no bytes")),
    }
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("a block of the audit log: {what}"))
}
