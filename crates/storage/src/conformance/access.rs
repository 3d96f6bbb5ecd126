//! What an access does not cover is refused by the store itself, whatever its callers forget.

use fhirpool_authz::Interaction;

use super::*;
use crate::StorageError;

/// Of the tenant of a client: may look at Patients and at nothing else.
fn patients_only(client: &Client, interaction: Interaction) -> ReadAccess {
    let tenant = client.read_access.tenant();
    let auditor = Principal::in_groups(tenant.clone(), &["auditor"]);
    let access = ReadAccess::authorize_for(&auditor, tenant, interaction, None).unwrap();
    assert!(access.allows(key("Patient/1").resource_type) && !access.allows(key("Observation/1").resource_type));
    access
}

async fn fill(client: &Client) {
    client.commit(vec![put("Patient/1", "\"active\":true"), put("Observation/1", &observation("x", 1, "Patient/1"))]).await;
}

/// Every method that is asked for a type outside of the access refuses, whether the resource is there or not.
pub async fn types_that_are_not_covered_are_refused(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    let access = patients_only(client, Interaction::Search);
    let store = &client.resources;
    let view = store.view(&access).await.unwrap();
    for name in ["Observation/1", "Observation/2"] {
        let key = key(name);
        assert_eq!(store.read(&access, &key).await, Err(StorageError::Denied), "{name}");
        assert_eq!(store.read_version(&access, &key, VersionId(1)).await, Err(StorageError::Denied), "{name}");
        assert_eq!(store.history(&access, &history(HistoryScope::Instance(key.clone()), 5)).await, Err(StorageError::Denied), "{name}");
        let keys = [super::key("Patient/1"), key];
        assert_eq!(store.read_many(&access, &view, &keys).await, Err(StorageError::Denied), "{name}");
    }
    let of_type = HistoryScope::Type(key("Observation/1").resource_type);
    assert_eq!(store.history(&access, &history(of_type, 5)).await, Err(StorageError::Denied));
    // Whoever wrote it may tell that the log of changes has it by now.
    assert_eq!(client.history(history(HistoryScope::Tenant, 5)).await.len(), 2);
    // All of the tenant: refused, or told without what is not covered.
    if let Ok(page) = store.history(&access, &history(HistoryScope::Tenant, 5)).await {
        assert_eq!(names(&page.entries), ["Patient/1 1"]);
    }
}

/// What an access covers it reads, though it does not cover everything.
pub async fn a_narrow_access_reads_what_it_covers(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    let (store, patient) = (&client.resources, key("Patient/1"));
    let access = patients_only(client, Interaction::Search);
    let newest = client.read("Patient/1").await;
    let view = store.view(&access).await.unwrap();
    assert!(newest.is_some());
    assert_eq!(store.read(&access, &patient).await.unwrap(), newest);
    assert_eq!(store.read_version(&access, &patient, VersionId(1)).await.unwrap(), newest);
    assert_eq!(store.read_many(&access, &view, std::slice::from_ref(&patient)).await.unwrap(), [newest]);
    let request = history(HistoryScope::Instance(patient.clone()), 5);
    assert_eq!(store.history(&access, &request).await.unwrap().entries.len(), 1);
    // Another client than the one that wrote.
    let request = SearchRequest { freshness: Freshness::Tenant, ..search("Patient?active=true") };
    let page = client.index.search(&access, &request).await.unwrap();
    assert_eq!(page.hits.iter().map(|hit| &hit.key).collect::<Vec<_>>(), [&patient]);
}

/// A search finds and counts nothing of a type outside of the access, not even on the way of a chain: it leaves that out, or
/// refuses where it is asked for outright. What the access covers it finds.
pub async fn a_search_stays_within_its_access(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    let access = patients_only(client, Interaction::Search);
    let cases = [
        ("Observation", &[][..]),
        ("Observation?_id=1", &[]),
        ("Observation?code=x", &[]),
        ("Observation?code:not=y", &[]),
        ("?_type=Patient,Observation", &["Patient/1"]),
        ("Patient?_has:Observation:subject:code=x", &[]),
        ("Patient?active=true", &["Patient/1"]),
    ];
    for (query, expected) in cases {
        for limit in [0, 10] {
            let request = SearchRequest { total: TotalMode::Accurate, limit, freshness: Freshness::Tenant, ..search(query) };
            let covered = request.parts.iter().all(|part| access.allows(part.resource_type));
            let page = match client.index.search(&access, &request).await {
                Err(StorageError::Denied) if !covered => continue,
                page => page.unwrap_or_else(|error| panic!("{query}: {error}")),
            };
            let found: Vec<String> = page.hits.iter().map(|hit| hit.key.to_string()).collect();
            assert_eq!(found, &expected[..expected.len().min(limit)], "{query}");
            assert_eq!(page.total, Some(expected.len() as u64), "{query}");
        }
    }
}
