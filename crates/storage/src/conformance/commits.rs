//! What a commit does and refuses.

use super::*;
use crate::{Assumption, ChangeOutcome};

/// Each precondition against a resource that never was, one that is there, and one that was deleted.
pub async fn preconditions_are_checked(fixture: Fixture) {
    use Precondition as P;
    let client = &fixture.a;
    let v = VersionId;
    // Of the precondition and the three states: whether a write may happen.
    let cases = [
        (P::None, [true, true, true]),
        (P::NeverExisted, [true, false, false]),
        (P::Version(v(1)), [false, true, false]),
        (P::Version(v(2)), [false, false, false]),
        (P::Unchanged(None), [true, false, false]),
        (P::Unchanged(Some(v(1))), [false, true, false]),
        (P::Unchanged(Some(v(2))), [false, false, true]),
        (P::Unchanged(Some(v(3))), [false, false, false]),
    ];
    for (number, (precondition, expected)) in cases.into_iter().enumerate() {
        for deleting in [false, true] {
            let names = ["never", "there", "gone"].map(|state| format!("Patient/{state}.{number}.{deleting}"));
            client.put(&names[1], "").await;
            client.put(&names[2], "").await;
            client.delete(&names[2]).await;
            let states = [None, Some((v(1), false)), Some((v(2), true))];
            for ((name, current), allowed) in names.iter().zip(states).zip(expected) {
                let change = if deleting { delete(name) } else { put(name, "\"active\":true") };
                let outcome = client.commit(vec![on(precondition, change)]).await;
                let place = format!("{precondition:?} on {name}");
                if allowed {
                    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{place}: {outcome:?}");
                } else {
                    assert_eq!(outcome, CommitOutcome::PreconditionFailed { change: 0, current }, "{place}");
                    let newest = client.read(name).await.map(|version| (version.version, version.content == Content::Deleted));
                    assert_eq!(newest, current, "{place}");
                }
            }
        }
    }
}

/// Where one precondition fails, nothing of the commit happens: no body, no history, no index entry. The first is named.
pub async fn a_failed_precondition_leaves_nothing(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "\"active\":true").await;
    let before = client.history(history(HistoryScope::Tenant, 100)).await;
    let outcome = client
        .commit(vec![
            put("Patient/2", "\"active\":true"),
            delete("Patient/1"),
            on(Precondition::Version(VersionId(7)), put("Patient/3", "\"active\":true")),
            on(Precondition::NeverExisted, put("Patient/4", "\"active\":true")),
            on(Precondition::Version(VersionId(7)), put("Patient/5", "")),
        ])
        .await;
    assert_eq!(outcome, CommitOutcome::PreconditionFailed { change: 2, current: None });
    assert_eq!(client.history(history(HistoryScope::Tenant, 100)).await, before);
    assert_eq!(client.search("Patient?active=true").await, ["Patient/1"]);
    for name in ["Patient/2", "Patient/3", "Patient/4", "Patient/5"] {
        assert_eq!(client.read(name).await, None, "{name}");
    }
}

/// Deleting what is not there makes no version.
pub async fn deletes_are_idempotent(fixture: Fixture) {
    let client = &fixture.a;
    let outcome = |version: Option<u64>| vec![ChangeOutcome { version: version.map(VersionId), created: false }];
    let changes = |outcome: CommitOutcome| match outcome {
        CommitOutcome::Committed { changes, .. } => changes,
        other => panic!("{other:?}"),
    };
    assert_eq!(changes(client.commit(vec![delete("Patient/1")]).await), outcome(None));
    assert_eq!(client.read("Patient/1").await, None);
    client.put("Patient/1", "").await;
    assert_eq!(changes(client.commit(vec![delete("Patient/1")]).await), outcome(Some(2)));
    for _ in 0..3 {
        assert_eq!(changes(client.commit(vec![delete("Patient/1")]).await), outcome(Some(2)));
    }
    assert_eq!(names(&client.history(history(HistoryScope::Tenant, 100)).await), ["Patient/1 2", "Patient/1 1"]);
}

/// An update of a deleted resource brings it back under the next version, and says that it created it.
pub async fn a_deleted_resource_comes_back(fixture: Fixture) {
    let client = &fixture.a;
    let created = |outcome: &CommitOutcome| match outcome {
        CommitOutcome::Committed { changes, .. } => (changes[0].created, changes[0].version.unwrap().0),
        other => panic!("{other:?}"),
    };
    assert_eq!(created(&client.commit(vec![put("Patient/1", "")]).await), (true, 1));
    assert_eq!(created(&client.commit(vec![put("Patient/1", "")]).await), (false, 2));
    client.delete("Patient/1").await;
    assert_eq!(created(&client.commit(vec![put("Patient/1", "\"active\":true")]).await), (true, 4));
    assert_eq!(created(&client.commit(vec![put("Patient/1", "\"active\":true")]).await), (false, 5));
    assert_eq!(client.search("Patient?active=true").await, ["Patient/1"]);
}

/// All changes of a commit have one time, the one it tells.
pub async fn changes_share_one_time(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/2", "").await;
    client.put("Patient/3", "").await;
    let outcome = client.commit(vec![put("Patient/1", ""), put("Patient/2", ""), delete("Patient/3")]).await;
    let CommitOutcome::Committed { last_updated, changes } = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        changes.iter().map(|change| (change.version.unwrap().0, change.created)).collect::<Vec<_>>(),
        [(1, true), (2, false), (2, false)]
    );
    for name in ["Patient/1", "Patient/2", "Patient/3"] {
        assert_eq!(client.read(name).await.unwrap().last_updated, last_updated, "{name}");
    }
}

