//! Why a store does not open.

use fhirpool_storage::StorageError;

use crate::committer::DatabaseError;

/// What callers tell apart. The text is for whoever runs the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes on one folder would ruin it.
    #[error("the data folder {0} is in use by another process: stop that one first, or name another folder by --data")]
    InUse(String),
    /// It was written by a later version.
    #[error("the data folder has format {0}, which this version of fhirpool does not know")]
    UnknownFormat(u32),
    /// What is stored cannot be read; `fhirpool repair` may help.
    #[error("the data folder is damaged ({0}): `fhirpool verify` tells where, `fhirpool repair` rebuilds what can be")]
    Damaged(String),
    /// The folder or a file in it cannot be used.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Format(number) => Self::UnknownFormat(number),
            DatabaseError::Database(fjall::Error::Io(error)) => Self::Io(error),
            DatabaseError::Database(error) => Self::Damaged(error.to_string()),
            DatabaseError::Content(StorageError::Damaged(text)) => Self::Damaged(text),
            DatabaseError::Content(error) => Self::Io(std::io::Error::other(error)),
        }
    }
}
