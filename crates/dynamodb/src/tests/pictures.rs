//! What a view takes for what.

use fhirpool_storage::CommitOutcome;
use fhirpool_storage::conformance::{key, put};
use futures_util::FutureExt;

use super::*;
use crate::Step;
use crate::testing::{Tables, read_access, tenant, write_access};

/// Another node of the same deployment.
fn node(tables: &Tables, folder: &Path, settings: StoreSettings) -> DynamoStore {
    store(tables.client.clone(), vec![tenant("a")], folder, settings)
}

fn both(label: &str) -> Commit {
    let changes = ["Basic/1", "Basic/2"].map(|name| put(name, &format!("\"language\":\"{label}\"")));
    Commit { changes: changes.into(), assumptions: Vec::new() }
}

#[tokio::test]
async fn what_an_aborted_transaction_left_is_not_taken_for_the_one_that_replaced_it() {
    let (tables, folder) = (Tables::new().await, tempfile::tempdir().unwrap());
    // Deadlines pass soon; whatever happens may have happened while the view was read.
    let settings = || StoreSettings {
        transaction_ms: 1_000,
        transaction_entry_ms: 0,
        wait_ms_max: 20_000,
        clock_margin_ms: 600_000,
        ..StoreSettings::default()
    };
    let stuck = node(&tables, folder.path(), settings());
    let (staged, mut is_staged) = tokio::sync::mpsc::unbounded_channel();
    stuck.inject(Arc::new(move |step| match step {
        Step::BeforeRecord => {
            staged.send(()).unwrap();
            std::future::pending().boxed()
        }
        _ => std::future::ready(()).boxed(),
    }));
    let commit = tokio::spawn(async move { stuck.commit(&write_access("a"), both("never")).await });
    is_staged.recv().await.unwrap();
    commit.abort();

    let reader = node(&tables, folder.path(), settings());
    let view = reader.view(&read_access("a")).await.unwrap();
    assert_eq!(reader.read_many(&read_access("a"), &view, &[key("Basic/1")]).await.unwrap(), [None]);
    let writer = node(&tables, folder.path(), settings());
    let outcome = writer.commit(&write_access("a"), both("later")).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    // The first was read in its absence: none of it is seen, however young it is.
    let keys = [key("Basic/2"), key("Basic/1")];
    assert_eq!(reader.read_many(&read_access("a"), &view, &keys).await.unwrap(), [None, None]);
    let view = reader.view(&read_access("a")).await.unwrap();
    assert!(reader.read_many(&read_access("a"), &view, &keys).await.unwrap().iter().all(Option::is_some));
}
