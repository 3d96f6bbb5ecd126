//! The queue.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::error::{DisplayErrorContext, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use fhirpool_storage::{DeadLetter, DeadLetters, Result, StorageError};
use tokio::sync::OnceCell;

use crate::letter;

const ATTEMPTS_MAX: u32 = 5;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
/// SQS gives no more messages at once.
const BATCH_MAX: usize = 10;

/// Which queue.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of SQS; `None`: AWS's own of the region.
    pub endpoint: Option<String>,
    /// The region; `None`: by the environment.
    pub region: Option<String>,
    /// The queue's name.
    pub queue: String,
}

/// Dead letters in a queue.
#[derive(Debug)]
pub struct Queue {
    client: Client,
    settings: Settings,
    url: OnceCell<String>,
}

impl Queue {
    /// The queue of this name, which need not be there yet; credentials come from the environment.
    pub async fn open(settings: Settings) -> Self {
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(OPERATION_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(timeouts);
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self { client: Client::new(&loader.load().await), settings, url: OnceCell::new() }
    }

    /// Removes the queue with all that waits in it.
    pub async fn destroy(&self) -> Result<()> {
        let request = self.client.delete_queue().queue_url(self.url().await?);
        request.send().await.map_err(|error| failure("DeleteQueue", &error))?;
        Ok(())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.queue
    }

    /// The queue's address; `None`: there is no such queue.
    pub(crate) async fn find(&self) -> Result<Option<String>> {
        match self.client.get_queue_url().queue_name(self.name()).send().await {
            Ok(found) => Ok(found.queue_url),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => Ok(None),
            Err(error) => Err(failure("GetQueueUrl", &error)),
        }
    }

    async fn url(&self) -> Result<&str> {
        let url = self.url.get_or_try_init(async || {
            let missing = || StorageError::Unavailable(format!("SQS: the queue {} does not exist", self.name()));
            self.find().await?.ok_or_else(missing)
        });
        url.await.map(String::as_str)
    }
}

#[async_trait]
impl DeadLetters for Queue {
    async fn put(&self, letter: &DeadLetter) -> Result<()> {
        let request = self.client.send_message().queue_url(self.url().await?).message_body(letter::write(letter));
        request.send().await.map_err(|error| failure("SendMessage", &error))?;
        Ok(())
    }

    async fn take(&self, limit: usize) -> Result<Vec<(DeadLetter, String)>> {
        let url = self.url().await?;
        let mut taken = Vec::new();
        let mut places = HashMap::new();
        while taken.len() < limit {
            let batch = (limit - taken.len()).min(BATCH_MAX) as i32;
            // A second of waiting asks all of SQS's hosts: without it a letter that is there may not be given.
            let request = self.client.receive_message().queue_url(url).max_number_of_messages(batch).wait_time_seconds(1);
            let messages = request.send().await.map_err(|error| failure("ReceiveMessage", &error))?.messages.unwrap_or_default();
            let before = taken.len();
            for message in messages {
                let id = message.message_id.unwrap_or_default();
                let letter = letter::read(message.body.as_deref().unwrap_or_default());
                let receipt = message.receipt_handle.unwrap_or_default();
                match places.get(&id) {
                    // It came again while others were taken: the newest receipt counts.
                    Some(place) => taken[*place] = (letter.unwrap_or_else(|| letter::unreadable(&id)), receipt),
                    None => {
                        taken.push((letter.unwrap_or_else(|| letter::unreadable(&id)), receipt));
                        places.insert(id, taken.len() - 1);
                    }
                }
            }
            if taken.len() == before {
                break;
            }
        }
        Ok(taken)
    }

    async fn remove(&self, receipt: &str) -> Result<()> {
        let request = self.client.delete_message().queue_url(self.url().await?).receipt_handle(receipt);
        request.send().await.map_err(|error| failure("DeleteMessage", &error))?;
        Ok(())
    }
}

pub(crate) fn failure<E: std::error::Error + 'static>(operation: &'static str, error: &SdkError<E>) -> StorageError {
    metrics::counter!("fhirpool_sqs_failures_total", "operation" => operation).increment(1);
    StorageError::Unavailable(format!("SQS {operation}: {}", DisplayErrorContext(error)))
}
