//! What searches wait for and show.

use super::*;

async fn page(index: &dyn SearchIndex, access: &ReadAccess, request: SearchRequest) -> Vec<String> {
    index.search(access, &request).await.unwrap().hits.iter().map(|hit| hit.key.id.to_string()).collect()
}

#[tokio::test]
async fn who_has_not_written_does_not_wait() {
    let world = World::new(&[tenant("a"), tenant("b")], 1, Faults::none());
    // No indexer runs: who waits, waits in vain.
    let (store, index) = world.node(world.watermarks());
    commit(&*store, &access("a"), vec![put("Observation/1", "")]).await;
    let begun = Instant::now();
    assert_eq!(ids(&*index, access("b").as_read(), "Observation").await, [""; 0]);
    let eventual = SearchRequest { freshness: Freshness::Eventual, ..search("Observation") };
    assert_eq!(page(&*index, access("a").as_read(), eventual).await, [""; 0]);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn marks_are_written_once_in_a_while_and_read_when_they_must_be() {
    let world = World::new(&[tenant("a")], 1, Faults::none());
    let (store, index) = world.node(world.watermarks());
    let _indexer = Ends(world.indexer(world.watermarks()));
    for number in 0..20 {
        commit(&*store, &access("a"), vec![put(&format!("Observation/{number}"), "")]).await;
    }
    assert_eq!(*world.marks.written.lock().unwrap(), 1);
    assert_eq!(ids(&*index, access("a").as_read(), "Observation").await.len(), 20);
    assert_eq!(*world.marks.read.lock().unwrap(), 0, "this node knows that the client has just written");
    let (_, other) = world.node(world.watermarks());
    assert_eq!(ids(&*other, access("a").as_read(), "Observation").await.len(), 20);
    assert_eq!(*world.marks.read.lock().unwrap(), 1);
}

#[tokio::test]
async fn what_has_changed_since_the_index_knew_it_is_checked_and_the_page_filled_up() {
    let world = World::new(&[tenant("a")], 1, Faults::none());
    let watermarks = world.watermarks();
    let indexer = world.indexer(watermarks.clone());
    let (store, index) = world.node(watermarks);
    let access = access("a");
    for number in 0..60 {
        commit(&*store, &access, vec![put(&format!("Observation/{number:02}"), &observation("x", 1, ""))]).await;
    }
    assert_eq!(ids(&*index, access.as_read(), "Observation?code=x").await.len(), 60);
    indexer.abort();
    let _ = indexer.await;
    // From now on the index knows nothing more.
    for number in 0..50 {
        let name = format!("Observation/{number:02}");
        let change = if number % 2 == 0 { delete(&name) } else { put(&name, &observation("y", 1, "")) };
        commit(&*store, &access, vec![change]).await;
    }
    let eventual = |limit| SearchRequest { freshness: Freshness::Eventual, limit, ..search("Observation?code=x") };
    assert_eq!(page(&*index, access.as_read(), eventual(3)).await, ["50", "51", "52"]);
    let first = index.search(access.as_read(), &eventual(8)).await.unwrap();
    assert!(first.more);
    let after = first.hits.last().map(|hit| hit.position.clone());
    let second = index.search(access.as_read(), &SearchRequest { after, ..eventual(8) }).await.unwrap();
    assert_eq!((second.hits.len(), second.more), (2, false));
    assert_eq!(page(&*index, access.as_read(), SearchRequest { ..eventual(100) }).await.len(), 10);
    let gone = SearchRequest { freshness: Freshness::Eventual, limit: 3, ..search("Observation?_id=00,02,04") };
    assert_eq!(page(&*index, access.as_read(), gone).await, [""; 0]);
}

#[tokio::test]
async fn past_the_bound_a_search_says_that_it_may_lack_something_and_an_exact_one_fails() {
    let world = World::new(&[tenant("a")], 1, Faults::none());
    let watermarks = world.watermarks();
    let settings = crate::FreshnessSettings { wait_ms_max: 50, ..crate::FreshnessSettings::default() };
    let recency = Arc::new(crate::Recency::new(world.marks.clone(), watermarks, world.clock.clone(), &settings));
    let parts = crate::FreshIndexParts {
        candidates: world.index.clone(),
        store: world.stream.clone(),
        lookup: Arc::new(crate::testing::NoLookup),
        recency,
        extraction: World::extraction(),
    };
    let index = crate::FreshIndex::new(parts);
    let access = access("a");
    let tenant = SearchRequest { freshness: Freshness::Tenant, ..search("Observation") };
    assert!(!index.search(access.as_read(), &tenant).await.unwrap().caught_up);
    let exact = SearchRequest { freshness: Freshness::Exact, ..search("Observation?code=x") };
    assert!(index.search(access.as_read(), &exact).await.is_err());
}
