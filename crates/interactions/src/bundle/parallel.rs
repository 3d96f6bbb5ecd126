//! Work on many items by several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Items that one thread takes at a time.
const CHUNK: usize = 64;

/// Applies a function to the indices below `count`, on at most so many threads, and gives the results in order. Blocks: to be
/// called on a thread that may take its time.
pub(super) fn map_indices<T: Send>(threads: usize, count: usize, apply: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(cores).min(count.div_ceil(CHUNK));
    if threads <= 1 {
        return (0..count).map(apply).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let take_chunks = || {
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= count {
                break;
            }
            let results: Vec<T> = (start..count.min(start + CHUNK)).map(&apply).collect();
            done.lock().unwrap_or_else(PoisonError::into_inner).push((start, results));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take_chunks);
        }
        take_chunks();
    });
    let mut chunks = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    chunks.sort_unstable_by_key(|(start, _)| *start);
    chunks.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whoever_made_them() {
        for count in [0, 1, 63, 64, 65, 1000] {
            let expected: Vec<usize> = (0..count).map(|index| index * 2).collect();
            assert_eq!(map_indices(4, count, |index| index * 2), expected);
        }
    }
}
