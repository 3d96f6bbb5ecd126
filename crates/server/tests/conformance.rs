//! The composed profile aws keeps the contracts of the ports: DynamoDB, OpenSearch, S3, KMS and SQS as a node uses them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use fhirpool_authz::TenantId;
use fhirpool_server::config::{Config, Given};
use fhirpool_server::deployment;
use fhirpool_storage::conformance::Stores;
use fhirpool_testkit::Deployment;

async fn make(tenants: Vec<TenantId>) -> Stores {
    let made = Deployment::create().await;
    // What is not indexed in time is an error of the suite: the bound is for a machine that does much else besides.
    let given = Given {
        tenant: tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect(),
        search_wait_ms_max: Some(20_000),
        // One machine has one clock, and DynamoDB Local's stream is at once.
        clock_margin_ms: Some(1),
        stream_margin_ms: Some(10),
        index_refresh_ms: Some(10),
        // The suite's resources refer to each other below this address.
        base_url: Some("http://127.0.0.1:8080".into()),
        ..made.given()
    };
    let opened = deployment::open(&Config::resolve(given, None).unwrap()).await.unwrap();
    let (resources, index) = (opened.store.clone(), opened.index.clone());
    Stores { resources, index, pictures: false, keep: Box::new((Mutex::new(opened), made)) }
}

mod composed {
    fhirpool_storage::store_conformance!(crate::make);
}
