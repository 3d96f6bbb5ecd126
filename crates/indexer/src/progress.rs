//! How far a shard was followed: what may be checkpointed, claimed and swept.

use std::collections::VecDeque;

use fhirpool_storage::{FeedChange, FeedPosition, FeedRecord, Lease, PendingSweep};

/// A claim that holds once something can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// [`crate::refresher::Refresher::applied`]; 0 waits for nothing.
    number: u64,
    /// Everything written before this time was applied.
    until: i64,
    /// When the oldest of it was written; 0 where nothing was.
    oldest: i64,
}

/// A transaction that may have to be swept.
#[derive(Debug, Clone)]
struct Begun {
    sweep: PendingSweep,
    /// The place ahead of the record that told of it.
    ahead: Option<FeedPosition>,
    /// Not tried again before.
    next_try: i64,
}

/// The progress of one shard. Times are microseconds since 1970.
#[derive(Debug)]
pub(crate) struct Progress {
    position: Option<FeedPosition>,
    claims: VecDeque<Claim>,
    applied_until: i64,
    begun: VecDeque<Begun>,
    last_number: u64,
}

/// The pause behind a sweep that has more to do, or failed.
const SWEEP_PAUSE_MICROS: i64 = 2_000_000;

impl Progress {
    /// From where another has left off.
    pub(crate) fn of(lease: &Lease) -> Self {
        let begun = lease.sweeps.iter().map(|sweep| Begun { sweep: sweep.clone(), ahead: lease.checkpoint.clone(), next_try: 0 });
        Self {
            position: lease.checkpoint.clone(),
            claims: VecDeque::new(),
            applied_until: lease.applied_until,
            begun: begun.collect(),
            last_number: 0,
        }
    }

    /// Where reading continues.
    pub(crate) fn position(&self) -> Option<&FeedPosition> {
        self.position.as_ref()
    }

    /// Everything written before this is applied and findable.
    pub(crate) fn applied_until(&self) -> i64 {
        self.applied_until
    }

    /// Takes note of transactions that records tell of, ahead of [`Progress::advance`].
    pub(crate) fn note(&mut self, records: &[FeedRecord]) {
        let mut ahead = self.position.clone();
        for record in records {
            match &record.change {
                FeedChange::Begun { access, transaction, deadline } => {
                    if self.begun.iter().all(|begun| begun.sweep.transaction != *transaction) {
                        let sweep = PendingSweep { tenant: access.tenant().clone(), transaction: transaction.clone(), deadline: *deadline };
                        self.begun.push_back(Begun { sweep, ahead: ahead.clone(), next_try: 0 });
                    }
                }
                FeedChange::Committed { transaction: Some(transaction), .. } => self.swept(transaction),
                FeedChange::Committed { .. } | FeedChange::Unreadable { .. } => {}
            }
            ahead = Some(record.position.clone());
        }
    }

    /// Takes note that everything up to a place was applied, and with it everything written before a time.
    pub(crate) fn advance(&mut self, position: Option<FeedPosition>, number: Option<u64>, until: i64, oldest: i64) {
        self.position = position.or(self.position.take());
        self.last_number = number.unwrap_or(self.last_number);
        match self.claims.back_mut() {
            Some(last) if last.number == self.last_number => last.until = until.max(last.until),
            _ => self.claims.push_back(Claim { number: self.last_number, until, oldest }),
        }
    }

    /// Makes claims good for what can be found by now. Gives for each batch that can be found from now on when the oldest of it
    /// was written.
    pub(crate) fn settle(&mut self, findable: u64) -> Vec<i64> {
        let mut settled = Vec::new();
        while let Some(claim) = self.claims.front().filter(|claim| claim.number <= findable) {
            self.applied_until = claim.until.max(self.applied_until);
            settled.extend(Some(claim.oldest).filter(|oldest| *oldest > 0));
            self.claims.pop_front();
        }
        settled
    }

    /// Whether all that was applied can be found.
    pub(crate) fn is_settled(&self) -> bool {
        self.claims.is_empty()
    }

    /// Whether a lease can carry all that is to be swept.
    pub(crate) fn is_portable(&self) -> bool {
        self.begun.len() <= Lease::SWEEPS_MAX
    }

    /// What goes into the lease: a place, and the sweeps that whoever goes on from there would not hear of again.
    pub(crate) fn checkpoint(&self) -> (Option<FeedPosition>, Vec<PendingSweep>) {
        let position = match self.begun.get(Lease::SWEEPS_MAX) {
            Some(first_left_out) => &first_left_out.ahead,
            None => &self.position,
        };
        (position.clone(), self.begun.iter().take(Lease::SWEEPS_MAX).map(|begun| begun.sweep.clone()).collect())
    }

    /// Transactions whose deadline has passed, and that are not tried again before their time.
    pub(crate) fn due(&mut self, now: i64, grace: i64, limit: usize) -> Vec<PendingSweep> {
        let is_due = |begun: &&mut Begun| begun.sweep.deadline.saturating_add(grace) <= now && begun.next_try <= now;
        let due = self.begun.iter_mut().filter(is_due).take(limit);
        due.map(|begun| {
            begun.next_try = now.saturating_add(SWEEP_PAUSE_MICROS);
            begun.sweep.clone()
        })
        .collect()
    }

    /// Forgets a transaction that needs no looking after any more.
    pub(crate) fn swept(&mut self, transaction: &str) {
        self.begun.retain(|begun| begun.sweep.transaction != transaction);
    }

    /// How many transactions are looked after.
    pub(crate) fn sweeps(&self) -> usize {
        self.begun.len()
    }
}

#[cfg(test)]
mod tests;
