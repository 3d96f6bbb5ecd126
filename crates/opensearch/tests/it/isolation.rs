//! Tenants and types that an access does not cover.

use fhirpool_authz::{Interaction, Principal, ReadAccess, TenantId};
use fhirpool_storage::{CandidateIndex, StorageError, TotalMode};

use crate::harness::{Client, index};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_finds_only_its_own_whatever_the_ids_look_like() {
    let index = index().await;
    // Names that begin each other, and ids that are the same.
    let clients = ["a", "ab", "a-b", "A", "a_"].map(|tenant| Client::new(&index, tenant));
    for (number, client) in clients.iter().enumerate() {
        let documents = [
            client.document(&format!(r#"{{"resourceType":"Patient","id":"1","gender":"male","name":[{{"family":"n{number}"}}]}}"#), 1),
            client.document(&format!(r#"{{"resourceType":"Patient","id":"only{number}","birthDate":"2000"}}"#), 1),
            client.document(
                r#"{"resourceType":"Observation","id":"1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"}}"#,
                1,
            ),
        ];
        client.apply(&documents).await;
    }
    for (number, client) in clients.iter().enumerate() {
        let own = ["Patient/1".to_owned(), format!("Patient/only{number}")];
        assert_eq!(client.names("Patient").await, own);
        assert_eq!(client.names("Patient?_sort=-_id").await, [own[1].clone(), own[0].clone()]);
        assert_eq!(client.names("Patient?_id=1").await, own[..1]);
        assert_eq!(client.names("Patient?birthdate=2000").await, own[1..]);
        assert_eq!(client.names("Patient?gender:not=male").await, own[1..]);
        assert_eq!(client.names("Patient?name=n").await, own[..1]);
        let total = client.page(&Client::request(&client.query("Patient"), 0, TotalMode::Accurate)).await.total;
        assert_eq!(total, Some(2));
        for other in 0..clients.len() {
            let found = usize::from(other == number);
            assert_eq!(client.names(&format!("Patient?name:contains=n{other}")).await.len(), found);
            assert_eq!(client.names(&format!("Observation?subject:Patient.name=n{other}")).await.len(), found);
            assert_eq!(client.names(&format!("Patient?_has:Observation:subject:status=final&name:exact=n{other}")).await.len(), found);
            assert_eq!(client.names(&format!("Patient?_id=only{other}")).await.len(), found);
        }
    }
    index.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_an_access_does_not_cover_are_refused_and_lead_nowhere() {
    let index = index().await;
    let client = Client::new(&index, "t");
    let documents = [
        client.document(r#"{"resourceType":"Patient","id":"1","name":[{"family":"n"}]}"#, 1),
        client.document(
            r#"{"resourceType":"Observation","id":"1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"}}"#,
            1,
        ),
    ];
    client.apply(&documents).await;
    let tenant = TenantId::parse("t").unwrap();
    let auditor = Principal::in_groups(tenant.clone(), &["auditor"]);
    let access = ReadAccess::authorize_for(&auditor, &tenant, Interaction::Search, None).unwrap();
    let search = async |text: &str| index.candidates(&access, &Client::request(&client.query(text), 10, TotalMode::Accurate)).await;
    assert_eq!(search("Observation").await, Err(StorageError::Denied));
    let found = search("Patient?_has:Observation:subject:status=final").await.unwrap();
    assert_eq!((found.candidates.len(), found.total), (0, Some(0)));
    assert_eq!(search("Patient").await.unwrap().candidates.len(), 1);
    index.remove().await.unwrap();
}
