//! Histories of a resource, a type and a tenant.

use super::*;

fn of_type(name: &str) -> HistoryScope {
    HistoryScope::Type(ResourceType::parse(name).unwrap())
}

/// A resource's versions, newest first, with their content.
pub async fn an_instance_tells_its_versions(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "\"language\":\"a\"").await;
    client.put("Patient/1", "\"language\":\"b\"").await;
    client.delete("Patient/1").await;
    client.put("Patient/1", "\"language\":\"d\"").await;
    client.put("Patient/10", "").await;
    let entries = client.history(history(HistoryScope::Instance(key("Patient/1")), 10)).await;
    assert_eq!(names(&entries), ["Patient/1 4", "Patient/1 3", "Patient/1 2", "Patient/1 1"]);
    for entry in &entries {
        assert_eq!(client.read_version("Patient/1", entry.version.version.0).await, Some(entry.version.clone()));
    }
    assert_eq!(entries[1].version.content, Content::Deleted);
    let page = client.resources.history(&client.read_access, &history(HistoryScope::Instance(key("Patient/1")), 10)).await.unwrap();
    assert!(page.total.is_none_or(|total| total == 4), "a total must be right: {:?}", page.total);
}

/// Writes twelve versions of five resources by several commits.
async fn fill(client: &Client) -> Vec<String> {
    client.commit(vec![put("Patient/1", ""), put("Patient/2", ""), put("Observation/1", &observation("x", 1, ""))]).await;
    client.put("Patient/1", "\"active\":true").await;
    client.commit(vec![put("Observation/2", &observation("x", 1, "")), delete("Patient/2")]).await;
    client.put("Practitioner/1", "").await;
    client.commit(vec![put("Patient/1", ""), put("Patient/2", ""), put("Observation/1", &observation("y", 1, ""))]).await;
    client.delete("Observation/2").await;
    client.delete("Observation/2").await;
    client.put("Patient/1", "").await;
    let all = [
        "Patient/1 1",
        "Patient/2 1",
        "Observation/1 1",
        "Patient/1 2",
        "Observation/2 1",
        "Patient/2 2",
        "Practitioner/1 1",
        "Patient/1 3",
        "Patient/2 3",
        "Observation/1 2",
        "Observation/2 2",
        "Patient/1 4",
    ];
    all.map(str::to_owned).to_vec()
}

fn assert_newest_first(entries: &[HistoryEntry]) {
    let times: Vec<Timestamp> = entries.iter().map(|entry| entry.version.last_updated).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "not newest first: {:?}", names(entries));
}

/// A type's and a tenant's histories tell every version once, newest first.
pub async fn types_and_tenants_tell_everything(fixture: Fixture) {
    let client = &fixture.a;
    let all: BTreeSet<String> = fill(client).await.into_iter().collect();
    let entries = client.history(history(HistoryScope::Tenant, 100)).await;
    assert_newest_first(&entries);
    assert_eq!(name_set(&entries), all);
    for type_name in ["Patient", "Observation", "Practitioner", "Medication"] {
        let entries = client.history(history(of_type(type_name), 100)).await;
        assert_newest_first(&entries);
        let prefix = format!("{type_name}/");
        assert_eq!(name_set(&entries), all.iter().filter(|name| name.starts_with(&prefix)).cloned().collect(), "{type_name}");
    }
    for (scope, count) in [(HistoryScope::Tenant, 12), (of_type("Patient"), 7)] {
        let page = client.resources.history(&client.read_access, &history(scope, 2)).await.unwrap();
        assert!(page.total.is_none_or(|total| total == count), "a total must be right: {:?}", page.total);
    }
}

/// Pages of every length tell the same, in the same order.
pub async fn pages_are_complete(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    for scope in [HistoryScope::Tenant, of_type("Patient"), of_type("Observation"), HistoryScope::Instance(key("Patient/1"))] {
        let whole = names(&client.history(history(scope.clone(), 100)).await);
        for limit in 1..=13 {
            assert_eq!(names(&client.history(history(scope.clone(), limit)).await), whole, "{scope:?} by {limit}");
        }
    }
}

/// What is written while someone pages neither moves nor hides what was there.
pub async fn pages_are_stable_under_writes(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    for scope in [HistoryScope::Tenant, of_type("Patient"), HistoryScope::Instance(key("Patient/1"))] {
        let whole = names(&client.history(history(scope.clone(), 100)).await);
        let mut request = history(scope.clone(), 2);
        let mut told = Vec::new();
        loop {
            let page = client.resources.history(&client.read_access, &request).await.unwrap();
            told.extend(names(&page.entries));
            client.commit(vec![put("Patient/1", ""), put("Patient/new", ""), put("Observation/1", &observation("z", 1, ""))]).await;
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        assert_eq!(told, whole, "{scope:?}");
    }
}

/// `since` leaves out what is older, and nothing else.
pub async fn since_is_a_lower_bound(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    for scope in [HistoryScope::Tenant, of_type("Patient"), HistoryScope::Instance(key("Patient/1"))] {
        let whole = client.history(history(scope.clone(), 100)).await;
        for entry in &whole {
            for offset in [-1, 0, 1] {
                let since = Timestamp(entry.version.last_updated.0 + offset);
                let expected = whole.iter().filter(|entry| entry.version.last_updated >= since);
                let expected: Vec<HistoryEntry> = expected.cloned().collect();
                for limit in [1, 3, 100] {
                    let request = HistoryRequest { since: Some(since), ..history(scope.clone(), limit) };
                    assert_eq!(client.history(request).await, expected, "{scope:?} since {since} by {limit}");
                }
            }
        }
        let never = HistoryRequest { since: Some(Timestamp(i64::MAX)), ..history(scope.clone(), 5) };
        assert_eq!(client.history(never).await, []);
        let ever = HistoryRequest { since: Some(Timestamp(i64::MIN)), ..history(scope, 5) };
        assert_eq!(client.history(ever).await, whole);
    }
}

/// `at` tells the versions that were current at some time of a span: not those replaced before it or made after it.
pub async fn at_tells_what_was_current(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    let all = client.history(history(HistoryScope::Tenant, 100)).await;
    let times: BTreeSet<i64> = all.iter().flat_map(|entry| [-1, 0, 1].map(|offset| entry.version.last_updated.0 + offset)).collect();
    let replaced = |entry: &HistoryEntry| {
        let next = VersionId(entry.version.version.0 + 1);
        let next = all.iter().find(|other| other.key == entry.key && other.version.version == next);
        next.map_or(i64::MAX, |next| next.version.last_updated.0)
    };
    for scope in [HistoryScope::Tenant, of_type("Patient"), HistoryScope::Instance(key("Patient/1"))] {
        let whole = client.history(history(scope.clone(), 100)).await;
        for from in &times {
            for to in times.range(from..) {
                let current = whole.iter().filter(|entry| entry.version.last_updated.0 <= *to && replaced(entry) > *from);
                let expected: Vec<String> = names(&current.cloned().collect::<Vec<_>>());
                let request = HistoryRequest { at: Some((Timestamp(*from), Timestamp(*to))), ..history(scope.clone(), 3) };
                assert_eq!(names(&client.history(request).await), expected, "{scope:?} at {from} to {to}");
            }
        }
    }
}
