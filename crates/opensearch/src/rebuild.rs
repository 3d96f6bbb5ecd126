//! A new index beside the one that answers.
//!
//! A node writes to all indices there are, and looks for new ones at least every
//! [`targets_kept`](crate::OpenSearchSettings::targets_kept). What a node is still writing to the old one alone when that time
//! is over was committed before, so who fills the new index from the store afterwards finds it there.

use async_trait::async_trait;
use fhirpool_authz::WriteAccess;
use fhirpool_storage::{IndexDocument, IndexOutcome, IndexRebuild, Result, StorageError};
use opensearch::http::Method;
use serde_json::{Value, json};

use crate::OpenSearch;
use crate::client::{Body, Request};
use crate::fields::{GONE, TENANT};
use crate::names::routing;
use crate::targets::Index;

fn not_begun() -> StorageError {
    StorageError::Unavailable("no rebuild of the index was begun".into())
}

#[async_trait]
impl IndexRebuild for OpenSearch {
    async fn begin(&self) -> Result<()> {
        self.abort().await?;
        let (old, _) = self.old_and_new().await?;
        self.create(old.number + 1, false).await?.expect_success()?;
        tokio::time::sleep(self.settings().targets_kept).await;
        self.targets_anew().await?;
        Ok(())
    }

    async fn backfill(&self, documents: &[IndexDocument]) -> Result<Vec<IndexOutcome>> {
        let new = self.targets().await?.iter().rfind(|index| !index.answers).cloned().ok_or_else(not_begun)?;
        self.write_to(&[new], documents).await?.ok_or_else(not_begun)
    }

    async fn counts(&self, access: &WriteAccess) -> Result<(u64, u64)> {
        let (old, new) = self.old_and_new().await?;
        let new = new.ok_or_else(not_begun)?;
        if !self.refresh_all(&[old.clone(), new.clone()]).await? {
            return Err(not_begun());
        }
        Ok((self.count(access, &old).await?, self.count(access, &new).await?))
    }

    async fn swap(&self) -> Result<()> {
        let (old, new) = self.old_and_new().await?;
        let new = new.ok_or_else(not_begun)?;
        if !self.refresh_all(std::slice::from_ref(&new)).await? {
            return Err(not_begun());
        }
        let actions = json!({"actions": [
            {"add": {"index": new.name, "alias": self.settings().alias}},
            {"remove_index": {"index": old.name}},
        ]});
        let body = Body::json(&actions);
        let answer = self.client().send(Request { operation: "swap", method: Method::Post, path: "/_aliases", body }).await?;
        // A second try finds it done.
        if answer.is_gone() && self.indices().await?.iter().any(|index| index.answers && index.number == new.number) {
            return Ok(());
        }
        answer.expect_success()?;
        self.targets_anew().await?;
        Ok(())
    }

    async fn abort(&self) -> Result<()> {
        for index in self.indices().await?.iter().filter(|index| !index.answers) {
            self.remove_index(&index.name).await?;
        }
        self.targets_anew().await?;
        Ok(())
    }
}

impl OpenSearch {
    /// The index that answers, and the one that is built.
    async fn old_and_new(&self) -> Result<(Index, Option<Index>)> {
        let indices = self.targets_anew().await?;
        let old = indices.iter().find(|index| index.answers).cloned().ok_or_else(not_begun)?;
        let new = indices.iter().rfind(|index| !index.answers).cloned();
        Ok((old, new))
    }

    async fn count(&self, access: &WriteAccess, index: &Index) -> Result<u64> {
        let tenant = routing(access.as_read());
        let body = json!({"query": {"bool": {"filter": [{"term": {TENANT: tenant}}], "must_not": [{"range": {GONE: {"gte": i64::MIN}}}]}}});
        let path = format!("/{}/_count?routing={tenant}", index.name);
        let answer = self.client().send(Request { operation: "count", method: Method::Post, path: &path, body: Body::json(&body) }).await?;
        let answer: Value = answer.read()?;
        if answer["_shards"]["failed"] != json!(0) {
            return Err(StorageError::Unavailable("a part of the index did not answer".into()));
        }
        answer["count"].as_u64().ok_or_else(|| StorageError::Unavailable("the index answered something unknown".into()))
    }
}
