//! Leases of shards.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::TenantId;
use fhirpool_storage::{FeedPosition, Lease, Leases, PendingSweep, Result, ShardId};

use super::{COUNTER, Control, all, key};
use crate::client::{Condition, Table};
use crate::cost::Operation;
use crate::item::{Item, damaged, integer, number, text};
use crate::keys::SORT;

const LEASES: &str = "L";
const OWNER: &str = "o";
const CHECKPOINT: &str = "p";
const APPLIED_UNTIL: &str = "u";
const FINISHED: &str = "f";
const SWEEPS: &str = "w";

const LEASE: Operation = Operation("lease");

#[async_trait]
impl Leases for Control {
    async fn list(&self) -> Result<Vec<Lease>> {
        all(&self.client, LEASE, LEASES).await?.iter().map(read).collect()
    }

    async fn put(&self, lease: &Lease, expected: Option<u64>) -> Result<bool> {
        self.put_counted(LEASE, &write(lease), expected).await
    }

    async fn remove(&self, shard: &ShardId) -> Result<()> {
        self.client.delete(LEASE, Table::Control, key(LEASES, &shard.0), &Condition::None).await.map(|_| ())
    }
}

fn write(lease: &Lease) -> Item {
    let mut item = key(LEASES, &lease.shard.0);
    item.insert(OWNER.into(), AttributeValue::S(lease.owner.clone()));
    item.insert(COUNTER.into(), number(lease.counter));
    if let Some(checkpoint) = &lease.checkpoint {
        item.insert(CHECKPOINT.into(), AttributeValue::S(checkpoint.0.clone()));
    }
    item.insert(APPLIED_UNTIL.into(), number(lease.applied_until));
    item.insert(FINISHED.into(), AttributeValue::Bool(lease.ended));
    if !lease.sweeps.is_empty() {
        let sweeps = lease.sweeps.iter().map(|sweep| {
            AttributeValue::L(vec![
                AttributeValue::S(sweep.tenant.to_string()),
                AttributeValue::S(sweep.transaction.clone()),
                number(sweep.deadline),
            ])
        });
        item.insert(SWEEPS.into(), AttributeValue::L(sweeps.collect()));
    }
    item
}

fn read(item: &Item) -> Result<Lease> {
    let checkpoint = item.contains_key(CHECKPOINT).then(|| text(item, CHECKPOINT)).transpose()?;
    let sweeps = match item.get(SWEEPS) {
        Some(AttributeValue::L(sweeps)) => {
            sweeps.iter().map(|sweep| read_sweep(sweep).ok_or_else(|| damaged(SWEEPS))).collect::<Result<_>>()?
        }
        Some(_) => return Err(damaged(SWEEPS)),
        None => Vec::new(),
    };
    Ok(Lease {
        shard: ShardId(text(item, SORT)?.to_owned()),
        owner: text(item, OWNER)?.to_owned(),
        counter: integer(item, COUNTER)?,
        checkpoint: checkpoint.map(|checkpoint| FeedPosition(checkpoint.to_owned())),
        applied_until: integer(item, APPLIED_UNTIL)?,
        ended: matches!(item.get(FINISHED), Some(AttributeValue::Bool(true))),
        sweeps,
    })
}

fn read_sweep(sweep: &AttributeValue) -> Option<PendingSweep> {
    match sweep.as_l().ok()?.as_slice() {
        [AttributeValue::S(tenant), AttributeValue::S(transaction), AttributeValue::N(deadline)] => {
            Some(PendingSweep { tenant: TenantId::parse(tenant)?, transaction: transaction.clone(), deadline: deadline.parse().ok()? })
        }
        _ => None,
    }
}
