//! When a request is sent again.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use fhirpool_storage::{Result, StorageError};
use rand::Rng;

/// How long and how often a request is tried.
#[derive(Debug, Clone, Copy)]
pub struct RetrySettings {
    /// For a connection to be made.
    pub connect_timeout_ms: u64,
    /// For an answer to one attempt.
    pub attempt_timeout_ms: u64,
    /// For all attempts of one request together.
    pub request_timeout_ms: u64,
    /// Attempts of one request.
    pub attempts_max: u32,
    /// The first pause is at most so long; each further one at most twice that, up to [`RetrySettings::pause_max_ms`].
    pub pause_ms: u64,
    /// The longest pause.
    pub pause_max_ms: u64,
    /// Retries in hand for all requests together: each takes one, each success gives a tenth back. Where a service is down, this
    /// keeps all requests from being multiplied.
    pub retries_in_hand_max: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 2_000,
            attempt_timeout_ms: 5_000,
            request_timeout_ms: 12_000,
            attempts_max: 8,
            pause_ms: 25,
            pause_max_ms: 1_000,
            retries_in_hand_max: 500,
        }
    }
}

/// A tenth of a retry.
const RETRY_TENTHS: i64 = 10;

/// Sends again what may succeed then, with full jitter, within a budget.
#[derive(Debug)]
pub(crate) struct Retry {
    settings: RetrySettings,
    /// In tenths.
    in_hand: AtomicI64,
}

impl Retry {
    pub(super) fn new(settings: RetrySettings) -> Self {
        Self { settings, in_hand: AtomicI64::new(i64::from(settings.retries_in_hand_max) * RETRY_TENTHS) }
    }

    /// Sends until there is an answer that trying again would not change: `Ok` of what the service answered, be it an error.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] once the budget is spent; whether the request was carried out is then not known.
    pub(crate) async fn send<T, E, F>(&self, name: &'static str, mut send: impl FnMut() -> F) -> Result<std::result::Result<T, E>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
    {
        let begun = Instant::now();
        for attempt in 1.. {
            let error = match send().await {
                Ok(answer) => {
                    self.give_back();
                    return Ok(Ok(answer));
                }
                Err(error) => error,
            };
            let cause = cause(&error);
            if let SdkError::ServiceError(context) = error {
                if !is_transient(context.raw().status().as_u16(), context.err().code()) {
                    self.give_back();
                    return Ok(Err(context.into_err()));
                }
            } else if matches!(error, SdkError::ConstructionFailure(_)) {
                return Err(StorageError::Unavailable(format!("dynamodb {name}: {cause}")));
            }
            metrics::counter!("fhirpool_dynamodb_retries_total", "request" => name).increment(1);
            let pause = self.pause(attempt);
            let in_time = begun.elapsed() + pause < Duration::from_millis(self.settings.request_timeout_ms);
            if attempt >= self.settings.attempts_max || !in_time || !self.take() {
                tracing::warn!(request = name, attempt, cause, "dynamodb does not answer");
                return Err(StorageError::Unavailable(format!("dynamodb {name}: {cause}")));
            }
            tokio::time::sleep(pause).await;
        }
        unreachable!("attempts are limited")
    }

    fn pause(&self, attempt: u32) -> Duration {
        let ceiling = (self.settings.pause_ms << (attempt - 1).min(16)).min(self.settings.pause_max_ms);
        Duration::from_micros(rand::rng().random_range(0..=ceiling * 1_000))
    }

    fn take(&self) -> bool {
        self.in_hand
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| (tenths >= RETRY_TENTHS).then(|| tenths - RETRY_TENTHS))
            .is_ok()
    }

    fn give_back(&self) {
        let most = i64::from(self.settings.retries_in_hand_max) * RETRY_TENTHS;
        // A full hand takes no more; that is what the error says.
        let _ = self.in_hand.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| (tenths < most).then_some(tenths + 1));
    }
}

/// Whether a service's error may be gone on the next attempt.
fn is_transient(status: u16, code: Option<&str>) -> bool {
    const CODES: [&str; 8] = [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
        "TransactionInProgressException",
        "LimitExceededException",
    ];
    status >= 500 || status == 429 || code.is_some_and(|code| CODES.contains(&code))
}

/// The kind of an error, without the service's text, which may quote items.
fn cause<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ConstructionFailure(_) => "request could not be made".into(),
        SdkError::TimeoutError(_) => "no answer in time".into(),
        SdkError::DispatchFailure(_) => "no connection".into(),
        SdkError::ResponseError(_) => "answer cut off".into(),
        SdkError::ServiceError(context) => context.err().code().unwrap_or("unknown error").to_owned(),
        _ => "unknown failure".into(),
    }
}

/// A service's error that no caller expects, by its code.
pub(crate) fn unexpected(name: &str, error: &impl ProvideErrorMetadata) -> StorageError {
    match error.code() {
        Some("ResourceNotFoundException") => {
            StorageError::Unavailable(format!("dynamodb {name}: the table does not exist: run `fhirpool migrate`"))
        }
        code => StorageError::Unavailable(format!("dynamodb {name}: {}", code.unwrap_or("unknown error"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_and_failures_of_the_service_are_tried_again() {
        for code in ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"] {
            assert!(is_transient(400, Some(code)), "{code}");
        }
        assert!(is_transient(500, None) && is_transient(503, Some("x")));
        assert!(!is_transient(400, Some("ConditionalCheckFailedException")) && !is_transient(400, None));
    }

    #[test]
    fn retries_run_out_and_come_back_with_successes() {
        let retry = Retry::new(RetrySettings { retries_in_hand_max: 2, ..RetrySettings::default() });
        assert_eq!([(); 3].map(|()| retry.take()), [true, true, false]);
        (0..RETRY_TENTHS).for_each(|_| retry.give_back());
        assert_eq!([(); 2].map(|()| retry.take()), [true, false]);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let retry = Retry::new(RetrySettings { pause_ms: 10, pause_max_ms: 40, ..RetrySettings::default() });
        for (attempt, most) in [(1, 10), (2, 20), (3, 40), (20, 40)] {
            assert!((0..50).all(|_| retry.pause(attempt) <= Duration::from_millis(most)), "attempt {attempt}");
        }
    }
}
