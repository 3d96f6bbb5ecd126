//! Several clients at once.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Assumption;

const CLIENTS: usize = 8;

/// Runs clients at once, each with its number, and waits for all.
async fn together<F>(count: usize, work: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(work(number))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Writers of one resource get versions 1, 2, 3, … between them, each once.
pub async fn versions_have_no_gaps_under_concurrency(fixture: Fixture) {
    const WRITES: usize = 50;
    let client = fixture.a.clone();
    let versions = together(CLIENTS, |number| {
        let client = client.clone();
        async move {
            let mut versions = Vec::new();
            for write in 0..WRITES {
                versions.push(client.put("Patient/1", &format!("\"language\":\"c{number}w{write}\"")).await.0.0);
            }
            versions
        }
    })
    .await;
    assert!(versions.iter().all(|own| own.is_sorted()));
    let all: BTreeSet<u64> = versions.iter().flatten().copied().collect();
    assert!(all.iter().copied().eq(1..=(CLIENTS * WRITES) as u64));
    for (number, own) in versions.iter().enumerate() {
        for (write, version) in own.iter().enumerate() {
            let read = client.read_version("Patient/1", *version).await.unwrap();
            assert!(text(&read).contains(&format!("\"c{number}w{write}\"")), "version {version} is another write's");
        }
    }
    let entries = client.history(history(HistoryScope::Instance(key("Patient/1")), 64)).await;
    assert!(entries.windows(2).all(|pair| pair[0].version.last_updated > pair[1].version.last_updated));
}

/// Clients that count up what they read, under the precondition that it is unchanged, lose no count.
pub async fn no_update_is_lost(fixture: Fixture) {
    const COUNTS: usize = 25;
    let client = fixture.a.clone();
    client.put("Patient/1", "\"multipleBirthInteger\":0").await;
    together(CLIENTS, |number| {
        let client = client.clone();
        async move {
            for _ in 0..COUNTS {
                loop {
                    let read = client.read("Patient/1").await.unwrap();
                    let count = text(&read).rsplit_once(':').unwrap().1.trim_end_matches('}').parse::<usize>().unwrap();
                    let change = put("Patient/1", &format!("\"multipleBirthInteger\":{}", count + 1));
                    let precondition = match number % 2 {
                        0 => Precondition::Version(read.version),
                        _ => Precondition::Unchanged(Some(read.version)),
                    };
                    match client.commit(vec![on(precondition, change)]).await {
                        CommitOutcome::Committed { changes, .. } => {
                            assert_eq!(changes[0].version, Some(VersionId(read.version.0 + 1)));
                            break;
                        }
                        CommitOutcome::PreconditionFailed { current, .. } => assert!(current.unwrap().0 > read.version),
                        CommitOutcome::Stale => panic!("nothing was assumed"),
                    }
                }
            }
        }
    })
    .await;
    let end = client.read("Patient/1").await.unwrap();
    assert!(text(&end).ends_with(&format!(":{}}}", CLIENTS * COUNTS)), "{}", text(&end));
    assert_eq!(end.version, VersionId((CLIENTS * COUNTS + 1) as u64));
}

/// Of creations of one id just one happens.
pub async fn one_of_racing_creations_wins(fixture: Fixture) {
    let client = fixture.a.clone();
    for round in 0..20 {
        let name = format!("Patient/r{round}");
        let outcomes = together(CLIENTS, |_| {
            let (client, name) = (client.clone(), name.clone());
            async move { client.commit(vec![on(Precondition::NeverExisted, put(&name, ""))]).await }
        })
        .await;
        let winners = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed { .. })).count();
        assert_eq!(winners, 1, "{outcomes:?}");
        let lost = CommitOutcome::PreconditionFailed { change: 0, current: Some((VersionId(1), false)) };
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == lost).count(), CLIENTS - 1, "{outcomes:?}");
    }
}

/// Of conditional creations with the same criteria just one happens: the others find their assumption gone.
pub async fn one_of_racing_conditional_creations_wins(fixture: Fixture) {
    let client = fixture.a.clone();
    for round in 0..20 {
        let outcomes = together(CLIENTS, |number| {
            let client = client.clone();
            async move {
                let query = format!("Observation?code=race{round}");
                let mut request = super::search(&query);
                (request.limit, request.freshness) = (2, Freshness::Exact);
                let page = client.page(request).await;
                let found: Vec<ResourceId> = page.hits.iter().map(|hit| hit.key.id.clone()).collect();
                if !found.is_empty() {
                    return CommitOutcome::Stale;
                }
                let search = Arc::new(parts(&query)[0].clone());
                let assumptions = vec![Assumption { search, found, sequence: page.view.sequence }];
                let changes = vec![put(&format!("Observation/r{round}c{number}"), &observation(&format!("race{round}"), 1, ""))];
                client.resources.commit(&client.write_access, Commit { changes, assumptions }).await.unwrap()
            }
        })
        .await;
        let winners = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed { .. })).count();
        assert_eq!(winners, 1, "{outcomes:?}");
        assert_eq!(client.search(&format!("Observation?code=race{round}")).await.len(), 1);
    }
}

