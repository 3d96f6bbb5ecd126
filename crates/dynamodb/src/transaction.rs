//! What became of transactions: asked, decided, and remembered once final.
//!
//! A transaction is what its record says, and the first record that is written stays: its coordinator writes `committed`, anyone
//! writes `aborted` once the deadline has passed, and the two race on one key. So a stalled coordinator is fenced, and clocks decide
//! only how soon others move on. That there is no record is never remembered.

use fhirpool_storage::Result;
use quick_cache::sync::Cache;

use crate::client::{Client, Condition, Consistency, Query, SortRange, Table, Written};
use crate::cost::Operation;
use crate::item::{Manifest, Outcome, TransactionId};
use crate::keys::{Access, MANIFEST_PREFIX, Partition, PartitionKey, RECORD};

/// Records of aborted transactions are kept so long: longer than any late write of their coordinators.
const ABORTED_KEPT_S: i64 = 30 * 24 * 3600;
/// Manifests are kept so long: longer than the stream (24 hours) and dead letters (14 days).
pub(crate) const MANIFEST_KEPT_S: i64 = 16 * 24 * 3600;

const OUTCOME: Operation = Operation("transaction_outcome");
const RECORD_WRITE: Operation = Operation("transaction_record");
const MANIFEST_WRITE: Operation = Operation("transaction_manifest");
const MANIFEST_READ: Operation = Operation("transaction_manifest_read");

/// Knows transactions.
pub(crate) struct Transactions {
    client: Client,
    /// Final ones only.
    outcomes: Cache<TransactionId, Outcome>,
}

/// A transaction that somebody stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undecided {
    pub transaction: TransactionId,
    /// Microseconds since 1970.
    pub deadline: i64,
}

impl Transactions {
    pub(crate) fn new(client: Client, outcomes_kept: usize) -> Self {
        Self { client, outcomes: Cache::new(outcomes_kept) }
    }

    /// What became of it up to now; `None`: nothing yet. A transaction past its deadline is mostly final, and a record that is
    /// found is: there an eventual read is tried first.
    pub(crate) async fn outcome(&self, access: &(impl Access + Sync), of: Undecided, now_us: i64) -> Result<Option<Outcome>> {
        if let Some(outcome) = self.outcomes.get(&of.transaction) {
            return Ok(Some(outcome));
        }
        let partition = PartitionKey::new(access, Partition::Transaction(of.transaction))?;
        if of.deadline < now_us
            && let Some(item) = self.client.get_data(OUTCOME, &partition, RECORD, Consistency::Eventual).await?
        {
            return self.keep(of.transaction, Outcome::read(&item)?).map(Some);
        }
        match self.client.get_data(OUTCOME, &partition, RECORD, Consistency::Strong).await? {
            Some(item) => self.keep(of.transaction, Outcome::read(&item)?).map(Some),
            None => Ok(None),
        }
    }

    /// What became of it; one whose deadline has passed is ended here. `None`: it is being carried out.
    pub(crate) async fn settle(&self, access: &(impl Access + Sync), of: Undecided, now_us: i64) -> Result<Option<Outcome>> {
        match self.outcome(access, of, now_us).await? {
            None if of.deadline < now_us => self.decide(access, of.transaction, Outcome::Aborted, now_us).await.map(Some),
            outcome => Ok(outcome),
        }
    }

    /// Writes the record if there is none; gives the one that is there then.
    pub(crate) async fn decide(
        &self,
        access: &(impl Access + Sync),
        transaction: TransactionId,
        outcome: Outcome,
        now_us: i64,
    ) -> Result<Outcome> {
        let partition = PartitionKey::new(access, Partition::Transaction(transaction))?;
        let item = outcome.write(&partition, expiry_s(now_us, ABORTED_KEPT_S));
        match self.client.put(RECORD_WRITE, Table::Data, &item, &Condition::Absent).await? {
            Written::Done(_) => self.keep(transaction, outcome),
            Written::Refused(there) => self.keep(transaction, Outcome::read(&there.unwrap_or_default())?),
        }
    }

    /// Writes a transaction's manifest.
    pub(crate) async fn announce(
        &self,
        access: &(impl Access + Sync),
        transaction: TransactionId,
        manifest: &Manifest,
        now_us: i64,
    ) -> Result<()> {
        let partition = PartitionKey::new(access, Partition::Transaction(transaction))?;
        // The first part last: who finds it finds all.
        for part in manifest.write(&partition, expiry_s(now_us, MANIFEST_KEPT_S)).iter().rev() {
            self.client.put(MANIFEST_WRITE, Table::Data, part, &Condition::None).await?;
        }
        Ok(())
    }

    /// Reads a transaction's manifest; `None`: it has none, and has staged nothing.
    pub(crate) async fn manifest(&self, access: &(impl Access + Sync), transaction: TransactionId) -> Result<Option<Manifest>> {
        let partition = PartitionKey::new(access, Partition::Transaction(transaction))?;
        let query = Query::data(&partition, SortRange::Prefix(MANIFEST_PREFIX.into()));
        let parts = self.client.query_all(MANIFEST_READ, query, usize::MAX).await?.unwrap_or_default();
        Manifest::read(&parts)
    }

    fn keep(&self, transaction: TransactionId, outcome: Outcome) -> Result<Outcome> {
        self.outcomes.insert(transaction, outcome);
        Ok(outcome)
    }
}

/// Seconds since 1970 at which what is kept so long may be forgotten.
pub(crate) fn expiry_s(now_us: i64, kept_s: i64) -> i64 {
    now_us.div_euclid(1_000_000).saturating_add(kept_s)
}
