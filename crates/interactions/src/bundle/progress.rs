//! How far a Bundle is: who waits for it may go away, or it may take too long, and it is given up half way then. The log of
//! accesses and quotas are told all the same.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fhirpool_audit::{Activity, Touched};
use fhirpool_fhir::ResourceKey;

use super::BundleKind;

/// What is known of a Bundle that is under way, or has ended.
#[derive(Debug, Default)]
pub struct BundleProgress(Mutex<Option<BundleSoFar>>);

/// What a Bundle has done so far, and may be about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSoFar {
    /// Batch or transaction.
    pub activity: Activity,
    /// What the entries cost together, in points of quotas.
    pub points: u64,
    /// What the entries are about, in their order; those without a status may have been done, or not.
    pub touched: Vec<Touched>,
}

impl BundleProgress {
    /// Taken out; `None` where nothing was begun.
    pub fn take(&self) -> Option<BundleSoFar> {
        self.lock().take()
    }

    /// What the entries cost together, in points of quotas; `None` where nothing was begun.
    pub fn points(&self) -> Option<u64> {
        self.lock().as_ref().map(|so_far| so_far.points)
    }

    /// The Bundle begins: told ahead of anything that it does.
    pub(super) fn begin(&self, kind: BundleKind, points: u64, touched: Vec<Touched>) {
        let activity = match kind {
            BundleKind::Batch => Activity::Batch,
            BundleKind::Transaction => Activity::Transaction,
        };
        *self.lock() = Some(BundleSoFar { activity, points, touched });
    }

    /// Entries are about to write these resources.
    pub(super) fn meet<'a>(&self, keys: impl Iterator<Item = (usize, &'a ResourceKey)>) {
        let mut so_far = self.lock();
        let Some(so_far) = so_far.as_mut() else { return };
        for (index, key) in keys {
            if let Some(touched) = so_far.touched.get_mut(index) {
                (touched.resource_type, touched.id) = (Some(key.resource_type), Some(key.id.to_string()));
            }
        }
    }

    /// An entry has ended.
    pub(super) fn end(&self, index: usize, touched: Touched) {
        if let Some(entry) = self.lock().as_mut().and_then(|so_far| so_far.touched.get_mut(index)) {
            *entry = touched;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BundleSoFar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
