//! The change feed on DynamoDB Streams.
//!
//! A version without a transaction is told from its image. One with a transaction is never told by itself: the transaction's
//! record is, once it says committed, and brings the versions that its manifest names. The record is written last, so who has
//! followed the stream beyond it has met the whole transaction.
//!
//! Positions are sequence numbers. What the stream no longer holds is gone: reading goes on with the oldest that is there, and
//! the metric `fhirpool_feed_trimmed_total` counts it, for the index then has to be built anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use fhirpool_authz::WriteAccess;
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{ChangeFeed, FeedPage, FeedPosition, Result, Shard, ShardId, StorageError, StoredVersion};
use futures_util::future::BoxFuture;

use crate::client::{Table, unexpected};
use crate::concurrent::each;
use crate::cost::Operation;
use crate::item::TransactionId;
use crate::store::{Core, DynamoStore};
use crate::sweep;

mod event;
mod image;
mod record;
#[cfg(test)]
mod tests;
mod versions;

const NEWEST: Operation = Operation("feed_newest");

/// A page holds no more versions, unless one transaction has more.
const VERSIONS_MAX: usize = 2_000;
/// Records that are told at once; transactions among them are read from the table.
const RECORDS_AT_ONCE: usize = 64;
const TRANSACTIONS_AT_ONCE: usize = 8;

/// Reads the stream of a store's data table.
///
/// It remembers where it reads in each shard, so a process should have one. Two may read a shard at once without harm; the
/// service limits them to about that.
pub struct StreamFeed {
    core: Arc<Core>,
    stream: Mutex<Option<String>>,
    readers: Mutex<HashMap<ShardId, Reader>>,
}

/// A shard that is being read.
struct Reader {
    /// Behind which `records`, and then the iterator, continue.
    position: Option<FeedPosition>,
    /// Fetched, but not told.
    records: VecDeque<Record>,
    /// `None`: the shard ends behind `records`.
    iterator: Option<String>,
    /// Whether the iterator has not been used. What it gives first may be empty though there is more: it stands at a place, not
    /// at a record.
    is_fresh: bool,
}

impl StreamFeed {
    /// Of a store.
    pub fn new(store: &DynamoStore) -> Self {
        Self { core: store.0.clone(), stream: Mutex::default(), readers: Mutex::default() }
    }

    /// The name of the table's stream.
    async fn stream(&self) -> Result<String> {
        if let Some(stream) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(stream);
        }
        let client = &self.core.client;
        let send = || client.sdk().describe_table().table_name(client.table(Table::Data)).send();
        let answer = client.retry().send("DescribeTable", send).await?.map_err(|error| unexpected("DescribeTable", &error))?;
        let stream = answer.table.and_then(|table| table.latest_stream_arn);
        let stream = stream.ok_or_else(|| StorageError::Unavailable("the data table has no stream: run `fhirpool migrate`".into()))?;
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.clone());
        Ok(stream)
    }

    async fn open(&self, shard: &ShardId, position: Option<&FeedPosition>) -> Result<Reader> {
        if let Some(FeedPosition(sequence)) = position {
            match self.iterator(shard, ShardIteratorType::AfterSequenceNumber, Some(sequence)).await? {
                Some(iterator) => return Ok(Reader::at(position, iterator)),
                None => lost(shard),
            }
        }
        match self.iterator(shard, ShardIteratorType::TrimHorizon, None).await? {
            Some(iterator) => Ok(Reader::at(position, iterator)),
            None => Err(StorageError::Unavailable(format!("the shard {} cannot be read from its beginning", shard.0))),
        }
    }

    /// `None`: the place is no longer in the stream.
    async fn iterator(&self, shard: &ShardId, kind: ShardIteratorType, sequence: Option<&str>) -> Result<Option<String>> {
        let stream = self.stream().await?;
        let send = || {
            let request = self.core.client.streams().get_shard_iterator().stream_arn(&stream).shard_id(&shard.0);
            request.shard_iterator_type(kind.clone()).set_sequence_number(sequence.map(str::to_owned)).send()
        };
        match self.core.client.retry().send("GetShardIterator", send).await? {
            Ok(answer) => Ok(answer.shard_iterator),
            Err(GetShardIteratorError::TrimmedDataAccessException(_)) => Ok(None),
            Err(error) => {
                // The table may have another stream by now.
                *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(unexpected("GetShardIterator", &error))
            }
        }
    }

    /// Fetches what comes next; whether there was nothing.
    async fn fetch(&self, shard: &ShardId, reader: &mut Reader) -> Result<bool> {
        let Some(iterator) = reader.iterator.clone() else { return Ok(true) };
        let send = || self.core.client.streams().get_records().shard_iterator(&iterator).send();
        match self.core.client.retry().send("GetRecords", send).await? {
            Ok(answer) => {
                reader.iterator = answer.next_shard_iterator;
                reader.is_fresh = false;
                reader.records = answer.records.unwrap_or_default().into();
                Ok(reader.records.is_empty())
            }
            // An iterator is good for some minutes.
            Err(GetRecordsError::ExpiredIteratorException(_)) => {
                *reader = self.open(shard, reader.position.as_ref()).await?;
                Ok(false)
            }
            Err(GetRecordsError::TrimmedDataAccessException(_)) => {
                // Of a shard that has told nothing yet nothing can be missing: the local engine says so of one that was empty.
                if reader.position.is_some() {
                    lost(shard);
                }
                let position = reader.position.take();
                *reader = self.open(shard, None).await?;
                reader.position = position;
                Ok(false)
            }
            Err(error) => Err(unexpected("GetRecords", &error)),
        }
    }

    /// Tells fetched records until there are enough.
    async fn tell(&self, reader: &mut Reader) -> Result<FeedPage> {
        let mut page = FeedPage::default();
        let mut versions = 0;
        while versions < VERSIONS_MAX && !reader.records.is_empty() {
            let count = reader.records.len().min(RECORDS_AT_ONCE);
            let records: Vec<Record> = reader.records.drain(..count).collect();
            let told = each(TRANSACTIONS_AT_ONCE, records.iter(), |record| Box::pin(record::tell(&self.core, record))).await?;
            for told in told {
                versions += told.versions();
                page.next = Some(told.position.clone());
                page.records.extend(told.into_record());
            }
        }
        if page.next.is_some() {
            reader.position.clone_from(&page.next);
        }
        Ok(page)
    }
}

