//! Dead letters, tried again.

use std::sync::Arc;

use fhirpool_authz::{Principal, TenantId, WriteAccess};
use fhirpool_storage::{ChangeFeed, DeadLetter, DeadLetters, IndexOutcome, IndexWriter, Result, StorageError};

use crate::Extraction;

/// What a redrive works with.
#[derive(Clone)]
pub struct RedrivePorts {
    /// Where the letters are.
    pub letters: Arc<dyn DeadLetters>,
    /// What the store holds now.
    pub feed: Arc<dyn ChangeFeed>,
    /// The index.
    pub writer: Arc<dyn IndexWriter>,
    /// Makes index entries.
    pub extraction: Extraction,
}

/// What became of the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Indexed as the store holds them now, or gone from it, or of a tenant that was deleted; removed.
    pub done: usize,
    /// Still refused, or of records that name no resource; they stay.
    pub kept: usize,
}

/// Letters taken at once.
const TAKEN_AT_ONCE: usize = 10;

/// Indexes what the store holds **now** of the resources that dead letters name, never what a letter was of: that may be long
/// overtaken. Looks at no more letters than the limit.
pub async fn redrive(ports: &RedrivePorts, limit: usize) -> Result<Redriven> {
    let mut redriven = Redriven::default();
    while redriven.done + redriven.kept < limit {
        let wanted = TAKEN_AT_ONCE.min(limit - redriven.done - redriven.kept);
        let letters = ports.letters.take(wanted).await?;
        if letters.is_empty() {
            break;
        }
        for (letter, receipt) in letters {
            if redrive_one(ports, &letter).await? {
                ports.letters.remove(&receipt).await?;
                redriven.done += 1;
            } else {
                redriven.kept += 1;
            }
        }
    }
    ports.writer.refresh().await?;
    Ok(redriven)
}

/// `false`: there is nothing to be done about it yet.
async fn redrive_one(ports: &RedrivePorts, letter: &DeadLetter) -> Result<bool> {
    let DeadLetter { tenant: Some(tenant), key, .. } = letter else {
        tracing::warn!(record = %letter.record, cause = %letter.cause, "the dead letter names no tenant");
        return Ok(false);
    };
    let access = operator(tenant)?;
    // Asked also where no resource is named.
    let newest = match ports.feed.newest(&access, key.as_slice()).await {
        Ok(newest) => newest.into_iter().next().flatten(),
        // Closed since: nothing of it is to be found any more.
        Err(StorageError::UnknownTenant) => return Ok(true),
        Err(error) => return Err(error),
    };
    let Some(key) = key else {
        tracing::warn!(record = %letter.record, cause = %letter.cause, "the dead letter names no resource");
        return Ok(false);
    };
    let Some(stored) = newest else { return Ok(true) };
    let document = match ports.extraction.document(&access, key, &stored) {
        Ok(document) => document,
        Err(error) => {
            tracing::warn!(record = %letter.record, %error, "the resource still cannot be indexed");
            return Ok(false);
        }
    };
    match ports.writer.apply(&[document]).await?.first() {
        Some(IndexOutcome::Applied) => Ok(true),
        Some(IndexOutcome::Refused(cause)) => {
            tracing::warn!(record = %letter.record, %cause, "the index still refuses the resource");
            Ok(false)
        }
        None => Err(StorageError::Unavailable("the index did not say what became of a document".into())),
    }
}

/// Leave to do what infrastructure does within a tenant.
pub(crate) fn operator(tenant: &TenantId) -> Result<WriteAccess> {
    WriteAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)
}
