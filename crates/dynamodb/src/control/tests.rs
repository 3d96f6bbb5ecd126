#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use fhirpool_authz::{Principal, ReadAccess, WriteAccess};
use fhirpool_fhir::Timestamp;
use fhirpool_storage::tenants::{
    DirectorySettings, TenantDirectory, TenantRecord, TenantRegistry, TenantState, change_tenant, register_tenant,
};
use fhirpool_storage::{
    FeedPosition, KeyEpoch, Lease, Leases, MIGRATIONS, MigrationPart, MigrationRecord, PendingSweep, QuotaLeases, ShardId, StorageError,
    WrappedKey, WrappedKeys, WriteMarks, apply_migrations, missing_migrations,
};

use super::*;
use crate::Schema;
use crate::client::ConnectionSettings;
use crate::testing::{NamedKeys, Tables, read_access, settings, tenant, write_access};

fn lease(owner: &str, counter: u64) -> Lease {
    Lease {
        shard: ShardId("shardId-1".into()),
        owner: owner.into(),
        counter,
        checkpoint: Some(FeedPosition("00012".into())),
        applied_until: 1_795_250_572_007_123,
        ended: false,
        sweeps: vec![PendingSweep { tenant: tenant("acme"), transaction: "ab".into(), deadline: -5 }],
    }
}

#[tokio::test]
async fn one_of_racing_owners_gets_a_lease() {
    let tables = Tables::new().await;
    let control = Control::new(tables.client.clone());
    assert_eq!(control.list_leases().await, []);
    let racing: Vec<Lease> = (0..8).map(|owner| lease(&format!("owner {owner}"), 1)).collect();
    let won = futures_util::future::join_all(racing.iter().map(|lease| control.put(lease, None))).await;
    let won: Vec<usize> = won.into_iter().enumerate().filter_map(|(owner, won)| won.unwrap().then_some(owner)).collect();
    let [winner] = won.as_slice() else { panic!("{won:?} hold one lease") };
    assert_eq!(control.list_leases().await, [racing[*winner].clone()]);

    let next = Lease { sweeps: Vec::new(), ended: true, checkpoint: None, ..lease("next", 2) };
    assert!(!control.put(&next, Some(7)).await.unwrap());
    assert!(control.put(&next, Some(1)).await.unwrap());
    // The answer to that may have been lost: sent again, it is still one's own.
    assert!(control.put(&next, Some(1)).await.unwrap());
    assert!(!control.put(&lease("late", 2), Some(1)).await.unwrap());
    assert_eq!(control.list_leases().await, std::slice::from_ref(&next));
    control.remove(&next.shard).await.unwrap();
    assert_eq!(control.list_leases().await, []);
}

impl Control {
    async fn list_leases(&self) -> Vec<Lease> {
        Leases::list(self).await.unwrap()
    }
}

#[tokio::test]
async fn a_key_is_added_once_and_destroyed_for_good() {
    let tables = Tables::new().await;
    let control = Control::new(tables.client.clone());
    let key = |epoch, wrapped: &[u8]| WrappedKey { epoch: KeyEpoch(epoch), wrapped: wrapped.to_vec() };
    let acme = tenant("acme");
    assert!(control.add(&acme, &key(2, b"two")).await.unwrap());
    assert!(control.add(&acme, &key(1, b"one")).await.unwrap());
    assert!(!control.add(&acme, &key(1, b"other")).await.unwrap());
    assert!(control.add(&tenant("demo"), &key(1, b"demo")).await.unwrap());
    assert_eq!(WrappedKeys::list(&control, &acme).await.unwrap(), [key(1, b"one"), key(2, b"two")]);
    control.destroy(&acme).await.unwrap();
    assert_eq!(WrappedKeys::list(&control, &acme).await.unwrap(), [key(1, b""), key(2, b"")]);
    assert!(!control.add(&acme, &key(2, b"two")).await.unwrap());
    assert_eq!(WrappedKeys::list(&control, &tenant("demo")).await.unwrap(), [key(1, b"demo")]);
}

#[tokio::test]
async fn a_mark_is_its_clients_and_never_goes_back() {
    let tables = Tables::new().await;
    let named = crate::tests::known(vec![tenant("acme"), tenant("demo")]);
    let marks = || ClientMarks::new(tables.client.clone(), Arc::new(NamedKeys), Arc::clone(&named));
    let (one_node, other_node) = (marks(), marks());
    let (reading, writing) = (read_access("acme"), write_access("acme"));
    assert_eq!(one_node.marked_until(&reading).await.unwrap(), None);
    let before = tables.client.costs().units();
    one_node.mark(&writing, 2_000_000).await.unwrap();
    assert_eq!(tables.client.costs().units().since(&before).writes(), 1.0);
    other_node.mark(&writing, 1_000_000).await.unwrap();
    assert_eq!(other_node.marked_until(&reading).await.unwrap(), Some(2_000_000));
    other_node.mark(&writing, 3_000_000).await.unwrap();
    assert_eq!(one_node.marked_until(&reading).await.unwrap(), Some(3_000_000));

    let someone_else = Principal::in_groups(tenant("acme"), &["practitioner"]);
    let someone_else = ReadAccess::authorize(&someone_else, &tenant("acme")).unwrap();
    assert_eq!(one_node.marked_until(&someone_else).await.unwrap(), None);
    let elsewhere = WriteAccess::authorize(&Principal::operator(tenant("demo")), &tenant("demo")).unwrap();
    assert_eq!(one_node.marked_until(elsewhere.as_read()).await.unwrap(), None);

    assert_eq!(one_node.marked_until(&read_access("nobody")).await, Err(StorageError::UnknownTenant));
    assert_eq!(one_node.mark(&write_access("nobody"), 1).await, Err(StorageError::UnknownTenant));
}

