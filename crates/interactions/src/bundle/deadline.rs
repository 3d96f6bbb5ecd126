//! Until when the reads of a bundle may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::{ErrorKind, InteractionError, Interactions, Result};

/// A moment behind which nothing more is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Interactions {
    /// The deadline of reads that begin now.
    pub(super) fn look_deadline(&self) -> Deadline {
        Deadline(Instant::now() + Duration::from_millis(self.limits.look_ms_max))
    }
}

impl Deadline {
    /// What the work gives if it ends in time.
    pub(super) async fn keep<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if Instant::now() >= self.0 {
            return Err(too_late());
        }
        tokio::time::timeout_at(self.0, work).await.unwrap_or_else(|_| Err(too_late()))
    }
}

fn too_late() -> InteractionError {
    InteractionError::of(ErrorKind::Unavailable, "the time for the reads of this Bundle is over; its writes are not affected; ask again")
}