impl Reader {
    fn at(position: Option<&FeedPosition>, iterator: String) -> Self {
        Self { position: position.cloned(), records: VecDeque::new(), iterator: Some(iterator), is_fresh: true }
    }
}

fn lost(shard: &ShardId) {
    metrics::counter!("fhirpool_feed_trimmed_total").increment(1);
    tracing::error!(
        shard = shard.0,
        "the stream has forgotten changes that were not applied: build the index anew with `fhirpool reindex`"
    );
}

#[async_trait]
impl ChangeFeed for StreamFeed {
    async fn shards(&self) -> Result<Vec<Shard>> {
        let stream = self.stream().await?;
        let client = &self.core.client;
        let mut shards = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let send = || client.streams().describe_stream().stream_arn(&stream).set_exclusive_start_shard_id(after.clone()).send();
            let answer = client.retry().send("DescribeStream", send).await?.map_err(|error| {
                *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = None;
                unexpected("DescribeStream", &error)
            })?;
            let Some(description) = answer.stream_description else { break };
            shards.extend(description.shards.unwrap_or_default().into_iter().filter_map(|shard| {
                Some(Shard {
                    id: ShardId(shard.shard_id?),
                    parent: shard.parent_shard_id.map(ShardId),
                    closed: shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some()),
                })
            }));
            after = description.last_evaluated_shard_id;
            if after.is_none() {
                break;
            }
        }
        // A parent that the stream has forgotten has nothing left to be read first.
        let listed: std::collections::HashSet<ShardId> = shards.iter().map(|shard| shard.id.clone()).collect();
        for shard in &mut shards {
            shard.parent = shard.parent.take().filter(|parent| listed.contains(parent));
        }
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).retain(|shard, _| listed.contains(shard));
        Ok(shards)
    }

    async fn poll(&self, shard: &ShardId, after: Option<&FeedPosition>) -> Result<FeedPage> {
        // Not put back where something fails: the next poll begins at its position.
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(shard);
        let mut reader = match kept.filter(|reader| reader.position.as_ref() == after) {
            Some(reader) => reader,
            None => self.open(shard, after).await?,
        };
        let mut was_empty = false;
        if reader.records.is_empty() {
            let was_fresh = reader.is_fresh;
            was_empty = self.fetch(shard, &mut reader).await?;
            if was_empty && was_fresh {
                was_empty = self.fetch(shard, &mut reader).await?;
            }
        }
        let mut page = self.tell(&mut reader).await?;
        page.ended = reader.iterator.is_none() && reader.records.is_empty();
        page.caught_up = was_empty || page.ended;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.clone(), reader);
        Ok(page)
    }

    async fn sweep(&self, access: &WriteAccess, transaction: &str) -> Result<bool> {
        self.core.refuse_closed(access.tenant()).await?;
        match TransactionId::parse(transaction) {
            Some(transaction) => sweep::sweep(&self.core, access, transaction).await,
            None => Err(StorageError::Damaged("no name of a transaction".into())),
        }
    }

    async fn newest(&self, access: &WriteAccess, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        self.core.refuse_closed(access.tenant()).await?;
        let newest = |key| -> BoxFuture<'_, Result<Option<StoredVersion>>> {
            Box::pin(async move {
                match self.core.newest(NEWEST, access, key).await? {
                    Some(item) => self.core.bodies.open(access.as_read(), key, &item).await.map(Some),
                    None => Ok(None),
                }
            })
        };
        each(self.core.settings.concurrency, keys.iter(), newest).await
    }
}
