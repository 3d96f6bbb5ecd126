//! Bodies that are too large for an item, and bundles of many entries.

use fhirpool_fhir::VersionId;
use fhirpool_storage::CommitOutcome;
use fhirpool_storage::conformance::{Random, delete, key, on, put, text};

use super::*;
use crate::testing::{Tables, read_access, tenant, write_access};

/// Text that compresses badly.
fn noise(random: &mut Random, length: usize) -> String {
    (0..length)
        .map(|_| {
            char::from(b" !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~"[random.below(92)])
        })
        .collect()
}

fn files(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { files(&path) } else { usize::from(path.metadata().unwrap().len() > 300_000) }).sum()
}

#[tokio::test]
async fn a_body_too_large_for_an_item_is_kept_beside_it_and_goes_with_its_transaction() {
    let mut random = Random::seeded("a_body_too_large_for_an_item_is_kept_beside_it_and_goes_with_its_transaction");
    let tables = Tables::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(tables.client.clone(), vec![tenant("a")], folder.path(), StoreSettings::default());
    let large = put("Basic/1", &format!("\"language\":\"{}\"", noise(&mut random, 700_000)));
    let ChangeContent::Put { body, .. } = large.content.clone() else { panic!("it is a put") };
    let outcome = store.commit(&write_access("a"), Commit { changes: vec![large.clone()], assumptions: Vec::new() }).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    let read = store.read(&read_access("a"), &key("Basic/1")).await.unwrap().unwrap();
    assert!(text(&read) == body.text);
    assert_eq!(files(folder.path()), 1);
    // Another that is refused leaves nothing.
    let taken = on(Precondition::NeverExisted, put("Basic/1", ""));
    let taken = Change { method: fhirpool_storage::Method::Post, ..taken };
    let other = Change { key: key("Basic/2"), ..large };
    let outcome = store.commit(&write_access("a"), Commit { changes: vec![other, taken], assumptions: Vec::new() }).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::PreconditionFailed { change: 1, .. }));
    assert_eq!((files(folder.path()), items(&store).await.iter().filter(|item| item.contains_key("o")).count()), (1, 1));
    store.commit(&write_access("a"), Commit { changes: vec![delete("Basic/1")], assumptions: Vec::new() }).await.unwrap();
    assert!(store.read_version(&read_access("a"), &key("Basic/1"), VersionId(1)).await.unwrap() == Some(read));
}

/// `FHIRPOOL_ENTRIES` says how many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_of_many_entries_is_committed_and_read_in_one_picture() {
    let count: usize = std::env::var("FHIRPOOL_ENTRIES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let tables = Tables::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(tables.client.clone(), vec![tenant("a")], folder.path(), StoreSettings::default());
    let names: Vec<String> = (0..count).map(|number| format!("Observation/00000000-0000-4000-8000-{number:012}")).collect();
    let changes = names.iter().map(|name| {
        let change = put(name, "\"status\":\"final\"");
        Change { method: fhirpool_storage::Method::Post, ..on(Precondition::NeverExisted, change) }
    });
    let changes = changes.collect();
    let began = std::time::Instant::now();
    let outcome = store.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await.unwrap();
    println!("{count} entries were committed in {:?}", began.elapsed());
    assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    let view = store.view(&read_access("a")).await.unwrap();
    let keys: Vec<ResourceKey> = names.iter().map(|name| key(name)).collect();
    let read = store.read_many(&read_access("a"), &view, &keys).await.unwrap();
    assert!(read.iter().all(Option::is_some));
    let units = store.client().costs().units();
    assert!(units.writes() <= count as f64 * 1.1, "{units:?}");
}
