//! Following the stream.

use super::*;

/// Whatever fails, whoever dies, however the stream is cut: nothing before the watermark is missing, and in the end all is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_converges_and_the_watermark_never_lies() {
    let mut random = Random::seeded("the_index_converges_and_the_watermark_never_lies");
    let world = World::new(&[tenant("a"), tenant("b")], 3, Faults::of(random.fork(1)));
    let mut indexers = vec![world.indexer(world.watermarks()), world.indexer(world.watermarks())];
    let done = Arc::new(AtomicBool::new(false));
    let checker = tokio::spawn(check(world.clone(), done.clone()));
    let writers: Vec<_> = (0..3).map(|number| tokio::spawn(write(world.clone(), random.fork(10 + number)))).collect();
    let mut deaths = 0;
    while !writers.iter().all(|writer| writer.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20 + random.below(80) as u64)).await;
        match random.below(4) {
            0 => world.stream.split(random.below(100)),
            1 | 2 => {
                let victim = indexers.swap_remove(random.below(indexers.len()));
                victim.abort();
                deaths += 1;
                indexers.push(world.indexer(world.watermarks()));
            }
            _ => {}
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    world.faults.end();
    let end = world.clock.now();
    eventually("the watermark passes the end", async || {
        read_watermark(&*world.leases).await.is_ok_and(|watermark| watermark.is_some_and(|watermark| watermark > end))
    })
    .await;
    done.store(true, Ordering::SeqCst);
    let looks = checker.await.unwrap();
    println!("{deaths} deaths, {looks} looks at the watermark, {} writes", world.stream.acknowledged.lock().unwrap().len());
    assert!(deaths > 5 && looks > 20);
    assert_index_is_the_store(&world).await;
    indexers.iter().for_each(|indexer| indexer.abort());
}

async fn write(world: Arc<World>, mut random: Random) {
    for step in 0..150 {
        let access = access(["a", "b"][random.below(2)]);
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for _ in 0..1 + random.below(3) * random.below(2) {
            let name = format!("Observation/o{}", random.below(12));
            let change = match random.below(5) {
                0 => delete(&name),
                _ => put(&name, &observation(&format!("c{step}"), step, "")),
            };
            changes.insert(name, change);
        }
        commit(&*world.stream, &access, changes.into_values().collect()).await;
        tokio::time::sleep(Duration::from_millis(random.below(15) as u64)).await;
    }
}

