//! The indexer as a function that is handed the stream's events.
//!
//! It applies what a poller applies. What it has no place for: it holds no leases, so there is no watermark, and searches cannot
//! wait for it; it sweeps no transactions. Whoever needs either runs one poller beside it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fhirpool_storage::{ChangeLog, DeadLetters, FeedChange, FeedPosition, FeedRecord, IndexWriter, Result, ShardId};
use serde_json::{Value, json};

use crate::apply::Applier;
use crate::{Extraction, IndexerSettings};

/// Reads a record of an event.
#[async_trait]
pub trait EventDecoder: Send + Sync {
    /// What a record (`Records[n]` of the event) tells; `None`: nothing of interest. What can never be read is
    /// [`FeedChange::Unreadable`], an error is to be tried again.
    async fn decode(&self, record: &Value) -> Result<Option<FeedRecord>>;
}

/// What the function works with.
#[derive(Clone)]
pub struct LambdaPorts {
    /// Reads records.
    pub decoder: Arc<dyn EventDecoder>,
    /// Where changes are logged for histories.
    pub log: Arc<dyn ChangeLog>,
    /// The index.
    pub writer: Arc<dyn IndexWriter>,
    /// Where changes go that cannot be applied.
    pub letters: Arc<dyn DeadLetters>,
    /// Makes index entries.
    pub extraction: Extraction,
}

/// An event that is none of the stream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event has no Records with sequence numbers")]
pub struct NotAStreamEvent;

/// Records are applied so often before they are left to the next invocation.
const TRIES_MAX: usize = 3;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// Handles an event of the stream (`{"Records":[{"dynamodb":{"SequenceNumber":…}}]}`) and answers as Lambda wants partial
/// failures told (`{"batchItemFailures":[{"itemIdentifier":…}]}`): from the named record on everything comes again.
pub async fn handle(event: &Value, ports: &LambdaPorts, settings: &IndexerSettings) -> std::result::Result<Value, NotAStreamEvent> {
    let records = event.get("Records").and_then(Value::as_array).ok_or(NotAStreamEvent)?;
    let numbers = records.iter().map(sequence_number).collect::<Option<Vec<&str>>>().ok_or(NotAStreamEvent)?;
    let Some(first) = records.first() else { return Ok(answer(None)) };
    let (mut changes, mut read, mut failed) = (Vec::new(), None, None);
    for (record, number) in records.iter().zip(&numbers) {
        match ports.decoder.decode(record).await {
            Ok(change) => {
                changes.extend(change);
                read = Some(*number);
            }
            Err(error) => {
                tracing::warn!(%error, "a record cannot be read now");
                failed = Some(*number);
                break;
            }
        }
    }
    let unswept = changes.iter().filter(|record| matches!(record.change, FeedChange::Begun { .. })).count();
    metrics::counter!("fhirpool_begun_transactions_total").increment(unswept as u64);
    let stream = first.get("eventSourceARN").and_then(Value::as_str).unwrap_or_default();
    let shard = ShardId(format!("event-{}", stream.rsplit('/').next().unwrap_or_default()));
    let applier = Applier::new(ports.writer.clone(), ports.log.clone(), ports.letters.clone(), ports.extraction.clone(), settings);
    let Some(read) = read else { return Ok(answer(failed)) };
    let position = FeedPosition(read.to_owned());
    for attempt in 1..=TRIES_MAX {
        match apply(&applier, &shard, &position, &changes).await {
            Ok(()) => return Ok(answer(failed)),
            Err(error) => tracing::warn!(%error, attempt, "the records cannot be applied"),
        }
        tokio::time::sleep(TRY_PAUSE).await;
    }
    Ok(answer(numbers.first().copied()))
}

async fn apply(applier: &Applier, shard: &ShardId, last: &FeedPosition, changes: &[FeedRecord]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    applier.apply(shard, last, changes.to_vec()).await?;
    applier.writer.refresh().await
}

fn sequence_number(record: &Value) -> Option<&str> {
    record.get("dynamodb")?.get("SequenceNumber")?.as_str()
}

fn answer(failed: Option<&str>) -> Value {
    let failures: Vec<Value> = failed.into_iter().map(|number| json!({ "itemIdentifier": number })).collect();
    json!({ "batchItemFailures": failures })
}
