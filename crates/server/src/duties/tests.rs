#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use fhirpool_storage::StorageError;
use fhirpool_storage::memory::MemoryDutyLeases;
use tokio::sync::oneshot;

use super::*;

const TIMES: Times =
    Times { lost_after: Duration::from_millis(400), renewal_pause: Duration::from_millis(40), look_pause: Duration::from_millis(10) };

fn nodes(leases: &Arc<MemoryDutyLeases>) -> [Arc<Duties>; 2] {
    [(); 2].map(|()| Arc::new(Duties::new(Some(Arc::clone(leases) as _), TIMES)))
}

/// Asks for a duty until it is given; how long that took.
async fn until_taken(node: &Duties) -> Duration {
    let began = Instant::now();
    while node.perform("sweep", async {}).await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "the duty stays with a node that is lost");
        tokio::time::sleep(TIMES.look_pause).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_duty_is_done_by_one_node_for_as_long_as_it_takes() {
    let [one, other] = nodes(&Arc::default());
    let (finish, finished) = oneshot::channel::<()>();
    let working = Arc::clone(&one);
    let work = tokio::spawn(async move { working.perform("sweep", finished).await });
    // Well beyond the time after which a lease that stands still is lost.
    let began = Instant::now();
    let mut looks = 0;
    while began.elapsed() < TIMES.lost_after * 3 {
        tokio::time::sleep(TIMES.look_pause).await;
        looks += u32::from(other.perform("sweep", async {}).await.unwrap().is_none());
        assert_eq!(other.perform("another", async { 7 }).await, Ok(Some(7)), "each duty is by itself");
    }
    assert!(looks > 0);
    finish.send(()).unwrap();
    assert_eq!(work.await.unwrap(), Ok(Some(Ok(()))));
    assert_eq!(other.perform("sweep", async {}).await, Ok(Some(())), "what is given back is free at once");
}

#[tokio::test]
async fn a_duty_of_a_lost_node_is_taken_over_and_not_before() {
    let [one, other] = nodes(&Arc::default());
    let (begun, has_begun) = oneshot::channel::<()>();
    let work = tokio::spawn(async move {
        let work = async {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        one.perform("sweep", work).await
    });
    has_begun.await.unwrap();
    assert_eq!(other.perform("sweep", async {}).await, Ok(None));
    work.abort();
    assert!(until_taken(&other).await >= TIMES.lost_after - TIMES.renewal_pause * 2);
}

/// Leases that can be read and taken, and not be renewed once that is cut off.
#[derive(Default)]
struct CutOff {
    leases: MemoryDutyLeases,
    is_cut_off: AtomicBool,
}

#[async_trait]
impl DutyLeases for CutOff {
    async fn duty(&self, duty: &str) -> Result<Option<DutyLease>> {
        self.leases.duty(duty).await
    }

    async fn put_duty(&self, lease: &DutyLease, expected: Option<u64>) -> Result<bool> {
        match self.is_cut_off.load(Ordering::SeqCst) {
            true => Err(StorageError::Unavailable("as the test wants it".into())),
            false => self.leases.put_duty(lease, expected).await,
        }
    }

    async fn give_duty_back(&self, duty: &str, owner: &str) -> Result<()> {
        self.leases.give_duty_back(duty, owner).await
    }
}

#[tokio::test]
async fn who_cannot_renew_stops_before_another_begins() {
    let leases = Arc::new(CutOff::default());
    let [one, other] = [(); 2].map(|()| Duties::new(Some(Arc::clone(&leases) as _), TIMES));
    let work = async {
        leases.is_cut_off.store(true, Ordering::SeqCst);
        std::future::pending::<()>().await;
    };
    assert_eq!(one.perform("sweep", work).await, Ok(None));
    // It stopped when another may have begun at the earliest, and the other has not: it sees the lease for the first time now.
    leases.is_cut_off.store(false, Ordering::SeqCst);
    assert_eq!(other.perform("sweep", async {}).await, Ok(None));
    assert!(until_taken(&other).await >= TIMES.lost_after);
}
