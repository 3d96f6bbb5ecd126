//! What may be checkpointed, claimed and swept.

#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_storage::ShardId;

use super::*;

fn lease() -> Lease {
    Lease {
        shard: ShardId("s".into()),
        owner: "me".into(),
        counter: 1,
        checkpoint: None,
        applied_until: 5,
        ended: false,
        sweeps: Vec::new(),
    }
}

fn place(number: usize) -> FeedPosition {
    FeedPosition(number.to_string())
}

fn record(number: usize, change: FeedChange) -> FeedRecord {
    FeedRecord { position: place(number), written_at: 0, change }
}

fn access() -> WriteAccess {
    let tenant = TenantId::parse("a").unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn begun(number: usize) -> FeedRecord {
    record(number, FeedChange::Begun { access: access(), transaction: format!("t{number}"), deadline: 100 })
}

fn committed(number: usize, transaction: usize) -> FeedRecord {
    record(number, FeedChange::Committed { access: access(), versions: Vec::new(), transaction: Some(format!("t{transaction}")) })
}

#[test]
fn a_claim_holds_only_once_what_was_applied_can_be_found() {
    let mut progress = Progress::of(&lease());
    progress.advance(Some(place(1)), Some(1), 10, 7);
    progress.advance(None, None, 20, 0);
    progress.advance(Some(place(2)), Some(2), 30, 25);
    assert_eq!((progress.settle(0), progress.applied_until()), (vec![], 5));
    assert_eq!((progress.settle(1), progress.applied_until()), (vec![7], 20));
    assert!(!progress.is_settled());
    assert_eq!((progress.settle(2), progress.applied_until()), (vec![25], 30));
    progress.advance(None, None, 40, 0);
    assert_eq!((progress.settle(2), progress.applied_until()), (vec![], 40));
    assert!(progress.is_settled());
}

#[test]
fn a_claim_never_falls() {
    let mut progress = Progress::of(&lease());
    progress.advance(Some(place(1)), None, 3, 0);
    progress.settle(0);
    assert_eq!(progress.applied_until(), 5);
}

#[test]
fn the_checkpoint_never_passes_a_transaction_that_the_lease_does_not_carry() {
    let mut progress = Progress::of(&lease());
    let records: Vec<FeedRecord> = (1..=Lease::SWEEPS_MAX + 2).map(begun).collect();
    progress.note(&records);
    progress.advance(Some(place(records.len())), None, 10, 0);
    let (position, sweeps) = progress.checkpoint();
    assert_eq!((position, sweeps.len()), (Some(place(Lease::SWEEPS_MAX)), Lease::SWEEPS_MAX));
    assert!(!progress.is_portable());
    progress.note(&[committed(900, 3), committed(901, 4)]);
    progress.advance(Some(place(901)), None, 11, 0);
    assert_eq!(progress.checkpoint().0, Some(place(901)));
    assert!(progress.is_portable());
}

#[test]
fn whoever_goes_on_sweeps_what_was_left() {
    let mut progress = Progress::of(&lease());
    progress.note(&[begun(1), begun(2), begun(3), committed(4, 2)]);
    progress.advance(Some(place(4)), None, 10, 0);
    let (checkpoint, sweeps) = progress.checkpoint();
    let mut successor = Progress::of(&Lease { checkpoint, sweeps, ..lease() });
    assert_eq!(successor.position(), Some(&place(4)));
    assert_eq!(successor.due(99, 10, 10), []);
    let due: Vec<String> = successor.due(110, 10, 10).into_iter().map(|sweep| sweep.transaction).collect();
    assert_eq!(due, ["t1", "t3"]);
    assert_eq!(successor.due(111, 10, 10), [], "not tried again at once");
    successor.swept("t1");
    successor.note(&[begun(3)]);
    assert_eq!(successor.sweeps(), 1, "told twice, swept once");
}
