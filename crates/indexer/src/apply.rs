//! Taking changes to the index, the change log and the dead letters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fhirpool_authz::{TenantId, WriteAccess};
use fhirpool_fhir::ResourceKey;
use fhirpool_storage::{
    ChangeLog, DeadLetter, DeadLetters, FeedChange, FeedPosition, FeedRecord, FeedVersion, IndexOutcome, IndexRebuild, IndexWriter,
    LogEntry, Result, ShardId, StorageError, StoredVersion,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::extraction::bytes_of;
use crate::{Extraction, IndexerSettings};

/// Where changes go.
#[derive(Clone)]
pub(crate) struct Applier {
    pub(crate) writer: Arc<dyn IndexWriter>,
    pub(crate) log: Arc<dyn ChangeLog>,
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) extraction: Extraction,
    pub(crate) documents_max: usize,
    pub(crate) calls_max: usize,
}

/// Which index documents go to.
#[derive(Clone, Copy)]
pub(crate) enum Destination<'a> {
    /// The one that answers.
    Index(&'a dyn IndexWriter),
    /// The one that is built anew.
    Rebuilt(&'a dyn IndexRebuild),
}

/// A version to be indexed.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) access: WriteAccess,
    pub(crate) key: ResourceKey,
    pub(crate) stored: StoredVersion,
}

/// Entries are made of so many bytes at once in the caller's task; of more, on a thread that may take its time.
const INLINE_BYTES_MAX: usize = 32 * 1024;

impl Applier {
    pub(crate) fn new(
        writer: Arc<dyn IndexWriter>,
        log: Arc<dyn ChangeLog>,
        letters: Arc<dyn DeadLetters>,
        extraction: Extraction,
        settings: &IndexerSettings,
    ) -> Self {
        let (documents_max, calls_max) = (settings.documents_max.max(1), settings.calls_max.max(1));
        Self { writer, log, letters, extraction, documents_max, calls_max }
    }

    /// Applies what a shard told, in its order; says how many versions went to the index. An error: some may be applied, and all
    /// must be tried again.
    ///
    /// The log comes ahead of the index, whenever it is tried: records may have waited here while their tenant was deleted, and the
    /// log cannot be written without its keys. What went to the index afterwards would stay there in clear.
    pub(crate) async fn apply(&self, shard: &ShardId, last: &FeedPosition, records: Vec<FeedRecord>) -> Result<usize> {
        let mut tenants: BTreeMap<TenantId, (WriteAccess, Vec<FeedVersion>)> = BTreeMap::new();
        for record in records {
            match record.change {
                FeedChange::Committed { access, versions, .. } => {
                    let (_, all) = tenants.entry(access.tenant().clone()).or_insert_with(|| (access, Vec::new()));
                    all.extend(versions);
                }
                FeedChange::Begun { .. } => {}
                FeedChange::Unreadable { tenant, record, cause } => {
                    self.letters.put(&DeadLetter { tenant, key: None, version: None, record, cause }).await?;
                    metrics::counter!("fhirpool_dead_letters_total", "cause" => "unreadable").increment(1);
                }
            }
        }
        let logged: Vec<_> = tenants.values().map(|(access, versions)| self.log(access, shard, last, versions)).collect();
        let logged: Vec<Option<Vec<Pending>>> = stream::iter(logged).buffer_unordered(self.calls_max).try_collect().await?;
        let newest: Vec<Pending> = logged.into_iter().flatten().flatten().collect();
        let count = newest.len();
        self.index(newest).await?;
        Ok(count)
    }

    /// Takes versions to the index, in no certain order.
    pub(crate) async fn index(&self, versions: Vec<Pending>) -> Result<()> {
        let mut chunks = Vec::new();
        let mut versions = versions.into_iter().peekable();
        while versions.peek().is_some() {
            let chunk: Vec<Pending> = versions.by_ref().take(self.documents_max).collect();
            chunks.push(self.index_chunk(chunk, Destination::Index(&*self.writer)));
        }
        all_of(chunks, self.calls_max).await
    }

