//! What every registry of tenants promises, as cases; a backend names a function that makes an empty one and calls
//! [`registry_conformance!`](crate::registry_conformance).

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case that fails panics")]

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::{TenantAccess, TenantId};
use fhirpool_fhir::Timestamp;
use futures_util::future::join_all;

use super::{
    DirectorySettings, Standing, TenantDirectory, TenantRecord, TenantRegistry, TenantState, change_tenant, change_tenant_for,
    register_tenant, set_tenant_access,
};

/// An empty registry, and what must live as long.
pub type Made = (Arc<dyn TenantRegistry>, Box<dyn Any + Send>);

fn id(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn record(name: &str) -> TenantRecord {
    TenantRecord::new(id(name), &format!("Clinic \"{name}\""), Timestamp(1_700_000_000_123)).unwrap()
}

/// What is made is listed and read as it was, and every change moves the epoch.
pub async fn records_are_kept(registry: Arc<dyn TenantRegistry>) {
    assert_eq!(registry.list().await.unwrap(), []);
    assert_eq!(registry.read(&id("t1")).await.unwrap(), None);
    let mut epochs = vec![registry.epoch().await.unwrap()];
    for name in ["t10", "t1", "T1"] {
        assert!(registry.create(&record(name)).await.unwrap());
        epochs.push(registry.epoch().await.unwrap());
    }
    assert_eq!(registry.list().await.unwrap(), ["T1", "t1", "t10"].map(record));
    let other = TenantRecord { name: "other".to_owned(), ..record("t1") };
    assert!(!registry.create(&other).await.unwrap(), "an id is given once");
    assert_eq!(registry.read(&id("t1")).await.unwrap(), Some(record("t1")));

    let access = TenantAccess::parse(&id("t1"), r#"{"scopes_alone": true, "quota": {"points_per_second": 5}}"#).unwrap();
    let own = set_tenant_access(&*registry, &id("t1"), access.as_ref(), Some("i|one")).await.unwrap().unwrap().unwrap();
    assert_eq!((own.revision, own.changed_by.as_deref(), &own.access.is_some()), (2, Some("i|one"), &true));
    epochs.push(registry.epoch().await.unwrap());
    assert_eq!(registry.read(&id("t1")).await.unwrap(), Some(own.clone()));

    let suspended = own.with_state(TenantState::Suspended, Timestamp(1_700_000_001_000)).unwrap().unwrap();
    assert!(registry.replace(&suspended).await.unwrap());
    epochs.push(registry.epoch().await.unwrap());
    assert_eq!(registry.read(&id("t1")).await.unwrap(), Some(suspended.clone()));
    assert_eq!(registry.list().await.unwrap(), [record("T1"), suspended, record("t10")]);
    assert!(epochs.is_sorted_by(|before, after| before < after), "{epochs:?}");
}

/// A change rests on the revision before it: of several at once one happens.
pub async fn no_change_is_lost(registry: Arc<dyn TenantRegistry>) {
    let made = join_all((0..4).map(|_| async { registry.create(&record("acme")).await.unwrap() })).await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    let next = |number: u64| TenantRecord { revision: 2, removed: BTreeMap::from([("x".to_owned(), number)]), ..record("acme") };
    let epoch = registry.epoch().await.unwrap();
    let racing: Vec<_> = (0..4).map(next).collect();
    let won = join_all(racing.iter().map(|next| async { registry.replace(next).await.unwrap() })).await;
    let won: Vec<u64> = (0..4).filter(|number| won[*number as usize]).collect();
    let [winner] = won.as_slice() else { panic!("{won:?} won") };
    assert_eq!(registry.read(&id("acme")).await.unwrap(), Some(next(*winner)));
    assert_eq!(registry.epoch().await.unwrap(), epoch + 1);
    let skipping = TenantRecord { revision: 9, ..record("acme") };
    assert!(!registry.replace(&skipping).await.unwrap());
    assert!(!registry.replace(&TenantRecord { revision: 2, ..record("nobody") }).await.unwrap());
    assert_eq!(registry.read(&id("nobody")).await.unwrap(), None);
    assert_eq!(registry.epoch().await.unwrap(), epoch + 1, "what does not happen changes nothing");
}

/// A deleted tenant is listed for ever, and its id is not given again.
pub async fn a_deleted_id_is_never_given_again(registry: Arc<dyn TenantRegistry>) {
    let now = Timestamp(1_700_000_002_000);
    assert_eq!(register_tenant(&*registry, &id("acme"), now).await, Ok(TenantState::Active));
    for (state, by) in [
        (TenantState::Suspended, Some("i|one")),
        (TenantState::Active, Some("i|two")),
        (TenantState::Deleting, Some("i|three")),
        (TenantState::Deleted, None),
    ] {
        let changed = change_tenant_for(&*registry, &id("acme"), state, now, by).await.unwrap().unwrap().unwrap();
        assert_eq!((changed.state, changed.changed_at), (state, Some(now)));
        assert_eq!(changed.changed_by.as_deref(), by.or(Some("i|three")), "who asked for the deletion stays known");
        let again = change_tenant(&*registry, &id("acme"), state, Timestamp(1)).await.unwrap().unwrap().unwrap();
        assert_eq!(again, changed, "a change that is there already changes nothing");
    }
    assert!(change_tenant(&*registry, &id("acme"), TenantState::Active, now).await.unwrap().unwrap().is_err());
    assert_eq!(change_tenant(&*registry, &id("nobody"), TenantState::Suspended, now).await, Ok(None));
    assert_eq!(register_tenant(&*registry, &id("acme"), now).await, Ok(TenantState::Deleted));
    assert!(!registry.create(&record("acme")).await.unwrap());
    assert_eq!(registry.list().await.unwrap().len(), 1);
}

/// A node follows what another changes, and is told of each tenant whose state changed.
pub async fn a_directory_follows(registry: Arc<dyn TenantRegistry>) {
    let settings = DirectorySettings { stale_after: Duration::from_secs(60), unknown_after: Duration::ZERO };
    let directory = TenantDirectory::new(Arc::clone(&registry), settings);
    assert_eq!(directory.standing(&id("a")), Standing::Blind);
    directory.refresh().await.unwrap();
    assert_eq!(directory.standing(&id("a")), Standing::Unknown);
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    directory.on_change(Box::new(move |tenant, state| tell.lock().unwrap().send((tenant.clone(), state)).unwrap()));
    for name in ["a", "b"] {
        assert!(registry.create(&record(name)).await.unwrap());
    }
    assert!(directory.is_kept(&id("a")).await.unwrap(), "one that is not known is looked for");
    assert!(!directory.is_kept(&id("c")).await.unwrap());
    assert!(!directory.is_closed(&id("c")).await.unwrap(), "it may have been made this moment");
    for state in [TenantState::Suspended, TenantState::Deleting] {
        change_tenant(&*registry, &id("a"), state, Timestamp(5)).await.unwrap().unwrap().unwrap();
        directory.refresh().await.unwrap();
        assert_eq!(directory.standing(&id("a")), Standing::Known(state));
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(id("a"), state)]);
        assert_eq!(directory.is_kept(&id("a")).await, Ok(state == TenantState::Suspended));
        assert_eq!(directory.is_closed(&id("a")).await, Ok(state == TenantState::Deleting));
    }
    assert_eq!(directory.deleting(), [id("a")]);
    directory.refresh().await.unwrap();
    assert_eq!(directory.standing(&id("b")), Standing::Known(TenantState::Active));
    assert_eq!(told.try_iter().count(), 0);
}

/// Makes a test of each case for a backend: takes the path of an `async fn() -> conformance::Made`.
#[macro_export]
macro_rules! registry_conformance {
    ($make:path) => {
        $crate::registry_conformance! { $make; records_are_kept, no_change_is_lost, a_deleted_id_is_never_given_again, a_directory_follows }
    };
    ($make:path; $($case:ident),+) => {
        mod registry {
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (registry, _keep) = $make().await;
                    $crate::tenants::conformance::$case(registry).await;
                }
            )+
        }
    };
}
