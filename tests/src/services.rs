//! What a server asks of its services, seen by proxies between them.

mod content;
mod costs;
mod faults;
mod tenancy;
mod turmoil;
mod units;

use std::sync::Arc;

use fhirpool_server::config::Given;
use fhirpool_testkit::{Deployment, FaultProxy, ProxiedAnswer, ProxiedRequest, TestServer};

use crate::settings::setting;

/// A proxy ahead of each service of a deployment.
struct Services {
    dynamodb: FaultProxy,
    opensearch: FaultProxy,
    s3: FaultProxy,
    kms: FaultProxy,
    sqs: FaultProxy,
}

type Passed = (ProxiedRequest, Option<ProxiedAnswer>);

impl Services {
    async fn start() -> Self {
        Self {
            dynamodb: FaultProxy::ahead_of("FHIRPOOL_DYNAMODB_ENDPOINT").await,
            opensearch: FaultProxy::ahead_of("FHIRPOOL_OPENSEARCH_URL").await,
            s3: FaultProxy::ahead_of("FHIRPOOL_S3_ENDPOINT").await,
            kms: FaultProxy::ahead_of("FHIRPOOL_KMS_ENDPOINT").await,
            sqs: FaultProxy::ahead_of("FHIRPOOL_SQS_ENDPOINT").await,
        }
    }

    fn all(&self) -> [&FaultProxy; 5] {
        [&self.dynamodb, &self.opensearch, &self.s3, &self.kms, &self.sqs]
    }

    /// A node that reaches its services through the proxies.
    async fn node(&self, deployment: &Arc<Deployment>, tenants: &[&str], given: Given) -> TestServer {
        let through = Given {
            dynamodb_endpoint: Some(self.dynamodb.url()),
            opensearch_url: vec![self.opensearch.url()],
            s3_endpoint: Some(self.s3.url()),
            kms_endpoint: Some(self.kms.url()),
            sqs_endpoint: Some(self.sqs.url()),
            ..Given::default()
        };
        TestServer::start_node(deployment, tenants, given.or(through)).await
    }
}
