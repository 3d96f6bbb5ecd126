//! The indexer and what rests on it, in a world in memory.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_storage::conformance::{Random, delete, key, observation, put, search};
use fhirpool_storage::{Change, Commit, Content, FeedChange, Freshness, ResourceStore, SearchIndex, SearchRequest, ShardId};
use tokio::time::Instant;

use crate::testing::{Ends, Faults, World};
use crate::{RebuildPorts, RedrivePorts, Redriven, read_watermark, rebuild, redrive};

mod searching;
mod streaming;

mod in_memory {
    fhirpool_storage::store_conformance!(crate::testing::make);
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn access(name: &str) -> WriteAccess {
    WriteAccess::authorize(&Principal::operator(tenant(name)), &tenant(name)).unwrap()
}

async fn commit(store: &dyn ResourceStore, access: &WriteAccess, changes: Vec<Change>) {
    store.commit(access, Commit { changes, assumptions: Vec::new() }).await.unwrap();
}

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ids that a search finds.
async fn ids(index: &dyn SearchIndex, access: &ReadAccess, query: &str) -> Vec<String> {
    let page = index.search(access, &search(query)).await.unwrap();
    assert!(page.caught_up);
    page.hits.iter().map(|hit| hit.key.id.to_string()).collect()
}