/// Times grow with the versions of a resource, however fast they follow.
pub async fn times_grow_with_versions(fixture: Fixture) {
    let client = &fixture.a;
    let mut previous = Timestamp(i64::MIN);
    for _ in 0..200 {
        let (_, last_updated) = client.put("Patient/1", "").await;
        assert!(last_updated > previous, "{last_updated} is not after {previous}");
        previous = last_updated;
    }
}

/// A commit may be of any size and happens whole.
pub async fn large_commits_are_whole(fixture: Fixture) {
    const COUNT: usize = 3000;
    let client = &fixture.a;
    let all = |members: &str| (0..COUNT).map(|number| put(&format!("Patient/p{number}"), members)).collect::<Vec<_>>();
    let outcome = client.commit(all("\"active\":true")).await;
    let CommitOutcome::Committed { changes, .. } = outcome else { panic!("{outcome:?}") };
    assert!(changes.len() == COUNT && changes.iter().all(|change| change.created && change.version == Some(VersionId(1))));
    assert_eq!(client.search("Patient?active=true").await.len(), COUNT);
    let mut failing = all("\"active\":false");
    failing.push(on(Precondition::Version(VersionId(3)), put("Patient/p", "")));
    assert_eq!(client.commit(failing).await, CommitOutcome::PreconditionFailed { change: COUNT, current: None });
    assert_eq!(client.search("Patient?active=false").await, [""; 0]);
    assert_eq!(client.history(history(HistoryScope::Tenant, 1000)).await.len(), COUNT);
}

fn assume(query: &str, found: &[&str], view: &View) -> Assumption {
    let search = Arc::new(parts(query)[0].clone());
    Assumption { search, found: found.iter().map(|id| ResourceId::parse(id).unwrap()).collect(), sequence: view.sequence }
}

/// What was found while preparing must still be found at the commit.
pub async fn assumptions_are_checked(fixture: Fixture) {
    let client = &fixture.a;
    let query = "Observation?code=x";
    let commit = async |assumptions: Vec<Assumption>, name: &str| {
        let commit = Commit { changes: vec![put(name, &observation("y", 1, ""))], assumptions };
        matches!(client.resources.commit(&client.write_access, commit).await.unwrap(), CommitOutcome::Committed { .. })
    };
    let empty = client.view().await;
    assert!(commit(vec![assume(query, &[], &empty)], "Observation/n1").await, "nothing matched and nothing does");
    client.put("Observation/o1", &observation("x", 1, "")).await;
    assert!(!commit(vec![assume(query, &[], &empty)], "Observation/n2").await, "now one matches");
    assert_eq!(client.read("Observation/n2").await, None);
    let one = client.view().await;
    assert!(commit(vec![assume(query, &["o1"], &one)], "Observation/n3").await);
    client.put("Observation/o1", &observation("x", 2, "")).await;
    assert!(commit(vec![assume(query, &["o1"], &one)], "Observation/n4").await, "changed, but it still is the match");
    client.put("Observation/o2", &observation("x", 2, "")).await;
    assert!(!commit(vec![assume(query, &["o1"], &one)], "Observation/n5").await, "a second one matches");
    let two = client.view().await;
    assert!(commit(vec![assume(query, &["o1", "o2"], &two)], "Observation/n6").await);
    client.delete("Observation/o1").await;
    assert!(!commit(vec![assume(query, &["o1", "o2"], &two)], "Observation/n7").await, "one was deleted");
    let last = client.view().await;
    client.put("Observation/o2", &observation("z", 2, "")).await;
    assert!(!commit(vec![assume(query, &["o2"], &last)], "Observation/n8").await, "the match moved away");
    let now = client.view().await;
    let both = |found: &[&str]| vec![assume("Observation?code=z", &["o2"], &now), assume("Observation?code=x", found, &now)];
    assert!(commit(both(&[]), "Observation/n9").await);
    client.put("Observation/o3", &observation("x", 2, "")).await;
    assert!(!commit(both(&[]), "Observation/n10").await, "one of two assumptions fails");
}

/// Commits that have nothing to do with the criteria do not make an assumption stale, however many they are.
pub async fn an_assumption_survives_what_does_not_matter(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Observation/o1", &observation("x", 1, "")).await;
    let view = client.view().await;
    for number in 0..300 {
        client.put(&format!("Observation/other{}", number % 40), &observation("y", number, "")).await;
        client.put("Patient/1", "").await;
    }
    let assumptions = vec![assume("Observation?code=x", &["o1"], &view), assume("Observation?code=none", &[], &view)];
    let commit = Commit { changes: vec![put("Patient/2", "")], assumptions };
    made(client.resources.commit(&client.write_access, commit).await.unwrap());
    fixture.b.put("Observation/foreign", &observation("none", 1, "")).await;
    let commit = Commit { changes: vec![put("Patient/3", "")], assumptions: vec![assume("Observation?code=none", &[], &view)] };
    made(client.resources.commit(&client.write_access, commit).await.unwrap());
}

/// History tells what each client did.
pub async fn methods_are_kept(fixture: Fixture) {
    let client = &fixture.a;
    for method in [Method::Post, Method::Put, Method::Patch] {
        made(client.commit(vec![Change { method, ..put("Patient/1", "") }]).await);
    }
    client.delete("Patient/1").await;
    let entries = client.history(history(HistoryScope::Instance(key("Patient/1")), 10)).await;
    let methods: Vec<Method> = entries.iter().map(|entry| entry.version.method).collect();
    assert_eq!(methods, [Method::Delete, Method::Patch, Method::Put, Method::Post]);
}
