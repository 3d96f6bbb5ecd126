//! Forgetting: tombstones that are old enough, and whole tenants.

use async_trait::async_trait;
use fhirpool_authz::WriteAccess;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::tenants::PurgeTenant;
use fhirpool_storage::{Result, StorageError};
use opensearch::http::Method;
use serde_json::{Value, json};

use crate::OpenSearch;
use crate::client::{Body, Request};
use crate::fields;
use crate::names::routing;

impl OpenSearch {
    /// Removes the tenant's tombstones of resources deleted before this; gives their number. What was applied before and comes
    /// again afterwards would be taken for new: no record may be on its way for so long (a day is twice what a stream keeps).
    ///
    /// # Errors
    /// The cluster does not answer; some may be removed.
    pub async fn purge_tombstones(&self, access: &WriteAccess, before: Timestamp) -> Result<u64> {
        self.purge(access, json!({"range": {fields::GONE: {"lt": before.0}}})).await
    }

    /// Removes all that is the tenant's; gives the number of documents.
    ///
    /// # Errors
    /// The cluster does not answer; some may be removed.
    pub async fn purge_tenant(&self, access: &WriteAccess) -> Result<u64> {
        self.purge(access, json!({"match_all": {}})).await
    }

    async fn purge(&self, access: &WriteAccess, what: Value) -> Result<u64> {
        let tenant = routing(access.as_read());
        let body = json!({"query": {"bool": {"filter": [{"term": {fields::TENANT: tenant}}, what]}}});
        let indices = self.targets_anew().await?;
        // What was applied a moment ago is to be found.
        self.refresh_all(&indices).await?;
        let mut removed = 0;
        for index in indices.iter() {
            let path = format!("/{}/_delete_by_query?routing={tenant}&conflicts=proceed&refresh=true", index.name);
            let body = Body::json(&body);
            let answer = self.client().send(Request { operation: "purge", method: Method::Post, path: &path, body }).await?;
            let answer: Value = answer.read()?;
            if answer["failures"].as_array().is_none_or(|failures| !failures.is_empty()) || answer["timed_out"] != json!(false) {
                return Err(StorageError::Unavailable("not everything could be removed from the index".into()));
            }
            removed += answer["deleted"].as_u64().unwrap_or(0);
        }
        Ok(removed)
    }
}

#[async_trait]
impl PurgeTenant for OpenSearch {
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        Ok(vec![("documents", self.purge_tenant(access).await?)])
    }
}
