//! Many requests of one call, so many at once.

use fhirpool_storage::Result;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

/// Works on each item, on at most so many at once, beginning them in order; the results in order, or the first error.
pub(crate) async fn each<'a, I, T>(concurrency: usize, items: I, work: impl Fn(I::Item) -> BoxFuture<'a, Result<T>>) -> Result<Vec<T>>
where
    I: Iterator,
{
    let mut items = items.fuse();
    let mut results = Vec::with_capacity(items.size_hint().0);
    let mut running = FuturesOrdered::new();
    loop {
        while running.len() < concurrency.max(1)
            && let Some(item) = items.next()
        {
            running.push_back(work(item));
        }
        match running.next().await {
            Some(result) => results.push(result?),
            None => return Ok(results),
        }
    }
}
