//! Makes the bucket as a migration describes it.

use async_trait::async_trait;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleRule, LifecycleRuleFilter, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use fhirpool_storage::{Migrate, Migration, MigrationPart, Result, StorageError};
use serde::Deserialize;

use super::S3Content;
use super::client::{failure, is_missing, is_not_implemented};

/// The region whose name a bucket's place is not told by.
const FIRST_REGION: &str = "us-east-1";

/// What a description of the bucket says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(rename = "why")]
    _why: String,
    /// Whether it keeps versions.
    versioning: bool,
    /// Days after which uploads that were never finished are removed.
    abort_incomplete_uploads_days: i32,
}

impl Description {
    fn read(migration: &Migration) -> Result<Self> {
        serde_json::from_str(migration.description)
            .map_err(|error| StorageError::Damaged(format!("migration {}: {error}", migration.number)))
    }
}

#[async_trait]
impl Migrate for S3Content {
    fn part(&self) -> MigrationPart {
        MigrationPart::S3
    }

    async fn check(&self, migration: &Migration) -> Result<Vec<String>> {
        let description = Description::read(migration)?;
        let bucket = self.bucket();
        if !self.bucket_exists().await? {
            return Ok(vec![format!("the bucket {bucket} does not exist")]);
        }
        let mut missing = Vec::new();
        if description.versioning {
            let found = self.client.get_bucket_versioning().bucket(bucket).send().await;
            if let Some(found) = unless_not_implemented("GetBucketVersioning", found)?
                && found.status() != Some(&BucketVersioningStatus::Enabled)
            {
                missing.push(format!("the bucket {bucket} does not keep versions"));
            }
        }
        Ok(missing)
    }

    async fn apply(&self, migration: &Migration) -> Result<()> {
        let description = Description::read(migration)?;
        if !self.bucket_exists().await? {
            self.create_bucket().await?;
        }
        if description.versioning {
            let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let done = self.client.put_bucket_versioning().bucket(self.bucket()).versioning_configuration(versioning).send().await;
            if unless_not_implemented("PutBucketVersioning", done)?.is_none() {
                tracing::warn!("this endpoint of S3 has no versions: an upload URL that is used again replaces what was uploaded first");
            }
        }
        self.put_lifecycle(description.abort_incomplete_uploads_days).await?;
        self.put_encryption().await
    }
}

impl S3Content {
    /// Removes the bucket, which must be empty.
    pub async fn destroy(&self) -> Result<()> {
        self.client.delete_bucket().bucket(self.bucket()).send().await.map_err(|error| failure("DeleteBucket", &error))?;
        Ok(())
    }

    async fn bucket_exists(&self) -> Result<bool> {
        match self.client.head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) || code(&error) == Some("NoSuchBucket") => Ok(false),
            Err(error) => Err(failure("HeadBucket", &error)),
        }
    }

    async fn create_bucket(&self) -> Result<()> {
        let region = self.client.config().region().map(|region| region.as_ref()).filter(|region| *region != FIRST_REGION);
        let place =
            region.map(|region| CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build());
        match self.client.create_bucket().bucket(self.bucket()).set_create_bucket_configuration(place).send().await {
            Ok(_) => Ok(()),
            // Someone else was as fast.
            Err(error) if code(&error) == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(failure("CreateBucket", &error)),
        }
    }

    /// Removes parts of uploads that never became an object, and nothing else: the first version of an object is kept for good.
    async fn put_lifecycle(&self, days: i32) -> Result<()> {
        let rule = LifecycleRule::builder()
            .id("unfinished-uploads")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build())
            .build()
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let rules = BucketLifecycleConfiguration::builder().rules(rule).build();
        let rules = rules.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let request = self.client.put_bucket_lifecycle_configuration().bucket(self.bucket()).lifecycle_configuration(rules);
        unless_not_implemented("PutBucketLifecycleConfiguration", request.send().await)?;
        Ok(())
    }

    async fn put_encryption(&self) -> Result<()> {
        let Some(key) = &self.settings.encryption_key else { return Ok(()) };
        let by_default =
            ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::AwsKms).kms_master_key_id(key).build();
        let by_default = by_default.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).bucket_key_enabled(true).build();
        let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build();
        let rules = rules.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let request = self.client.put_bucket_encryption().bucket(self.bucket()).server_side_encryption_configuration(rules);
        request.send().await.map_err(|error| failure("PutBucketEncryption", &error))?;
        Ok(())
    }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// `None` where the endpoint does not know the operation.
fn unless_not_implemented<T, E>(operation: &'static str, result: std::result::Result<T, SdkError<E>>) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_not_implemented(&error) => Ok(None),
        Err(error) => Err(failure(operation, &error)),
    }
}