/// Looks at the watermark again and again: everything acknowledged before it must be found and logged.
async fn check(world: Arc<World>, done: Arc<AtomicBool>) -> usize {
    let mut looks = 0;
    while !done.load(Ordering::SeqCst) {
        if let Ok(Some(watermark)) = read_watermark(&*world.leases).await {
            let acknowledged = world.stream.acknowledged.lock().unwrap().clone();
            for (access, key, version, at) in acknowledged {
                if at < watermark {
                    let found = world.index.found(access.tenant(), &key).map(|(version, _)| version);
                    assert!(found >= Some(version), "{key} {version} of {at} is before {watermark}, but {found:?} is found");
                    assert!(world.log.has(access.tenant(), &key, version), "{key} {version} is not logged");
                }
            }
            looks += 1;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    looks
}

async fn assert_index_is_the_store(world: &World) {
    let keys: BTreeSet<(String, String)> = {
        let acknowledged = world.stream.acknowledged.lock().unwrap();
        acknowledged.iter().map(|(access, key, ..)| (access.tenant().to_string(), key.to_string())).collect()
    };
    assert!(keys.len() > 10);
    for (name, text) in keys {
        let (access, key) = (access(&name), key(&text));
        let stored = world.store.read(access.as_read(), &key).await.unwrap().unwrap();
        let found = world.index.found(access.tenant(), &key);
        assert_eq!(found.as_ref().map(|(version, _)| *version), Some(stored.version), "{name} {text}");
        let is_live = found.is_some_and(|(_, entries)| entries.is_some());
        assert_eq!(is_live, stored.content != Content::Deleted, "{name} {text}");
    }
}

#[tokio::test]
async fn indexers_share_shards_and_take_over_from_the_dead() {
    let world = World::new(&[tenant("a")], 5, Faults::none());
    let first = world.indexer(world.watermarks());
    let owners = || {
        let leases = world.leases.all().into_iter().filter(|lease| !lease.ended && !lease.owner.is_empty());
        leases.fold(BTreeMap::<String, usize>::new(), |mut owners, lease| {
            *owners.entry(lease.owner).or_default() += 1;
            owners
        })
    };
    eventually("one has all", async || owners().values().eq([&5])).await;
    let second = Ends(world.indexer(world.watermarks()));
    eventually("two share", async || owners().values().copied().collect::<BTreeSet<_>>() == BTreeSet::from([2, 3])).await;
    first.abort();
    eventually("the other takes over", async || owners().values().eq([&5])).await;
    let now = world.clock.now();
    eventually("and goes on", async || read_watermark(&*world.leases).await.unwrap().is_some_and(|watermark| watermark > now)).await;
    drop(second);
}

#[tokio::test]
async fn what_cannot_be_applied_becomes_a_dead_letter_and_the_shard_goes_on() {
    let world = World::new(&[tenant("a")], 1, Faults::none());
    let watermarks = world.watermarks();
    let _indexer = Ends(world.indexer(watermarks.clone()));
    let (store, index) = world.node(watermarks);
    let access = access("a");
    world.index.refuse(&key("Observation/bad"), true);
    world.stream.tell("x", FeedChange::Unreadable { tenant: Some(tenant("a")), record: "r".into(), cause: "damaged".into() });
    commit(&*store, &access, vec![put("Observation/bad", &observation("x", 1, ""))]).await;
    commit(&*store, &access, vec![put("Observation/good", &observation("x", 1, ""))]).await;
    assert_eq!(ids(&*index, access.as_read(), "Observation?code=x").await, ["good"]);
    let letters = world.letters.all();
    assert_eq!(letters.iter().map(|letter| letter.record.as_str()).collect::<Vec<_>>(), ["r", "Observation/bad/_history/1"]);
    // What the store holds by then is what is indexed.
    commit(&*store, &access, vec![put("Observation/bad", &observation("y", 1, ""))]).await;
    ids(&*index, access.as_read(), "Observation").await;
    let ports = RedrivePorts {
        letters: world.letters.clone(),
        feed: world.stream.clone(),
        writer: world.index.clone(),
        extraction: World::extraction(),
    };
    assert_eq!(redrive(&ports, 100).await.unwrap(), Redriven { done: 0, kept: 3 });
    world.letters.come_again();
    world.index.refuse(&key("Observation/bad"), false);
    assert_eq!(redrive(&ports, 100).await.unwrap(), Redriven { done: 2, kept: 1 });
    assert_eq!(ids(&*index, access.as_read(), "Observation?code=y").await, ["bad"]);
    assert_eq!(world.letters.all().len(), 1);
}

#[tokio::test]
async fn what_waited_while_its_tenant_was_deleted_is_not_indexed() {
    let world = World::new(&[tenant("a"), tenant("b")], 1, Faults::none());
    world.letters.fail(true);
    world.stream.tell("x", FeedChange::Unreadable { tenant: Some(tenant("gone")), record: "r".into(), cause: "damaged".into() });
    for name in ["a", "b"] {
        commit(&*world.stream, &access(name), vec![put("Observation/1", &observation("x", 1, ""))]).await;
    }
    let _indexer = Ends(world.indexer(world.watermarks()));
    eventually("the page stands still", async || world.letters.failed.load(Ordering::SeqCst) > 2).await;
    world.log.close(&tenant("a"));
    world.letters.fail(false);
    eventually("the page is applied", async || world.index.found(&tenant("b"), &key("Observation/1")).is_some()).await;
    assert!(world.index.found(&tenant("a"), &key("Observation/1")).is_none());
    let ports = RedrivePorts {
        letters: world.letters.clone(),
        feed: world.stream.clone(),
        writer: world.index.clone(),
        extraction: World::extraction(),
    };
    assert_eq!(redrive(&ports, 100).await.unwrap(), Redriven { done: 1, kept: 0 }, "a letter of a tenant that is gone");
}

#[tokio::test]
async fn a_transaction_left_alone_is_swept_even_if_the_indexer_dies() {
    let world = World::new(&[tenant("a")], 1, Faults::none());
    let first = world.indexer(world.watermarks());
    let deadline = world.clock.now() + 1_200_000;
    world.stream.tell("x", FeedChange::Begun { access: access("a"), transaction: "left".into(), deadline });
    commit(&*world.stream, &access("a"), vec![put("Observation/1", ""), put("Observation/2", "")]).await;
    eventually("the lease carries it", async || world.leases.all().iter().any(|lease| lease.sweeps.len() == 1)).await;
    first.abort();
    world.stream.split(0);
    let _second = Ends(world.indexer(world.watermarks()));
    eventually("it is swept", async || !world.stream.swept.lock().unwrap().is_empty()).await;
    assert!(world.clock.now() > deadline);
    assert_eq!(*world.stream.swept.lock().unwrap(), ["left"], "the committed one needs no sweeping");
    eventually("the lease forgets it", async || world.leases.all().iter().all(|lease| lease.sweeps.is_empty())).await;
}

#[tokio::test]
async fn an_index_is_rebuilt_under_writes() {
    let world = World::new(&[tenant("a"), tenant("b")], 2, Faults::none());
    let watermarks = world.watermarks();
    let _indexer = Ends(world.indexer(watermarks.clone()));
    let (store, index) = world.node(watermarks.clone());
    for number in 0..30 {
        commit(&*store, &access("a"), vec![put(&format!("Observation/o{number}"), &observation("x", 1, ""))]).await;
    }
    assert_eq!(ids(&*index, access("a").as_read(), "Observation?code=x").await.len(), 30);
    world.index.lose();
    let writing = async {
        for number in 0..40 {
            commit(&*store, &access("a"), vec![put(&format!("Observation/o{}", number + 20), &observation("y", 1, ""))]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    let ports = RebuildPorts {
        rebuild: world.index.clone(),
        writer: world.index.clone(),
        feed: world.stream.clone(),
        log: world.log.clone(),
        letters: world.letters.clone(),
        extraction: World::extraction(),
        watermarks,
        clock: world.clock.clone(),
        // One was deleted since they were listed.
        tenants: vec![tenant("a"), tenant("gone"), tenant("b")],
    };
    let (settings, _) = (World::settings(), ());
    let (rebuilt, ()) = tokio::join!(rebuild(&ports, &settings), writing);
    assert!(rebuilt.unwrap().read >= 30);
    assert_eq!(ids(&*index, access("a").as_read(), "Observation?code=x").await.len(), 20);
    assert_eq!(ids(&*index, access("a").as_read(), "Observation?code=y").await.len(), 40);
}

#[tokio::test]
async fn before_all_shards_have_leases_there_is_no_watermark() {
    let world = World::new(&[tenant("a")], 2, Faults::none());
    assert_eq!(read_watermark(&*world.leases).await.unwrap(), None);
    let watermarks = world.watermarks();
    assert!(!watermarks.wait_until(1, Instant::now() + Duration::from_millis(20)).await);
    let _indexer = Ends(world.indexer(watermarks.clone()));
    assert!(watermarks.wait_until(world.clock.now(), Instant::now() + Duration::from_secs(10)).await);
    assert!(world.leases.all().iter().any(|lease| lease.shard == ShardId("register".into())));
}
