//! Telling the index of committed versions.

use std::ops::Range;

use async_trait::async_trait;
use fhirpool_storage::{IndexDocument, IndexOutcome, IndexWriter, Result, StorageError};
use opensearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::OpenSearch;
use crate::client::{Body, ErrorKind, Request};
use crate::document::Placed;
use crate::targets::Index;

/// What became of a document in one index.
enum Outcome {
    Done(IndexOutcome),
    /// The cluster has no room for it now.
    Later,
    /// The index to write to is not there any more.
    Gone,
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    index: BulkResult,
}

#[derive(Deserialize)]
struct BulkResult {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl BulkResult {
    fn outcome(&self) -> Outcome {
        match self.status {
            // A conflict: the index holds this version or a later one.
            200 | 201 | 409 => Outcome::Done(IndexOutcome::Applied),
            404 => Outcome::Gone,
            429 | 500.. => Outcome::Later,
            status => {
                Outcome::Done(IndexOutcome::Refused(format!("the index refused it with {status} ({})", ErrorKind::of_error(&self.error))))
            }
        }
    }
}

#[async_trait]
impl IndexWriter for OpenSearch {
    async fn apply(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>> {
        let targets = self.targets().await?;
        match self.write_to(&targets, documents).await? {
            Some(outcomes) => Ok(outcomes),
            // An index was swapped for another: what there is now holds everything, or is to get it.
            None => match self.write_to(&self.targets_anew().await?, documents).await? {
                Some(outcomes) => Ok(outcomes),
                None => Err(StorageError::Unavailable("the index to write to is not there".into())),
            },
        }
    }

    async fn refresh(&self) -> Result<()> {
        let targets = self.targets().await?;
        if self.refresh_all(&targets).await? {
            return Ok(());
        }
        match self.refresh_all(&self.targets_anew().await?).await? {
            true => Ok(()),
            false => Err(StorageError::Unavailable("the index to refresh is not there".into())),
        }
    }
}

impl OpenSearch {
    /// `false`: one of them is not there any more.
    pub(crate) async fn refresh_all(&self, indices: &[Index]) -> Result<bool> {
        for index in indices {
            let path = format!("/{}/_refresh", index.name);
            let answer = self.client().send(Request { operation: "refresh", method: Method::Post, path: &path, body: Body::None }).await?;
            if answer.is_gone() {
                return Ok(false);
            }
            let answer: Value = answer.read()?;
            if answer["_shards"]["failed"].as_u64() != Some(0) {
                return Err(StorageError::Unavailable("not all of the index could be refreshed".into()));
            }
        }
        Ok(true)
    }

    /// Writes documents to all of these indices; `None`: one of them is not there any more.
    pub(crate) async fn write_to(&self, indices: &[Index], documents: &[IndexDocument]) -> Result<Option<Vec<IndexOutcome>>> {
        let placed = documents.iter().map(|document| Placed::new(document, self.fields())).collect::<Result<Vec<_>>>()?;
        let mut outcomes = vec![IndexOutcome::Applied; placed.len()];
        for index in indices {
            for range in self.bulks(&placed) {
                let Some(of_index) = self.write_bulk(index, &placed[range.clone()]).await? else { return Ok(None) };
                for (kept, outcome) in outcomes[range].iter_mut().zip(of_index) {
                    if let IndexOutcome::Refused(_) = outcome {
                        *kept = outcome;
                    }
                }
            }
        }
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, IndexOutcome::Refused(_))).count();
        metrics::counter!("fhirpool_opensearch_documents_total", "outcome" => "applied").increment((outcomes.len() - refused) as u64);
        metrics::counter!("fhirpool_opensearch_documents_total", "outcome" => "refused").increment(refused as u64);
        Ok(Some(outcomes))
    }

    /// Parts that each fit into one request.
    fn bulks(&self, placed: &[Placed]) -> Vec<Range<usize>> {
        let mut bulks: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        for (index, document) in placed.iter().enumerate() {
            bytes += document.source.len();
            match bulks.last_mut() {
                Some(bulk) if bytes <= self.settings().bulk_bytes_max && bulk.len() < self.settings().bulk_documents_max => {
                    bulk.end = index + 1;
                }
                _ => {
                    bulks.push(index..index + 1);
                    bytes = document.source.len();
                }
            }
        }
        bulks
    }

    async fn write_bulk(&self, index: &Index, placed: &[Placed]) -> Result<Option<Vec<IndexOutcome>>> {
        let mut outcomes: Vec<Option<IndexOutcome>> = vec![None; placed.len()];
        let mut open: Vec<usize> = (0..placed.len()).collect();
        let mut tried = 0;
        loop {
            tried += 1;
            let results = self.send_bulk(index, open.iter().map(|at| &placed[*at])).await?;
            if results.len() != open.len() {
                return Err(StorageError::Unavailable("the index did not answer for every document".into()));
            }
            let mut later = Vec::new();
            for (at, result) in open.into_iter().zip(&results) {
                match result.outcome() {
                    Outcome::Done(outcome) => outcomes[at] = Some(outcome),
                    Outcome::Later => later.push(at),
                    Outcome::Gone => return Ok(None),
                }
            }
            open = later;
            if open.is_empty() {
                return Ok(Some(outcomes.into_iter().flatten().collect()));
            }
            if tried >= self.settings().tries_max || !self.client().may_retry() {
                return Err(StorageError::Unavailable("the index is overloaded".into()));
            }
            self.client().pause(tried).await;
        }
    }

    async fn send_bulk<'p>(&self, index: &Index, placed: impl Iterator<Item = &'p Placed>) -> Result<Vec<BulkResult>> {
        let mut lines = Vec::new();
        for document in placed {
            let action = json!({"index": {
                "_id": document.id,
                "routing": document.routing,
                "version": document.version,
                "version_type": "external",
            }});
            lines.extend_from_slice(action.to_string().as_bytes());
            lines.push(b'\n');
            lines.extend_from_slice(&document.source);
            lines.push(b'\n');
        }
        let path = format!("/{}/_bulk?require_alias=true&_source=false", index.write_alias());
        let body = Body::Lines(lines.into());
        let answer = self.client().send(Request { operation: "bulk", method: Method::Post, path: &path, body }).await?;
        let answer: BulkAnswer = answer.read()?;
        Ok(answer.items.into_iter().map(|item| item.index).collect())
    }
}
