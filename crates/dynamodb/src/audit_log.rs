//! The log of accesses.
//!
//! | what | pk | sk | attributes |
//! |---|---|---|---|
//! | a block | `T#t#A#yyyymmddhh` | time, chain, number | `b` its bytes |
//! | an hour that is not empty | `T#t#A` | `yyyymmddhh` | |
//! | where a chain begins whose first blocks have expired | `T#t#A` | `chain#` and its number | `n` number of the last block that has expired, `b` sealed anchor |
//!
//! A chain is a process: its number is random, and chosen when the log is made. A sort key begins with the time of the block's
//! earliest record, so that the blocks of several nodes lie by time. An hour is noted ahead of its first block: who reads may find
//! it empty, but never misses one.
//!
//! Deliberately absent: an expiry by DynamoDB itself, which would not tell what has expired from what was removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::Timestamp;
use fhirpool_fhir::temporal::days_from_civil;
use fhirpool_storage::{
    AUDIT_HOUR_MS, AuditBlock, AuditLog, AuditPage, AuditRange, BlockName, Chain, ChainEnd, ExpiredBlocks, Result, SealedAnchor,
    StorageError, check_audit,
};
use futures_util::future::try_join_all;
use quick_cache::sync::Cache;

use crate::change_log::hour_of;
use crate::client::{Client, Condition, Consistency, Query, SortRange, Table, Written};
use crate::cost::Operation;
use crate::item::{Item, integer, key, number, text};
use crate::keys::{Partition, PartitionKey, SORT};
use crate::tenants::Tenants;

#[cfg(test)]
mod tests;

const APPEND: Operation = Operation("audit_append");
const READ: Operation = Operation("audit_read");

const EXPIRE: Operation = Operation("audit_expire");

const BYTES: &str = "b";
const SEQUENCE: &str = "n";
/// What sort keys of anchors begin with; those of hours are digits.
const ANCHOR_PREFIX: &str = "chain#";
/// Removals under way at once.
const REMOVALS_AT_ONCE: usize = 16;

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

    async fn remove(&self, access: &WriteAccess, name: &BlockName) -> Result<()> {
        let partition = PartitionKey::new(access, Partition::AuditBlocks(&hour_of(name.time)))?;
        self.client.delete(EXPIRE, Table::Data, key(&partition, sort_key(name)), &Condition::None).await.map(drop)
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

    async fn next_hour(&self, access: &ReadAccess, from: Timestamp) -> Result<Option<Timestamp>> {
        check_audit(access)?;
        let partition = PartitionKey::new(access, Partition::AuditHours)?;
        let range = SortRange::Between(hour_of(from), hour_of(Timestamp(i64::MAX)));
        let page = self.client.query(READ, Query { limit: Some(1), ..Query::data(&partition, range) }).await?;
        page.items.first().map(|item| begin_of(text(item, SORT)?).ok_or_else(|| damaged("an hour"))).transpose()
    }

    async fn expire(&self, access: &WriteAccess, expired: &ExpiredBlocks) -> Result<()> {
        let hours = PartitionKey::new(access, Partition::AuditHours)?;
        for anchor in &expired.anchors {
            let mut item = key(&hours, format!("{ANCHOR_PREFIX}{:016x}", anchor.chain));
            item.insert(SEQUENCE.into(), number(anchor.sequence));
            item.insert(BYTES.into(), AttributeValue::B(Blob::new(anchor.bytes.clone())));
            // Where it is refused, a later one is there, or this one by an attempt whose answer was lost.
            let later = Condition::AbsentOrLess(SEQUENCE, number(anchor.sequence));
            self.client.put(EXPIRE, Table::Data, &item, &later).await?;
        }
        for names in expired.blocks.chunks(REMOVALS_AT_ONCE) {
            try_join_all(names.iter().map(|name| self.remove(access, name))).await?;
        }
        let emptied: BTreeSet<String> = expired.blocks.iter().map(|name| hour_of(name.time)).collect();
        for hour in emptied {
            let partition = PartitionKey::new(access, Partition::AuditBlocks(&hour))?;
            let left = self.client.query(EXPIRE, Query { limit: Some(1), ..Query::data(&partition, SortRange::All) }).await?;
            if left.items.is_empty() {
                self.noted.remove(&format!("{}#{hour}", hours.as_str()));
                self.client.delete(EXPIRE, Table::Data, key(&hours, hour), &Condition::None).await?;
            }
        }
        Ok(())
    }

    async fn anchors(&self, access: &ReadAccess) -> Result<Vec<SealedAnchor>> {
        check_audit(access)?;
        let partition = PartitionKey::new(access, Partition::AuditHours)?;
        let mut query = Query::data(&partition, SortRange::Prefix(ANCHOR_PREFIX.to_owned()));
        let mut anchors = Vec::new();
        loop {
            let page = self.client.query(READ, query.clone()).await?;
            for item in &page.items {
                anchors.push(read_anchor(item)?);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(anchors),
            }
        }
    }
}

fn read_anchor(item: &Item) -> Result<SealedAnchor> {
    let chain = text(item, SORT)?.strip_prefix(ANCHOR_PREFIX).and_then(|chain| u64::from_str_radix(chain, 16).ok());
    match (chain, item.get(BYTES)) {
        (Some(chain), Some(AttributeValue::B(bytes))) => {
            Ok(SealedAnchor { chain, sequence: integer(item, SEQUENCE)?, bytes: bytes.as_ref().to_vec() })
        }
        _ => Err(damaged("an anchor")),
    }
}

/// The beginning of an hour (`yyyymmddhh`).
fn begin_of(hour: &str) -> Option<Timestamp> {
    let piece = |from: usize, to: usize| hour.get(from..to)?.parse::<u32>().ok();
    let days = days_from_civil(piece(0, 4)?.into(), piece(4, 6)?, piece(6, 8)?);
    let begin = Timestamp((days * 24 + i64::from(piece(8, 10)?)) * AUDIT_HOUR_MS);
    (hour_of(begin) == hour).then_some(begin)
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
