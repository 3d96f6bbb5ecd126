//! Secrets that all nodes share.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fhirpool_storage::{Result, StorageError};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Control, key};
use crate::client::{Condition, Consistency, Table, Written};
use crate::cost::Operation;
use crate::item::{Item, damaged};

const SECRETS: &str = "S";
const VALUE: &str = "v";

const SECRET: Operation = Operation("secret");

/// Length of a secret.
pub const SECRET_BYTES: usize = 32;

impl Control {
    /// The secret of this name; the first who asks makes it, of random bytes.
    pub async fn secret(&self, name: &str) -> Result<[u8; SECRET_BYTES]> {
        let key = key(SECRETS, name);
        if let Some(item) = self.client.get(SECRET, Table::Control, key.clone(), Consistency::Strong).await? {
            return read(&item);
        }
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| StorageError::Unavailable("no random bytes".into()))?;
        let mut item = key;
        item.insert(VALUE.into(), AttributeValue::B(Blob::new(secret)));
        match self.client.put(SECRET, Table::Control, &item, &Condition::Absent).await? {
            Written::Done(_) => Ok(secret),
            Written::Refused(there) => read(&there.ok_or_else(|| damaged(VALUE))?),
        }
    }
}

fn read(item: &Item) -> Result<[u8; SECRET_BYTES]> {
    let value = item.get(VALUE).and_then(|value| value.as_b().ok()).ok_or_else(|| damaged(VALUE))?;
    value.as_ref().try_into().map_err(|_| damaged(VALUE))
}
