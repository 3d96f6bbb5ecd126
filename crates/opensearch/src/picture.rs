//! What one answer is of: a single request sees one state of the tenant's shard; where it takes several requests, they are all
//! of one point in time.

use fhirpool_authz::ReadAccess;
use fhirpool_storage::StorageError;
use opensearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::OpenSearch;
use crate::client::{Body, Request};
use crate::names::routing;

/// How long the cluster keeps a point in time between two requests.
const KEPT: &str = "1m";

/// A state of the tenant's shard.
pub(crate) struct Picture<'a> {
    index: &'a OpenSearch,
    access: &'a ReadAccess,
    /// The point in time, which each answer may name anew; `None`: whatever there is.
    point: Mutex<Option<String>>,
}

/// What a picture was asked for and cannot tell.
pub(crate) enum Lost {
    /// The index it is of was swapped for another: to be begun again.
    Gone,
    /// Anything else.
    Failed(StorageError),
}

impl From<StorageError> for Lost {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

/// Shorthand.
pub(crate) type Seen<T> = std::result::Result<T, Lost>;

/// An answer to a search.
#[derive(Deserialize)]
pub(crate) struct Found {
    #[serde(default)]
    pit_id: Option<String>,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    pub(crate) hits: Hits,
    #[serde(default)]
    pub(crate) aggregations: Value,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
pub(crate) struct Hits {
    #[serde(default)]
    pub(crate) total: Option<Total>,
    pub(crate) hits: Vec<Hit>,
}

#[derive(Deserialize)]
pub(crate) struct Total {
    pub(crate) value: u64,
    pub(crate) relation: String,
}

#[derive(Deserialize)]
pub(crate) struct Hit {
    #[serde(rename = "_version", default)]
    pub(crate) version: u64,
    pub(crate) sort: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Opened {
    pit_id: String,
}

impl<'a> Picture<'a> {
    /// Good for one request.
    pub(crate) fn new(index: &'a OpenSearch, access: &'a ReadAccess) -> Self {
        Self { index, access, point: Mutex::new(None) }
    }

    /// Makes all further requests be of the present moment.
    pub(crate) async fn hold(&self) -> Seen<()> {
        let mut point = self.point.lock().await;
        if point.is_some() {
            return Ok(());
        }
        let (alias, routing) = (&self.index.settings().alias, routing(self.access));
        let path = format!("/{alias}/_search/point_in_time?keep_alive={KEPT}&routing={routing}&allow_partial_pit_creation=false");
        let answer = self.index.client().send(Request { operation: "hold", method: Method::Post, path: &path, body: Body::None }).await?;
        if answer.is_gone() {
            return Err(Lost::Gone);
        }
        *point = Some(answer.read::<Opened>()?.pit_id);
        Ok(())
    }

    /// Asks.
    pub(crate) async fn search(&self, operation: &'static str, mut body: Value) -> Seen<Found> {
        let point = self.point.lock().await.clone();
        let limits = format!(
            "allow_partial_search_results=false&cancel_after_time_interval={}ms",
            self.index.settings().search_time_max.as_millis()
        );
        let path = match &point {
            Some(point) => {
                body["pit"] = json!({"id": point, "keep_alive": KEPT});
                format!("/_search?{limits}")
            }
            None => format!("/{}/_search?routing={}&{limits}", self.index.settings().alias, routing(self.access)),
        };
        let body = Body::json(&body);
        let answer = self.index.client().send(Request { operation, method: Method::Post, path: &path, body }).await?;
        if answer.is_gone() {
            return Err(Lost::Gone);
        }
        let found: Found = answer.read()?;
        if found.timed_out {
            return Err(StorageError::TooCostly("the search took too long").into());
        }
        if found.shards.failed > 0 {
            return Err(StorageError::Unavailable("a part of the index did not answer".into()).into());
        }
        if let (Some(_), Some(anew)) = (point, &found.pit_id) {
            *self.point.lock().await = Some(anew.clone());
        }
        Ok(found)
    }

    /// Lets the cluster forget the point in time, which it does by itself after a while.
    pub(crate) async fn release(self) {
        let Some(point) = self.point.into_inner() else { return };
        let body = Body::json(&json!({"pit_id": [point]}));
        let request = Request { operation: "release", method: Method::Delete, path: "/_search/point_in_time", body };
        if let Err(error) = self.index.client().send(request).await {
            tracing::debug!(%error, "a point in time was not released");
        }
    }
}
