//! What one tenant does is not there for another.

use super::*;
use crate::{Assumption, StorageError};

/// Reads, histories, searches, totals and views of one tenant show nothing of another.
pub async fn a_tenant_sees_nothing_of_another(fixture: Fixture) {
    let (a, b) = (&fixture.a, &fixture.b);
    a.commit(vec![put("Patient/1", "\"active\":true"), put("Observation/1", &observation("x", 1, "Patient/1"))]).await;
    a.put("Patient/1", "\"active\":false").await;
    let view = b.view().await;
    for name in ["Patient/1", "Observation/1"] {
        assert_eq!(b.read(name).await, None, "{name}");
        assert_eq!(b.read_version(name, 1).await, None, "{name}");
        assert_eq!(b.read_many(&view, &[name]).await, [None], "{name}");
        assert_eq!(b.history(history(HistoryScope::Instance(key(name)), 10)).await, [], "{name}");
        assert_eq!(b.history(history(HistoryScope::Type(key(name).resource_type), 10)).await, [], "{name}");
    }
    assert_eq!(b.history(history(HistoryScope::Tenant, 10)).await, []);
    for query in
        ["Patient", "Patient?active=true,false", "Patient?_id=1", "Patient?active:missing=true", "Observation?patient.active=false"]
    {
        assert_eq!(b.search(query).await, [""; 0], "{query}");
        let page = b.page(SearchRequest { total: TotalMode::Accurate, limit: 0, ..search(query) }).await;
        assert_eq!(page.total, Some(0), "{query}");
    }
    // What another does is not told by a version, a precondition or a deletion either.
    let outcome = b.commit(vec![on(Precondition::NeverExisted, put("Patient/1", ""))]).await;
    assert_eq!(made(outcome).0, VersionId(1));
    b.delete("Patient/1").await;
    assert_eq!(a.read("Patient/1").await.unwrap().version, VersionId(2));
    assert_eq!(a.search("Patient").await, ["Patient/1"]);
}

/// One key names a resource of its own in each tenant.
pub async fn the_same_key_is_another_resource_elsewhere(fixture: Fixture) {
    let (a, b) = (&fixture.a, &fixture.b);
    for number in 0..5 {
        a.put("Patient/1", &format!("\"language\":\"a{number}\"")).await;
    }
    b.put("Patient/1", "\"language\":\"b\",\"active\":true").await;
    assert!(text(&a.read("Patient/1").await.unwrap()).contains("\"a4\""));
    assert!(text(&b.read("Patient/1").await.unwrap()).contains("\"b\""));
    assert_eq!(a.history(history(HistoryScope::Tenant, 10)).await.len(), 5);
    assert_eq!(b.history(history(HistoryScope::Tenant, 10)).await.len(), 1);
    assert_eq!((a.search("Patient?active=true").await.len(), b.search("Patient?active=true").await.len()), (0, 1));
    a.delete("Patient/1").await;
    assert_eq!(b.search("Patient").await, ["Patient/1"]);
}

/// A tenant that is not there gets an error of its own from every method, and is not made by writing to it.
pub async fn unknown_tenants_are_refused(fixture: Fixture) {
    let (stranger, a) = (&fixture.stranger, &fixture.a);
    a.put("Patient/1", "").await;
    let (store, read, unknown) = (&stranger.resources, &stranger.read_access, StorageError::UnknownTenant);
    let patient = key("Patient/1");
    for _ in 0..2 {
        assert_eq!(store.read(read, &patient).await, Err(unknown.clone()));
        assert_eq!(store.view(read).await.err(), Some(unknown.clone()));
        assert_eq!(store.read_version(read, &patient, VersionId(1)).await, Err(unknown.clone()));
        assert_eq!(store.read_many(read, &a.view().await, std::slice::from_ref(&patient)).await, Err(unknown.clone()));
        assert_eq!(store.history(read, &history(HistoryScope::Tenant, 10)).await, Err(unknown.clone()));
        assert_eq!(stranger.index.search(read, &search("Patient")).await.err(), Some(unknown.clone()));
        let commit = Commit { changes: vec![put("Patient/1", "")], assumptions: Vec::new() };
        assert_eq!(store.commit(&stranger.write_access, commit).await, Err(unknown.clone()));
    }
}

/// A view is a moment, not a right: read by another tenant's access it shows that tenant's resources or fails.
pub async fn a_view_shows_no_other_tenant(fixture: Fixture) {
    let (a, b) = (&fixture.a, &fixture.b);
    a.put("Patient/1", "\"active\":true").await;
    let view = a.view().await;
    let read = b.resources.read_many(&b.read_access, &view, &[key("Patient/1")]).await;
    assert!(read.is_err() || read == Ok(vec![None]), "{read:?}");
    let request = SearchRequest { view: Some(view), ..search("Patient") };
    let found = b.index.search(&b.read_access, &request).await;
    assert!(found.is_err() || found.is_ok_and(|page| page.hits.is_empty()));
}

/// What another tenant writes does not make an assumption stale; what its own does still does.
pub async fn an_assumption_looks_at_its_own_tenant(fixture: Fixture) {
    let (a, b) = (&fixture.a, &fixture.b);
    let view = a.view().await;
    let commit = |name| Commit {
        changes: vec![put(name, &observation("x", 1, ""))],
        assumptions: vec![Assumption {
            search: Arc::new(parts("Observation?code=x")[0].clone()),
            found: Vec::new(),
            sequence: view.sequence,
        }],
    };
    b.put("Observation/1", &observation("x", 1, "")).await;
    made(a.resources.commit(&a.write_access, commit("Observation/1")).await.unwrap());
    assert_eq!(a.resources.commit(&a.write_access, commit("Observation/2")).await.unwrap(), CommitOutcome::Stale);
}
