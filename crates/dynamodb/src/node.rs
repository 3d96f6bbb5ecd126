//! What a process is to its stores: a name, a clock and numbers that it gives once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use fhirpool_fhir::Timestamp;

use crate::item::{NodeId, WriterId};

/// Microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// One a process and store.
pub(crate) struct Node {
    id: NodeId,
    clock: Clock,
    last_us: AtomicI64,
    writes: AtomicU64,
}

impl Node {
    /// Under a name that no other has.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { id: NodeId(rand::random()), clock, last_us: AtomicI64::new(i64::MIN), writes: AtomicU64::new(0) }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Microseconds since 1970; later than every time it gave before, so that its own writes and views have an order.
    pub(crate) fn now_us(&self) -> i64 {
        let now = (self.clock)();
        let mut last = self.last_us.load(Ordering::Relaxed);
        loop {
            let next = now.max(last.saturating_add(1));
            match self.last_us.compare_exchange_weak(last, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(other) => last = other,
            }
        }
    }

    /// FHIR's time, of milliseconds.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp((self.clock)().div_euclid(1_000))
    }

    /// The name of a new write.
    pub(crate) fn writer(&self) -> WriterId {
        WriterId { node: self.id, number: self.writes.fetch_add(1, Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_though_the_clock_stands_still_or_goes_back() {
        let now = Arc::new(AtomicI64::new(100));
        let node = Node::new({
            let now = now.clone();
            Arc::new(move || now.load(Ordering::Relaxed))
        });
        assert_eq!([node.now_us(), node.now_us()], [100, 101]);
        now.store(50, Ordering::Relaxed);
        assert_eq!(node.now_us(), 102);
        now.store(500, Ordering::Relaxed);
        assert_eq!(node.now_us(), 500);
    }

    #[test]
    fn no_two_writes_have_one_name() {
        let node = Node::new(Arc::new(|| 0));
        assert_ne!(node.writer(), node.writer());
        assert_ne!(node.id(), Node::new(Arc::new(|| 0)).id());
    }
}
