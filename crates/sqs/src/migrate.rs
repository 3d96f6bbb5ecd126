//! Makes the queue as a migration describes it.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use fhirpool_storage::{Migrate, Migration, MigrationPart, Result, StorageError};
use serde::Deserialize;

use crate::queue::{Queue, failure};

/// What a description of the queue says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(rename = "why")]
    _why: String,
    /// Seconds that SQS keeps a message.
    retention_s: u32,
    /// Seconds until a letter that was taken and not removed comes again.
    visibility_timeout_s: u32,
}

impl Description {
    fn read(migration: &Migration) -> Result<Self> {
        serde_json::from_str(migration.description)
            .map_err(|error| StorageError::Damaged(format!("migration {}: {error}", migration.number)))
    }

    fn attributes(&self) -> HashMap<QueueAttributeName, String> {
        HashMap::from([
            (QueueAttributeName::MessageRetentionPeriod, self.retention_s.to_string()),
            (QueueAttributeName::VisibilityTimeout, self.visibility_timeout_s.to_string()),
        ])
    }
}

#[async_trait]
impl Migrate for Queue {
    fn part(&self) -> MigrationPart {
        MigrationPart::Sqs
    }

    async fn check(&self, migration: &Migration) -> Result<Vec<String>> {
        let wanted = Description::read(migration)?.attributes();
        let name = self.name();
        let Some(url) = self.find().await? else { return Ok(vec![format!("the queue {name} does not exist")]) };
        let request = self.client().get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let found = request.send().await.map_err(|error| failure("GetQueueAttributes", &error))?.attributes.unwrap_or_default();
        let differing = wanted.into_iter().filter(|(attribute, value)| found.get(attribute) != Some(value));
        Ok(differing.map(|(attribute, value)| format!("the queue {name} does not have {} {value}", attribute.as_str())).collect())
    }

    async fn apply(&self, migration: &Migration) -> Result<()> {
        let wanted = Description::read(migration)?.attributes();
        let url = match self.find().await? {
            Some(url) => url,
            None => {
                let request = self.client().create_queue().queue_name(self.name());
                let created = request.send().await.map_err(|error| failure("CreateQueue", &error))?;
                created.queue_url.ok_or_else(|| StorageError::Unavailable("CreateQueue gave no address".into()))?
            }
        };
        let request = self.client().set_queue_attributes().queue_url(url).set_attributes(Some(wanted));
        request.send().await.map_err(|error| failure("SetQueueAttributes", &error))?;
        Ok(())
    }
}
