//! The time of a node.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The time as the nodes of a fleet tell it to each other: microseconds since 1970. Never goes back.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> i64;
}

/// The machine's clock. Where that is set back, this one stands still until it is overtaken.
#[derive(Debug, Default)]
pub struct NodeClock {
    latest: AtomicI64,
}

impl Clock for NodeClock {
    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}
