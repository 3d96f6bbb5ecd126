//! The CapabilityStatement (R4 http.html#capabilities).

use std::sync::Arc;

use crate::Interactions;

impl Interactions {
    /// The CapabilityStatement's JSON of the server at this base.
    pub fn capabilities(&self, _base: &str) -> Arc<str> {
        Arc::from("{}")
    }
}
