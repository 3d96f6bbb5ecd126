//! A consistent picture of the store: what a [`View`] holds.

use std::sync::Arc;

use fhirpool_storage::{Result, StorageError, View};

use crate::database::Snapshot;
use crate::tenants::Tenants;

/// Everything committed up to one sequence and nothing later.
pub(crate) struct Picture {
    /// Reads.
    pub(crate) snapshot: Snapshot,
    /// The last commit in it.
    pub(crate) sequence: u64,
    /// The tenants.
    pub(crate) tenants: Tenants,
}

impl Picture {
    /// The view that shows it.
    pub(crate) fn view(self: &Arc<Self>) -> View {
        View { sequence: self.sequence, handle: Arc::<Self>::clone(self) }
    }

    /// What a view shows.
    pub(crate) fn of(view: &View) -> Result<Arc<Self>> {
        let picture = Arc::clone(&view.handle).downcast::<Self>();
        picture.map_err(|_| StorageError::Unavailable("the view is of another store".into()))
    }
}
