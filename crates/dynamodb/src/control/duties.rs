//! Leases of duties.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_storage::{DutyLease, DutyLeases, Result};

use super::{COUNTER, Control, key};
use crate::client::{Condition, Consistency, Table};
use crate::cost::Operation;
use crate::item::{integer, number, text};

const DUTIES: &str = "D";
const OWNER: &str = "o";

const DUTY: Operation = Operation("duty");

#[async_trait]
impl DutyLeases for Control {
    async fn duty(&self, duty: &str) -> Result<Option<DutyLease>> {
        let item = self.client.get(DUTY, Table::Control, key(DUTIES, duty), Consistency::Strong).await?;
        item.map(|item| Ok(DutyLease { duty: duty.to_owned(), owner: text(&item, OWNER)?.to_owned(), counter: integer(&item, COUNTER)? }))
            .transpose()
    }

    async fn put_duty(&self, lease: &DutyLease, expected: Option<u64>) -> Result<bool> {
        let mut item = key(DUTIES, &lease.duty);
        item.insert(OWNER.into(), AttributeValue::S(lease.owner.clone()));
        item.insert(COUNTER.into(), number(lease.counter));
        self.put_counted(DUTY, &item, expected).await
    }

    async fn give_duty_back(&self, duty: &str, owner: &str) -> Result<()> {
        let condition = Condition::Equals(OWNER, AttributeValue::S(owner.to_owned()));
        self.client.delete(DUTY, Table::Control, key(DUTIES, duty), &condition).await.map(|_| ())
    }
}
