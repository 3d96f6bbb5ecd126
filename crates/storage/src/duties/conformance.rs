//! What [`DutyLeases`] promises, on a store that holds none.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case that fails panics")]

use futures_util::future::join_all;

use super::{DutyLease, DutyLeases};

fn lease(duty: &str, owner: &str, counter: u64) -> DutyLease {
    DutyLease { duty: duty.to_owned(), owner: owner.to_owned(), counter }
}

/// Runs all of it; panics where a promise is broken.
pub async fn duty_leases(leases: &dyn DutyLeases) {
    assert_eq!(leases.duty("sweep").await.unwrap(), None);
    let racing: Vec<DutyLease> = (0..8).map(|node| lease("sweep", &format!("node {node}"), 1)).collect();
    let won = join_all(racing.iter().map(|lease| async { leases.put_duty(lease, None).await.unwrap() })).await;
    let won: Vec<usize> = (0..8).filter(|node| won[*node]).collect();
    let [winner] = won[..] else { panic!("{won:?} hold one duty") };
    assert_eq!(leases.duty("sweep").await.unwrap().as_ref(), Some(&racing[winner]));
    assert_eq!(leases.duty("other").await.unwrap(), None, "each duty is by itself");

    let next = lease("sweep", "next", 2);
    assert!(!leases.put_duty(&next, Some(7)).await.unwrap());
    assert!(leases.put_duty(&next, Some(1)).await.unwrap());
    assert!(!leases.put_duty(&lease("sweep", "late", 2), Some(1)).await.unwrap());
    assert!(!leases.put_duty(&lease("sweep", "late", 1), None).await.unwrap());
    // The answer may have been lost: sent again, it is still one's own.
    assert!(leases.put_duty(&next, Some(1)).await.unwrap());
    let renewed = lease("sweep", "next", 3);
    assert!(leases.put_duty(&renewed, Some(2)).await.unwrap());

    leases.give_duty_back("sweep", "late").await.unwrap();
    assert_eq!(leases.duty("sweep").await.unwrap(), Some(renewed), "only who holds it gives it back");
    leases.give_duty_back("sweep", "next").await.unwrap();
    leases.give_duty_back("sweep", "next").await.unwrap();
    assert_eq!(leases.duty("sweep").await.unwrap(), None);
    assert!(!leases.put_duty(&lease("sweep", "late", 4), Some(3)).await.unwrap(), "what was given back is begun anew");
    assert!(leases.put_duty(&lease("sweep", "late", 1), None).await.unwrap());
}