/// Readers, histories and searches see all of a commit or nothing of it.
pub async fn commits_are_seen_whole_or_not_at_all(fixture: Fixture) {
    const SIZE: usize = 12;
    const COMMITS: usize = 60;
    let (client, pictures) = (fixture.a.clone(), fixture.pictures);
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, done) = (client.clone(), done.clone());
        async move {
            for commit in 0..COMMITS {
                let changes =
                    (0..SIZE).map(|number| put(&format!("Observation/o{number}"), &observation(&format!("c{commit}"), commit as i64, "")));
                made(client.commit(changes.collect()).await);
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let readers = together(3, |number| {
        let (client, done) = (client.clone(), done.clone());
        async move {
            while !done.load(Ordering::SeqCst) {
                match number {
                    0 => whole_in_a_view(&client, SIZE).await,
                    1 => whole_in_history(&client, SIZE).await,
                    _ if pictures => whole_in_search(&client, SIZE).await,
                    _ => true_in_search(&client).await,
                }
                tokio::task::yield_now().await;
            }
        }
    });
    readers.await;
    writer.await.unwrap();
    whole_in_a_view(&client, SIZE).await;
    whole_in_history(&client, SIZE).await;
    whole_in_search(&client, SIZE).await;
}

async fn whole_in_a_view(client: &Client, size: usize) {
    let view = client.view().await;
    let names: Vec<String> = (0..size).map(|number| format!("Observation/o{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let read = client.read_many(&view, &names).await;
    let versions: BTreeSet<Option<u64>> = read.iter().map(|version| version.as_ref().map(|version| version.version.0)).collect();
    assert_eq!(versions.len(), 1, "a view shows a part of a commit: {versions:?}");
}

async fn whole_in_history(client: &Client, size: usize) {
    let request = history(HistoryScope::Tenant, size * 2);
    let page = client.resources.history(&client.read_access, &request).await.unwrap();
    assert_eq!(page.entries.len() % size, 0, "history shows a part of a commit: {:?}", names(&page.entries));
    for commit in page.entries.chunks(size) {
        let versions: BTreeSet<u64> = commit.iter().map(|entry| entry.version.version.0).collect();
        assert_eq!((versions.len(), name_set(commit).len()), (1, size), "history shows a part of a commit: {:?}", names(commit));
    }
}

async fn whole_in_search(client: &Client, size: usize) {
    // An index that learns of changes later has the whole of a commit once it has caught up.
    let page = client.page(SearchRequest { freshness: Freshness::Tenant, ..super::search("Observation") }).await;
    assert!(page.caught_up);
    let found: Vec<String> = page.hits.iter().map(|hit| hit.key.to_string()).collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(found.is_empty() || found.len() == size, "a search shows a part of a commit: {found:?}");
    let Some(newest) = client.read_many(&page.view, &found).await.into_iter().flatten().next() else { return };
    let code = format!("c{}", newest.version.0 - 1);
    let same = client.search_in(&format!("Observation?code={code}"), Some(page.view), 5).await;
    assert_eq!(same.len(), size, "a search shows a part of a commit: {same:?} have {code}");
}

/// An index that finds the changes of a commit one by one finds nothing that is not so.
async fn true_in_search(client: &Client) {
    let view = client.view().await;
    let newest = client.read_many(&view, &["Observation/o0"]).await.into_iter().flatten().next();
    let Some(newest) = newest else { return };
    let code = format!("c{}", newest.version.0 - 1);
    let found = client.search_in(&format!("Observation?code={code}"), Some(view.clone()), 5).await;
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    for version in client.read_many(&view, &found).await {
        assert_eq!(version.map(|version| version.version), Some(newest.version), "a search finds what is not {code}");
    }
}

/// A commit that moves something from one resource to another is never seen with it in both or in neither.
pub async fn swaps_are_never_seen_halfway(fixture: Fixture) {
    const SWAPS: i64 = 150;
    let (client, pictures) = (fixture.a.clone(), fixture.pictures);
    let swap = |number: i64| {
        let codes = if number % 2 == 0 { ["token", "none"] } else { ["none", "token"] };
        vec![put("Observation/a", &observation(codes[0], number, "")), put("Observation/b", &observation(codes[1], number, ""))]
    };
    client.commit(swap(0)).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, done) = (client.clone(), done.clone());
        async move {
            for number in 1..SWAPS {
                made(client.commit(swap(number)).await);
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    while !done.load(Ordering::SeqCst) {
        let holders = client.search("Observation?code=token").await;
        assert!(holders.len() == 1 || (!pictures && holders.is_empty()), "{holders:?}");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(client.search("Observation?code=token").await.len(), 1);
}
