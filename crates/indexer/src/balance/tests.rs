//! Who takes what.

use super::*;

const PATIENCE: Duration = Duration::from_secs(3);

fn lease(shard: &str, owner: &str, counter: u64) -> Lease {
    let shard = ShardId(shard.into());
    Lease { shard, owner: owner.into(), counter, checkpoint: None, applied_until: 0, ended: false, sweeps: Vec::new() }
}

fn taken(observations: &Observations, leases: &[Lease], shards: &[Shard], me: &str, now: Instant) -> Vec<String> {
    observations.choose(leases, shards, me, now).take.into_iter().map(|lease| lease.shard.0).collect()
}

#[test]
fn a_lone_indexer_takes_all() {
    let leases = ["a", "b", "c"].map(|shard| lease(shard, "", 0));
    let observations = Observations::new(PATIENCE);
    assert_eq!(taken(&observations, &leases, &[], "me", Instant::now()), ["a", "b", "c"]);
}

#[test]
fn a_lease_that_stands_still_is_taken_over_and_one_that_moves_is_not() {
    let start = Instant::now();
    let mut observations = Observations::new(PATIENCE);
    let mut leases = [lease("a", "dead", 7), lease("b", "alive", 7)];
    for second in 0..5 {
        let now = start + Duration::from_secs(second);
        leases[1].counter += 1;
        observations.observe(&leases, now);
        let expected: &[&str] = if second >= 3 { &["a"] } else { &[] };
        assert_eq!(taken(&observations, &leases, &[], "me", now), expected, "after {second} s");
    }
}

#[test]
fn a_newcomer_gets_its_share_one_at_a_time() {
    let mut leases: Vec<Lease> = ["a", "b", "c", "d", "e"].map(|shard| lease(shard, "old", 1)).to_vec();
    let mut observations = Observations::new(PATIENCE);
    let now = Instant::now();
    for expected in [1, 2, 2, 2] {
        observations.observe(&leases, now);
        for choice in observations.choose(&leases, &[], "new", now).take {
            let found = leases.iter_mut().find(|lease| lease.shard == choice.shard);
            found.expect("it is one of them").owner = "new".into();
        }
        assert_eq!(leases.iter().filter(|lease| lease.owner == "new").count(), expected);
        assert_eq!(taken(&observations, &leases, &[], "old", now), [""; 0], "nothing is taken back");
    }
}

#[test]
fn a_child_waits_for_its_parent() {
    let shard =
        |id: &str, parent: Option<&str>| Shard { id: ShardId(id.into()), parent: parent.map(|id| ShardId(id.into())), closed: false };
    let shards = [shard("p", None), shard("c", Some("p"))];
    let mut leases = [lease("p", "me", 1), lease("c", "", 0)];
    let observations = Observations::new(PATIENCE);
    let now = Instant::now();
    assert_eq!(taken(&observations, &leases, &shards, "me", now), [""; 0]);
    leases[0].ended = true;
    assert_eq!(taken(&observations, &leases, &shards, "me", now), ["c"]);
    assert_eq!(taken(&observations, &leases[1..], &shards[1..], "me", now), ["c"], "the parent is gone");
}
