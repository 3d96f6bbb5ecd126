//! Which shards an indexer takes, so that several share them evenly and a dead one's are taken over.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fhirpool_storage::{Lease, Shard, ShardId};
use tokio::time::Instant;

use crate::watermark::register;

/// What was seen of leases over time. Nobody's clock is compared with another's: a lease whose counter this observer has seen
/// stand still for long enough has lost its owner.
pub(crate) struct Observations {
    patience: Duration,
    seen: HashMap<ShardId, Seen>,
}

struct Seen {
    counter: u64,
    since: Instant,
}

/// What to do about shards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Leases to be taken, as they were seen.
    pub(crate) take: Vec<Lease>,
}

impl Observations {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, seen: HashMap::new() }
    }

    /// Takes all leases, just read.
    pub(crate) fn observe(&mut self, leases: &[Lease], now: Instant) {
        let mut seen = HashMap::with_capacity(leases.len());
        for lease in leases {
            let before = self.seen.remove(&lease.shard).filter(|before| before.counter == lease.counter);
            seen.insert(lease.shard.clone(), before.unwrap_or(Seen { counter: lease.counter, since: now }));
        }
        self.seen = seen;
    }

    fn is_stale(&self, lease: &Lease, now: Instant) -> bool {
        self.seen.get(&lease.shard).is_some_and(|seen| seen.counter == lease.counter && now.duration_since(seen.since) >= self.patience)
    }

    /// Chooses for one indexer. A child is only read once its parent has ended or is gone.
    pub(crate) fn choose(&self, leases: &[Lease], shards: &[Shard], me: &str, now: Instant) -> Choice {
        let parents: HashMap<&ShardId, &ShardId> = shards.iter().filter_map(|shard| Some((&shard.id, shard.parent.as_ref()?))).collect();
        let unfinished: HashSet<&ShardId> = leases.iter().filter(|lease| !lease.ended).map(|lease| &lease.shard).collect();
        let is_open = |lease: &&Lease| {
            let waits = parents.get(&lease.shard).is_some_and(|parent| unfinished.contains(parent));
            !lease.ended && !waits && lease.shard != register()
        };
        let open: Vec<&Lease> = leases.iter().filter(is_open).collect();
        let is_vacant = |lease: &Lease| lease.owner.is_empty() || self.is_stale(lease, now);
        let mut held: HashMap<&str, usize> = HashMap::from([(me, 0)]);
        for lease in open.iter().filter(|lease| !is_vacant(lease)) {
            *held.entry(&lease.owner).or_default() += 1;
        }
        let mine = held[me];
        let (fair, fair_at_least) = (open.len().div_ceil(held.len()), open.len() / held.len());
        let vacant: Vec<Lease> = open.iter().filter(|lease| is_vacant(lease)).map(|lease| Lease::clone(lease)).collect();
        if !vacant.is_empty() {
            return Choice { take: vacant.into_iter().take(fair.saturating_sub(mine)).collect() };
        }
        // One at a time: what others take meanwhile is seen at the next look.
        let (richest, most) =
            held.iter().max_by_key(|(owner, count)| (**count, **owner)).map_or(("", 0), |(owner, count)| (*owner, *count));
        let robbed = (mine < fair_at_least && most > mine + 1).then(|| open.iter().find(|lease| lease.owner == richest)).flatten();
        Choice { take: robbed.map(|lease| Lease::clone(lease)).into_iter().collect() }
    }
}

#[cfg(test)]
mod tests;
