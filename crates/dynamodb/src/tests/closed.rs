//! Commits that go on though their tenant is deleted meanwhile.

use fhirpool_storage::conformance::put;
use fhirpool_storage::tenants::PurgeTenant;
use fhirpool_storage::{ChangeFeed, StorageError};

use super::*;
use crate::faults::Step;
use crate::testing::{Tables, tenant, write_access};
use crate::{StreamFeed, TenantItems};

/// Whatever step it has come to when the tenant is closed and all of it removed, it writes nothing more.
#[tokio::test]
async fn a_commit_leaves_nothing_behind_the_purge_of_its_tenant() {
    let large = || (0..3).map(|number| put(&format!("Observation/{number}"), ""));
    let single = || (0..1).map(|number| put(&format!("Observation/{number}"), ""));
    let steps = [
        (Step::BeforeAlone, single().collect::<Vec<_>>()),
        (Step::BeforeManifest, large().collect()),
        (Step::AfterManifest, large().collect()),
        (Step::BeforeIntent, large().collect()),
        (Step::BeforeRecord, large().collect()),
    ];
    let tables = Tables::new().await;
    for (held, changes) in steps {
        let folder = tempfile::tempdir().unwrap();
        let tenants = Arc::new(Known { tenants: vec![tenant("a")], ..Known::default() });
        let store = store_for(tables.client.clone(), tenants.clone(), folder.path(), StoreSettings::default(), system_clock());
        let purge = TenantItems::new(tables.client.clone());
        let (closing, purging) = (tenants.clone(), purge.clone());
        store.inject(Arc::new(move |step| {
            let (tenants, purge) = (closing.clone(), purging.clone());
            Box::pin(async move {
                if step == held && !tenants.closed.swap(true, Ordering::SeqCst) {
                    purge.purge(&write_access("a")).await.unwrap();
                }
            })
        }));
        let outcome = store.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await;
        assert_eq!(outcome.err(), Some(StorageError::UnknownTenant), "{held:?}");
        assert!(tenants.closed.load(Ordering::SeqCst), "{held:?} was not met");
        let left = items(&store).await;
        assert!(left.is_empty(), "{held:?}: {left:?}");
        let swept = StreamFeed::new(&store).sweep(&write_access("a"), &"7".repeat(32)).await;
        assert_eq!(swept, Err(StorageError::UnknownTenant));
    }
}