    /// Appends a tenant's versions to the log; gives what is to be indexed of them. `None`: the tenant was closed, and what is left
    /// of it in the stream concerns nobody.
    async fn log(
        &self,
        access: &WriteAccess,
        shard: &ShardId,
        last: &FeedPosition,
        versions: &[FeedVersion],
    ) -> Result<Option<Vec<Pending>>> {
        let entries: Vec<LogEntry> = versions.iter().map(log_entry).collect();
        match self.log.append(access, shard, last, &entries).await {
            Ok(()) => Ok(Some(newest(access, versions))),
            Err(StorageError::UnknownTenant) => {
                metrics::counter!("fhirpool_dropped_changes_total").increment(entries.len() as u64);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Extracts and applies some versions; those that cannot be indexed become dead letters.
    pub(crate) async fn index_chunk(&self, chunk: Vec<Pending>, destination: Destination<'_>) -> Result<()> {
        metrics::histogram!("fhirpool_index_batch_size").record(chunk.len() as f64);
        let bytes: usize = chunk.iter().map(|pending| bytes_of(&pending.stored)).sum();
        let extraction = self.extraction.clone();
        let extract = move || {
            let (mut documents, mut letters) = (Vec::with_capacity(chunk.len()), Vec::new());
            for Pending { access, key, stored } in &chunk {
                match extraction.document(access, key, stored) {
                    Ok(document) => documents.push(document),
                    Err(error) => letters.push(letter(access, key, stored.version, error.to_string())),
                }
            }
            (documents, letters)
        };
        let (documents, mut letters) = if bytes <= INLINE_BYTES_MAX {
            extract()
        } else {
            let extracted = tokio::task::spawn_blocking(extract).await;
            extracted.map_err(|error| StorageError::Unavailable(error.to_string()))?
        };
        if !documents.is_empty() {
            let outcomes = match destination {
                Destination::Index(writer) => writer.apply(&documents).await?,
                Destination::Rebuilt(rebuild) => rebuild.backfill(&documents).await?,
            };
            if outcomes.len() != documents.len() {
                return Err(StorageError::Unavailable("the index did not say what became of each document".into()));
            }
            let applied = outcomes.iter().filter(|outcome| **outcome == IndexOutcome::Applied).count();
            metrics::counter!("fhirpool_indexed_total").increment(applied as u64);
            for (document, outcome) in documents.iter().zip(outcomes) {
                if let IndexOutcome::Refused(cause) = outcome {
                    letters.push(letter(&document.access, &document.key, document.version, cause));
                }
            }
        }
        for letter in letters {
            tracing::warn!(record = %letter.record, cause = %letter.cause, "a version cannot be indexed");
            self.letters.put(&letter).await?;
            metrics::counter!("fhirpool_dead_letters_total", "cause" => "refused").increment(1);
        }
        Ok(())
    }
}

/// Waits for all, so many beside each other; an error ends the rest.
pub(crate) async fn all_of<F: Future<Output = Result<()>> + Send>(futures: Vec<F>, at_once: usize) -> Result<()> {
    stream::iter(futures).buffer_unordered(at_once).try_collect().await
}

fn log_entry(version: &FeedVersion) -> LogEntry {
    let FeedVersion { key, stored } = version;
    LogEntry { key: key.clone(), version: stored.version, last_updated: stored.last_updated, method: stored.method }
}

/// The newest of each resource: an index that holds it wants none of the others.
fn newest(access: &WriteAccess, versions: &[FeedVersion]) -> Vec<Pending> {
    let mut newest: HashMap<&ResourceKey, &FeedVersion> = HashMap::with_capacity(versions.len());
    for version in versions {
        let known = newest.entry(&version.key).or_insert(version);
        if known.stored.version < version.stored.version {
            *known = version;
        }
    }
    let pending = |version: &FeedVersion| Pending { access: access.clone(), key: version.key.clone(), stored: version.stored.clone() };
    newest.into_values().map(pending).collect()
}

fn letter(access: &WriteAccess, key: &ResourceKey, version: fhirpool_fhir::VersionId, cause: String) -> DeadLetter {
    DeadLetter {
        tenant: Some(access.tenant().clone()),
        key: Some(key.clone()),
        version: Some(version),
        record: format!("{key}/_history/{version}"),
        cause,
    }
}
