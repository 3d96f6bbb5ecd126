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
            let mut skipped = true;
            for _ in 0..ROUNDS_MAX {
                let body = Body::json(&body);
                let answer = self.client().send(Request { operation: "purge", method: Method::Post, path: &path, body }).await?;
                let round = Round::read(&answer.read()?)?;
                removed += round.deleted;
                skipped = round.skipped > 0;
                if !skipped {
                    break;
                }
            }
            if skipped {
                return Err(unfinished());
            }
        }
        Ok(removed)
    }
}

/// What was changed while it was being removed is skipped, and removed in another round.
const ROUNDS_MAX: usize = 8;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    deleted: u64,
    /// Documents that were changed meanwhile, and are still there.
    skipped: u64,
}

impl Round {
    fn read(answer: &Value) -> Result<Self> {
        if answer["failures"].as_array().is_none_or(|failures| !failures.is_empty()) || answer["timed_out"] != json!(false) {
            return Err(unfinished());
        }
        let count = |name: &str| answer[name].as_u64().ok_or_else(unfinished);
        Ok(Self { deleted: count("deleted")?, skipped: count("version_conflicts")? })
    }
}

fn unfinished() -> StorageError {
    StorageError::Unavailable("not everything could be removed from the index".into())
}

#[async_trait]
impl PurgeTenant for OpenSearch {
    async fn purge(&self, access: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        Ok(vec![("documents", self.purge_tenant(access).await?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_not_taken_for_gone() {
        let answer =
            |failures: Value, timed_out: bool| json!({"timed_out": timed_out, "deleted": 3, "version_conflicts": 2, "failures": failures});
        assert_eq!(Round::read(&answer(json!([]), false)), Ok(Round { deleted: 3, skipped: 2 }));
        for unfinished in [answer(json!([{"index": "x"}]), false), answer(json!([]), true), json!({"timed_out": false, "failures": []})] {
            assert!(Round::read(&unfinished).is_err(), "{unfinished}");
        }
    }
}
