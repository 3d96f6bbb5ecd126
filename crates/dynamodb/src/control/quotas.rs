//! Buckets of points that nodes share.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_authz::{Account, Draw, Drawn, QuotaOf, SharedBucket, WriteAccess};
use fhirpool_storage::{QuotaLeases, Result, StorageError};
use ring::digest::{SHA256, digest};

use super::{COUNTER, Control, counted, key};
use crate::client::{Consistency, Table, Written};
use crate::cost::Operation;
use crate::item::{EXPIRY, Item, integer, number, text};

const LEVEL: &str = "l";
const AT: &str = "a";
const WRITER: &str = "w";

const QUOTA: Operation = Operation("quota");

/// How often a draw is tried that other nodes overtake.
const TRIES_MAX: usize = 8;
/// A full bucket is kept so much longer, for clocks that differ.
const KEPT_S: i64 = 60 * 60;

/// A read and a write; the write alone is repeated where another node was faster.
#[async_trait]
impl QuotaLeases for Control {
    async fn draw(&self, access: &WriteAccess, account: &Account, draw: &Draw) -> Result<Drawn> {
        let key = key(&format!("T#{}#Q", access.tenant()), &sort(account));
        let mut there = self.client.get(QUOTA, Table::Control, key.clone(), Consistency::Strong).await?;
        for _ in 0..TRIES_MAX {
            let counter: Option<u64> = there.as_ref().map(|item| integer(item, COUNTER)).transpose()?;
            let mut bucket = match &there {
                Some(item) => SharedBucket { level: integer(item, LEVEL)?, at_ms: integer(item, AT)? },
                None => SharedBucket::full(draw.rate, draw.now_ms),
            };
            let given = bucket.draw(draw);
            let drawn = Drawn { given, left: bucket };
            if given == 0 && draw.owed <= 0 {
                return Ok(drawn);
            }
            let writer = uuid::Uuid::new_v4().simple().to_string();
            let item = write(&key, &bucket, draw, counter, &writer);
            match self.client.put(QUOTA, Table::Control, &item, &counted(counter)).await? {
                Written::Done(_) => return Ok(drawn),
                // An answer was lost, and the draw is ours.
                Written::Refused(Some(item)) if text(&item, WRITER)? == writer => return Ok(drawn),
                Written::Refused(newer) => there = newer,
            }
        }
        Err(StorageError::Busy)
    }
}

fn write(key: &Item, bucket: &SharedBucket, draw: &Draw, counter: Option<u64>, writer: &str) -> Item {
    let mut item = key.clone();
    item.insert(LEVEL.into(), number(bucket.level));
    item.insert(AT.into(), number(bucket.at_ms));
    item.insert(COUNTER.into(), number(counter.unwrap_or_default().wrapping_add(1)));
    item.insert(WRITER.into(), AttributeValue::S(writer.to_owned()));
    item.insert(EXPIRY.into(), number((bucket.full_at_ms(draw.rate) / 1000).saturating_add(KEPT_S)));
    item
}

/// Names of applications come out of tokens: of any length and letters.
fn sort(account: &Account) -> String {
    let kind = match account.of {
        QuotaOf::Tenant => return "tenant".to_owned(),
        QuotaOf::Application => "application",
        QuotaOf::ApiKey => "api-key",
    };
    let hash = digest(&SHA256, account.name.as_bytes());
    let hash = hash.as_ref().first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    format!("{kind}#{hash:032x}")
}
