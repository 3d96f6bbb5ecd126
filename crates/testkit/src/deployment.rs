//! Tables, index, queue and bucket of the profile aws for one test, on the real services of the local stack.

use std::path::{Path, PathBuf};

use fhirpool_server::config::{Config, Given, Profile};
use fhirpool_server::deployment;

/// Made for one test under names that nothing else has; removed when it is dropped.
pub struct Deployment {
    given: Given,
    folder: tempfile::TempDir,
}

impl Deployment {
    /// Makes all of it, as `fhirpool migrate` does.
    pub async fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let given = Given {
            profile: Some(Profile::Aws),
            data: Some(folder.path().to_owned()),
            local_issuer: Some(true),
            dynamodb_endpoint: Some(endpoint("FHIRPOOL_DYNAMODB_ENDPOINT")),
            dynamodb_table: Some(name.clone()),
            opensearch_url: vec![endpoint("FHIRPOOL_OPENSEARCH_URL")],
            opensearch_index: Some(name.clone()),
            opensearch_shards: Some(1),
            opensearch_replicas: Some(0),
            s3_endpoint: Some(endpoint("FHIRPOOL_S3_ENDPOINT")),
            s3_bucket: Some(name.clone()),
            kms_endpoint: Some(endpoint("FHIRPOOL_KMS_ENDPOINT")),
            kms_key: Some(endpoint("FHIRPOOL_KMS_KEY")),
            sqs_endpoint: Some(endpoint("FHIRPOOL_SQS_ENDPOINT")),
            sqs_queue: Some(name),
            // All parts and the tests share one machine: what is not there in time is seldom what a test is about.
            search_wait_ms_max: Some(20_000),
            ..Given::default()
        };
        let made = Self { given, folder };
        deployment::migrate(&made.config()).await.unwrap();
        made
    }

    /// What a server on it is started with.
    pub fn given(&self) -> Given {
        self.given.clone()
    }

    /// The settings.
    pub fn config(&self) -> Config {
        Config::resolve(self.given(), None).unwrap()
    }

    /// The folder of the issuer's key, which all nodes of a test share.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// A file with the settings, for `--config`.
    pub fn file(&self) -> PathBuf {
        let path = self.folder.path().join("settings.toml");
        std::fs::write(&path, toml::to_string(&self.given).unwrap()).unwrap();
        path
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let config = self.config();
        // Where this runs there may be no runtime, or one that must not wait.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(deployment::remove(&config))
        });
        match removing.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("left behind on the stack: {error}"),
            Err(_) => eprintln!("left behind on the stack: removing panicked"),
        }
    }
}

pub(crate) fn endpoint(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: start the local stack with `cargo xtask stack up`"))
}
