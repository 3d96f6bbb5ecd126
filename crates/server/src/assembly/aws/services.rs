//! The services of the profile aws, connected as the settings say.

use std::path::Path;
use std::sync::Arc;

use fhirpool_binary::{S3Content, S3Settings};
use fhirpool_dynamodb::{Client, ConnectionSettings, Control, DynamoAuditLog, Schema};
use fhirpool_fhir::Definitions;
use fhirpool_kms::KmsKeyRing;
use fhirpool_opensearch::{Login, OpenSearch, OpenSearchSettings};
use fhirpool_sqs::Queue;
use fhirpool_storage::tenants::{DirectorySettings, TenantDirectory};
use fhirpool_storage::{KeyRing, Migrate, Result, apply_migrations, missing_migrations};

use crate::assembly::StartError;
use crate::config::{Config, ConfigError};

/// Every service, connected; nothing is asked of them yet.
pub(crate) struct Services {
    pub dynamo: Client,
    pub schema: Schema,
    pub control: Control,
    /// Drops keys of tenants whose state changes.
    pub tenants: Arc<TenantDirectory>,
    pub keys: Arc<KmsKeyRing>,
    pub content: Arc<S3Content>,
    pub search: Arc<OpenSearch>,
    pub letters: Arc<Queue>,
}

impl Services {
    pub(crate) async fn connect(config: &Config) -> std::result::Result<Self, StartError> {
        // Clients of HTTPS ask for the provider of the process where they are not given one.
        let installed = rustls::crypto::ring::default_provider().install_default();
        if installed.is_err() {
            tracing::debug!("a provider of cryptography was installed before");
        }
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let region = given(&config.aws_region);
        let endpoint = given(&config.dynamodb_endpoint);
        let dynamo = Client::connect(ConnectionSettings::new(endpoint, region.clone(), &config.dynamodb_table)).await;
        let control = Control::new(dynamo.clone());
        let kms = fhirpool_kms::Settings { endpoint: given(&config.kms_endpoint), region: region.clone() };
        let kms = fhirpool_kms::client(&kms).await;
        let keys = KmsKeyRing::new(kms, &config.kms_key, Arc::new(control.clone()), &fhirpool_kms::Limits::default());
        let keys = Arc::new(keys);
        let tenants = Arc::new(TenantDirectory::new(Arc::new(control.clone()), DirectorySettings::default()));
        let ring = Arc::clone(&keys);
        tenants.on_change(Box::new(move |tenant, _| ring.forget(tenant)));
        let s3 = S3Settings {
            endpoint: given(&config.s3_endpoint),
            public_endpoint: given(&config.s3_public_endpoint),
            region: region.clone(),
            bucket: config.s3_bucket.clone(),
            path_style: !config.s3_endpoint.is_empty(),
            encryption_key: given(&config.s3_kms_key),
        };
        let sqs = fhirpool_sqs::Settings { endpoint: given(&config.sqs_endpoint), region, queue: config.sqs_queue.clone() };
        Ok(Self {
            schema: Schema::new(dynamo.clone()),
            tenants,
            content: Arc::new(S3Content::open(s3, Arc::clone(&keys) as _).await),
            search: Arc::new(OpenSearch::new(search_settings(config)?, &Definitions::r4()).map_err(StartError::Service)?),
            letters: Arc::new(Queue::open(sqs).await),
            dynamo,
            control,
            keys,
        })
    }

    /// The log of accesses, with chains of its own.
    pub(crate) fn audit_log(&self) -> DynamoAuditLog {
        DynamoAuditLog::new(self.dynamo.clone(), Arc::clone(&self.tenants) as _)
    }

    fn migrated(&self) -> [&dyn Migrate; 4] {
        [&self.schema, &*self.search, &*self.letters, &*self.content]
    }

    /// Makes everything as this version needs it; gives the numbers of the migrations that were not recorded yet.
    pub(crate) async fn migrate(&self) -> Result<Vec<u32>> {
        apply_migrations(&self.migrated(), &self.control).await
    }

    /// What this version needs and is not there, as clauses.
    pub(crate) async fn missing(&self) -> Result<Vec<String>> {
        missing_migrations(&self.migrated(), &self.control).await
    }

    /// Refuses to go on with services that are not as this version needs them.
    pub(crate) async fn check(&self) -> std::result::Result<(), StartError> {
        let missing = self.missing().await.map_err(StartError::Service)?;
        if missing.is_empty() { Ok(()) } else { Err(StartError::NotMigrated(missing.join("; "))) }
    }
}

fn search_settings(config: &Config) -> std::result::Result<OpenSearchSettings, ConfigError> {
    let login = match config.opensearch_user.as_str() {
        "" => None,
        user => Some(Login { user: user.to_owned(), password: password(&config.opensearch_password_file)? }),
    };
    Ok(OpenSearchSettings {
        urls: config.opensearch_url.clone(),
        login,
        shards: config.opensearch_shards as u32,
        replicas: config.opensearch_replicas as u32,
        ..OpenSearchSettings::new("", &config.opensearch_index)
    })
}

/// The first line of a file.
fn password(path: &Path) -> std::result::Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Refused {
        setting: "opensearch_password_file",
        found: format!("{} ({cause})", path.display()),
        allowed: "a readable file with the password".to_owned(),
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
