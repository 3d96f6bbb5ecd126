#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use fhirpool_fhir::Timestamp;
use fhirpool_storage::memory::{MemoryDutyLeases, MemoryRegistry};
use fhirpool_storage::tenants::{DirectorySettings, TenantRegistry, change_tenant};
use fhirpool_storage::{KeyEpoch, TenantKey};
use tokio::sync::Semaphore;

use super::*;
use crate::duties::Times;

const TIMES: Times =
    Times { lost_after: Duration::from_millis(400), renewal_pause: Duration::from_millis(40), look_pause: Duration::from_millis(10) };

/// What nodes share: a registry, leases, and what is done to a tenant.
struct World {
    registry: Arc<MemoryRegistry>,
    leases: Arc<MemoryDutyLeases>,
    /// Lets removals end.
    gate: Semaphore,
    inside: AtomicU32,
    inside_max: AtomicU32,
    destroyed: AtomicU32,
}

/// A part of one node, which holds one thing of the tenant.
struct Part {
    world: Arc<World>,
    purges: AtomicU32,
}

struct Inside<'a>(&'a World);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl PurgeTenant for Part {
    async fn purge(&self, _: &WriteAccess) -> Result<Vec<(&'static str, u64)>> {
        let inside = self.world.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.world.inside_max.fetch_max(inside, Ordering::SeqCst);
        let _inside = Inside(&self.world);
        self.world.gate.acquire().await.unwrap().forget();
        let first = self.purges.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![("things", u64::from(first))])
    }
}

#[async_trait]
impl KeyRing for World {
    async fn data_key(&self, _: &TenantId) -> Result<Arc<TenantKey>> {
        Err(StorageError::UnknownTenant)
    }

    async fn unwrap(&self, _: &TenantId, _: KeyEpoch) -> Result<Arc<TenantKey>> {
        Err(StorageError::UnknownTenant)
    }

    fn forget(&self, _: &TenantId) {}

    async fn destroy(&self, _: &TenantId) -> Result<()> {
        self.destroyed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl World {
    async fn with_a_closed_tenant() -> Arc<Self> {
        let world = Self {
            registry: Arc::default(),
            leases: Arc::default(),
            gate: Semaphore::new(0),
            inside: AtomicU32::new(0),
            inside_max: AtomicU32::new(0),
            destroyed: AtomicU32::new(0),
        };
        assert!(world.registry.create(&TenantRecord::new(tenant(), "", Timestamp(1)).unwrap()).await.unwrap());
        change_tenant(&*world.registry, &tenant(), TenantState::Deleting, Timestamp(2)).await.unwrap().unwrap().unwrap();
        Arc::new(world)
    }

    fn node(self: &Arc<Self>) -> (Arc<Administration>, Arc<Part>) {
        let part = Arc::new(Part { world: Arc::clone(self), purges: AtomicU32::new(0) });
        let directory = Arc::new(TenantDirectory::new(Arc::clone(&self.registry) as _, DirectorySettings::default()));
        let duties = Arc::new(Duties::new(Some(Arc::clone(&self.leases) as _), TIMES));
        let parts: Vec<Arc<dyn PurgeTenant>> = vec![Arc::clone(&part) as _];
        (Administration::new(directory, Arc::clone(self) as _, parts, Settling::default(), duties), part)
    }

    async fn state(&self) -> TenantState {
        self.registry.read(&tenant()).await.unwrap().unwrap().state
    }
}

fn tenant() -> TenantId {
    TenantId::parse("gone").unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deletion_whose_node_is_lost_is_ended_by_another_alone() {
    let world = World::with_a_closed_tenant().await;
    let nodes = [world.node(), world.node(), world.node()];
    let [(one, in_one), (two, in_two), (three, in_three)] = &nodes;
    one.begin_removal(&tenant());
    until("the first begins", async || world.inside.load(Ordering::SeqCst) == 1).await;
    // Asked again and again, as each look at the registry does.
    for _ in 0..50 {
        nodes.iter().for_each(|(node, _)| node.begin_removal(&tenant()));
        tokio::time::sleep(TIMES.renewal_pause / 2).await;
    }
    assert_eq!((world.inside.load(Ordering::SeqCst), world.destroyed.load(Ordering::SeqCst)), (1, 1), "two nodes remove one tenant");
    one.stop();
    until("the first ends", async || world.inside.load(Ordering::SeqCst) == 0).await;
    assert_eq!(world.state().await, TenantState::Deleting);
    world.gate.add_permits(100);
    until("another ends it", async || world.state().await == TenantState::Deleted).await;
    let is_idle = |node: &Administration| node.removing.lock().unwrap().is_empty();
    until("all see that it is done", async || is_idle(two) && is_idle(three)).await;
    let purges = [in_one, in_two, in_three].map(|part| part.purges.load(Ordering::SeqCst));
    assert!(matches!(purges, [0, 2, 0] | [0, 0, 2]), "one node did it, from the beginning: {purges:?}");
    assert_eq!((world.inside_max.load(Ordering::SeqCst), world.destroyed.load(Ordering::SeqCst)), (1, 2));
    let record = world.registry.read(&tenant()).await.unwrap().unwrap();
    assert_eq!(record.removed, [("things".to_owned(), 1)].into());
}

#[tokio::test]
async fn whoever_waits_for_a_deletion_is_told_though_another_node_does_it() {
    let world = World::with_a_closed_tenant().await;
    let [(one, _), (other, _)] = [world.node(), world.node()];
    one.begin_removal(&tenant());
    until("it begins", async || world.inside.load(Ordering::SeqCst) == 1).await;
    let waiting = tokio::spawn(async move { other.delete("gone").await });
    world.gate.add_permits(100);
    let told = waiting.await.unwrap().unwrap();
    assert!(told.contains("\"state\":\"deleted\""), "{told}");
    assert_eq!(world.inside_max.load(Ordering::SeqCst), 1);
}
