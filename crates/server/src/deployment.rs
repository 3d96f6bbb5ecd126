//! What the profile aws needs of its services, made and removed.

use fhirpool_storage::{Result, StorageError};

use crate::assembly::aws::Services;
use crate::config::Config;

/// Makes tables, index, queue and bucket as this version needs them; gives the numbers of the migrations that were new.
pub async fn migrate(config: &Config) -> Result<Vec<u32>> {
    connect(config).await?.migrate().await
}

/// Removes all of it with everything that is in it: for tests and trials.
pub async fn remove(config: &Config) -> Result<()> {
    let services = connect(config).await?;
    services.schema.remove().await?;
    services.search.remove().await?;
    services.letters.remove_queue().await?;
    services.content.remove_bucket().await
}

async fn connect(config: &Config) -> Result<Services> {
    Services::connect(config).await.map_err(|error| StorageError::Unavailable(error.to_string()))
}