async fn registry() -> fhirpool_storage::tenants::conformance::Made {
    let tables = Tables::new().await;
    (Arc::new(Control::new(tables.client.clone())), Box::new(tables))
}

fhirpool_storage::registry_conformance!(super::registry);

#[tokio::test]
async fn a_tenant_of_an_earlier_version_is_one_that_is_active() {
    let tables = Tables::new().await;
    let control = Control::new(tables.client.clone());
    let mut item = key("R", "old");
    item.insert("s".into(), AttributeValue::S("open".into()));
    item.insert("a".into(), crate::item::number(1_700_000_000_123_456_i64));
    tables.client.put(Operation("test"), Table::Control, &item, &crate::client::Condition::None).await.unwrap();
    let old = TenantRecord::unrecorded(tenant("old"), Some(Timestamp(1_700_000_000_123)));
    assert_eq!(TenantRegistry::list(&control).await.unwrap(), [old]);
    let suspended = change_tenant(&control, &tenant("old"), TenantState::Suspended, Timestamp(5)).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (suspended.state, suspended.revision, suspended.created_at),
        (TenantState::Suspended, 1, Some(Timestamp(1_700_000_000_123)))
    );
    assert_eq!(TenantRegistry::read(&control, &tenant("old")).await.unwrap(), Some(suspended));
}

#[tokio::test]
async fn asking_for_tenants_again_and_again_costs_little() {
    let tables = Tables::new().await;
    let control = Arc::new(Control::new(tables.client.clone()));
    assert_eq!(register_tenant(&*control, &tenant("acme"), Timestamp(0)).await, Ok(TenantState::Active));
    let node = TenantDirectory::new(control, DirectorySettings::default());
    let before = tables.client.costs().units();
    for _ in 0..1_000 {
        assert!(node.is_kept(&tenant("acme")).await.unwrap());
        assert!(!node.is_kept(&tenant("demo")).await.unwrap());
    }
    let reads = tables.client.costs().units().since(&before).reads();
    assert!(reads <= 20.0, "asking for tenants cost {reads} units");
}

#[tokio::test]
async fn all_nodes_share_a_secret() {
    let tables = Tables::new().await;
    let nodes: Vec<Control> = (0..4).map(|_| Control::new(tables.client.clone())).collect();
    let secrets = futures_util::future::join_all(nodes.iter().map(|node| node.secret("page-token"))).await;
    let first = secrets[0].clone().unwrap();
    assert!(secrets.iter().all(|secret| *secret == Ok(first)));
    assert_ne!(nodes[0].secret("other").await.unwrap(), first);
    assert_ne!(first, [0; SECRET_BYTES]);
}

#[tokio::test]
async fn migrations_say_what_is_missing_and_make_it_once() {
    let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
    let client = Client::connect(ConnectionSettings { ..settings(&prefix) }).await;
    let (schema, control) = (Schema::new(client.clone()), Control::new(client.clone()));
    let missing = missing_migrations(&[&schema], &control).await.unwrap();
    assert_eq!(
        missing,
        [
            format!("migration 1 (data table): the table {prefix}-data does not exist"),
            format!("migration 2 (control table): the table {prefix}-control does not exist"),
        ]
    );
    assert_eq!(apply_migrations(&[&schema], &control).await.unwrap(), [1, 2]);
    assert_eq!(missing_migrations(&[&schema], &control).await.unwrap(), [] as [String; 0]);
    assert_eq!(apply_migrations(&[&schema], &control).await.unwrap(), [] as [u32; 0]);
    let newer = fhirpool_storage::Migration { number: 99, ..MIGRATIONS[0] };
    control.record(&newer).await.unwrap();
    let missing = missing_migrations(&[&schema], &control).await.unwrap();
    assert_eq!(missing, ["migration 99 was applied by a newer version of this server, which this one does not know"]);
    assert_eq!(MIGRATIONS[0].part, MigrationPart::DynamoDb);
    schema.remove().await.unwrap();
}

#[tokio::test]
async fn nodes_draw_from_the_same_buckets() {
    let tables = Tables::new().await;
    let control = Control::new(tables.client.clone());
    fhirpool_storage::conformance::quota_leases(&control).await;
}

#[tokio::test]
async fn a_draw_costs_a_read_and_a_write() {
    let tables = Tables::new().await;
    let control = Control::new(tables.client.clone());
    let rate = fhirpool_authz::Rate { points_per_s: 100, burst_points: 100 };
    let account = fhirpool_authz::Account { of: fhirpool_authz::QuotaOf::Tenant, name: "".into() };
    let draw = fhirpool_authz::Draw { rate, owed: 0, needed: 1000, wanted: 2000, now_ms: now() / 1000 };
    let before = tables.client.costs().units();
    for _ in 0..10 {
        assert_eq!(control.draw(&write_access("acme"), &account, &draw).await.unwrap().given, 2000);
    }
    let spent = tables.client.costs().units().since(&before);
    assert_eq!((spent.reads(), spent.writes()), (10.0, 10.0));
}

#[tokio::test]
async fn one_node_at_a_time_holds_a_duty() {
    let tables = Tables::new().await;
    fhirpool_storage::conformance::duty_leases(&Control::new(tables.client.clone())).await;
}

#[tokio::test]
async fn nodes_count_bytes_together() {
    let tables = Tables::new().await;
    fhirpool_storage::conformance::stored_bytes(&Control::new(tables.client.clone())).await;
}
