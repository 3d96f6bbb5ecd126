//! Claims and locks: who is about to make something that criteria would find.
//!
//! A claim holds while its transaction is undecided. There is no release: the record that ends the transaction frees it, and whoever
//! comes next takes it over.

use std::collections::BTreeSet;

use fhirpool_authz::WriteAccess;
use fhirpool_storage::{Assumption, Result};

use crate::client::{Condition, Table, Written};
use crate::conditional;
use crate::cost::Operation;
use crate::item::{ClaimItem, TRANSACTION, TransactionId};
use crate::keys::{CLAIM, CRITERIA_LOCK, Partition, PartitionKey};
use crate::store::Core;
use crate::transaction::{Undecided, expiry_s};

const CLAIM_WRITE: Operation = Operation("claim_write");

/// Claims of ended transactions are garbage after so long.
const CLAIM_KEPT_S: i64 = 24 * 3600;

/// Others may take over a claim as often as this in between.
const TAKEOVERS_MAX: usize = 16;

/// The place of a claim; they are taken in this order, so that nobody waits for who waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    partition: PartitionKey,
    sort: &'static str,
}

/// What must be claimed: where criteria found nothing, something is about to be made that they would find.
pub(super) async fn claims_of(core: &Core, access: &WriteAccess, assumptions: &[Assumption]) -> Result<Vec<Claim>> {
    let mut claims = BTreeSet::new();
    for assumption in assumptions.iter().filter(|assumption| assumption.found.is_empty()) {
        let resource_type = assumption.search.resource_type;
        if conditional::names_ids(&assumption.search) {
            // Whoever makes one of these ids is stopped by the version itself.
            continue;
        }
        match conditional::identifiers_sought(core, access.tenant(), &assumption.search).await? {
            Some(digests) => {
                for digest in digests {
                    let partition = PartitionKey::new(access, Partition::Identifier(resource_type, digest))?;
                    claims.insert(Claim { partition, sort: CLAIM });
                }
            }
            None => {
                let partition = PartitionKey::new(access, Partition::Criteria(resource_type))?;
                claims.insert(Claim { partition, sort: CRITERIA_LOCK });
            }
        }
    }
    Ok(claims.into_iter().collect())
}

/// Takes one. The transaction that has it, where it is not final.
pub(super) async fn take(
    core: &Core,
    access: &WriteAccess,
    claim: &Claim,
    transaction: TransactionId,
    deadline: i64,
) -> Result<Option<Undecided>> {
    let item = ClaimItem { transaction, deadline };
    let item = item.write(&claim.partition, claim.sort, expiry_s(deadline, CLAIM_KEPT_S));
    let mut condition = Condition::Absent;
    let mut other = None;
    for _ in 0..TAKEOVERS_MAX {
        let there = match core.client.put(CLAIM_WRITE, Table::Data, &item, &condition).await? {
            Written::Done(_) => return Ok(None),
            Written::Refused(there) => there,
        };
        let Some(there) = there else {
            // The table forgot it just now.
            condition = Condition::Absent;
            continue;
        };
        let ClaimItem { transaction: holder, deadline } = ClaimItem::read(&there)?;
        if holder == transaction {
            return Ok(None);
        }
        let undecided = Undecided { transaction: holder, deadline };
        if core.transactions.settle(access, undecided, core.node.now_us()).await?.is_none() {
            metrics::counter!("fhirpool_dynamodb_conflicts_total", "with" => "claim").increment(1);
            return Ok(Some(undecided));
        }
        condition = Condition::Equals(TRANSACTION, holder.attribute());
        other = Some(undecided);
    }
    Ok(other)
}
