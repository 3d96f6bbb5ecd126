//! Places in a commit at which tests stop, delay or end the process. Nothing where they are not compiled in.

#[cfg(any(test, feature = "faults"))]
use std::sync::{Arc, OnceLock};

#[cfg(any(test, feature = "faults"))]
use futures_util::future::BoxFuture;

/// A step that has just been, or is about to be, taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The one item of a single change.
    BeforeAlone,
    /// It was written.
    AfterAlone,
    /// A claim or lock.
    BeforeClaim,
    /// It is held.
    AfterClaim,
    /// The manifest.
    BeforeManifest,
    /// It is written.
    AfterManifest,
    /// A version of a transaction.
    BeforeIntent,
    /// It is staged.
    AfterIntent,
    /// The commit record.
    BeforeRecord,
    /// It is written.
    AfterRecord,
    /// Ending a transaction of one's own.
    BeforeAbort,
    /// Its record says so.
    AfterAbort,
    /// Removing what a transaction left.
    BeforeRemoval,
}

#[cfg(any(test, feature = "faults"))]
impl Step {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::BeforeAlone,
        Self::AfterAlone,
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::BeforeManifest,
        Self::AfterManifest,
        Self::BeforeIntent,
        Self::AfterIntent,
        Self::BeforeRecord,
        Self::AfterRecord,
        Self::BeforeAbort,
        Self::AfterAbort,
        Self::BeforeRemoval,
    ];
}

/// What happens at a step.
#[cfg(any(test, feature = "faults"))]
pub type Hook = Arc<dyn Fn(Step) -> BoxFuture<'static, ()> + Send + Sync>;

/// The faults of one store.
#[derive(Default)]
pub(crate) struct Faults {
    #[cfg(any(test, feature = "faults"))]
    hook: OnceLock<Hook>,
}

impl Faults {
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn set(&self, hook: Hook) {
        assert!(self.hook.set(hook).is_ok(), "a store has one hook");
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) async fn at(&self, step: Step) {
        if let Some(hook) = self.hook.get() {
            hook(step).await;
        }
    }

    #[cfg(not(any(test, feature = "faults")))]
    pub(crate) async fn at(&self, _: Step) {}
}
