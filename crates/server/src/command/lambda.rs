//! The indexer as a Lambda function: the loop of a custom runtime, over the runtime's HTTP API.
//!
//! It asks for an event, hands it to the indexer and posts the answer, one after the other: Lambda starts more processes where it
//! wants more at once.

use std::sync::Arc;

use async_trait::async_trait;
use fhirpool_dynamodb::StreamFeed;
use fhirpool_indexer::IndexerSettings;
use fhirpool_indexer::lambda::{EventDecoder, LambdaPorts, handle};
use fhirpool_storage::FeedRecord;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::Failure;

/// Lambda's own limit is 6 MB.
const EVENT_BYTES_MAX: usize = 16 << 20;
const VERSION: &str = "2018-06-01";
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";

/// Reads events by the store's feed.
pub(super) struct FeedDecoder(pub(super) Arc<StreamFeed>);

#[async_trait]
impl EventDecoder for FeedDecoder {
    async fn decode(&self, record: &Value) -> fhirpool_storage::Result<Option<FeedRecord>> {
        self.0.tell_event(record).await
    }
}

/// Serves events until the process is ended.
///
/// # Errors
/// The environment is none of a function, or the runtime's API does not answer.
pub(super) async fn run(ports: &LambdaPorts, settings: &IndexerSettings) -> Result<(), Failure> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| "AWS_LAMBDA_RUNTIME_API is not set: this is not a Lambda function")?;
    let http: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let next = Request::builder().uri(format!("http://{api}/{VERSION}/runtime/invocation/next")).body(Full::default())?;
        let answer = http.request(next).await?;
        let id = answer.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let id = id.ok_or("the runtime's API gave an event without a request id")?;
        let body = Limited::new(answer.into_body(), EVENT_BYTES_MAX).collect().await.map_err(|cause| cause.to_string())?.to_bytes();
        let (outcome, body) = match serde_json::from_slice(&body) {
            Ok(event) => match handle(&event, ports, settings).await {
                Ok(answer) => ("response", answer),
                Err(error) => ("error", failure(&error)),
            },
            Err(error) => ("error", failure(&error)),
        };
        let answer = Request::builder().method(Method::POST).uri(format!("http://{api}/{VERSION}/runtime/invocation/{id}/{outcome}"));
        http.request(answer.body(Full::from(body.to_string()))?).await?;
    }
}

fn failure(error: &dyn std::fmt::Display) -> Value {
    json!({ "errorType": "Event", "errorMessage": error.to_string() })
}
