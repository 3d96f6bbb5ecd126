#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_fhir::VersionId;
use fhirpool_storage::Precondition;

use super::*;
use crate::{Effect, ErrorKind};

#[tokio::test]
async fn a_conditional_create_makes_one_resource_however_its_criteria_are_written() {
    let server = Server::start().await;
    let first = server.create_if_none(patient("1"), Some("identifier=urn:test|1")).await.unwrap();
    assert_eq!(first.effect, Effect::Created);
    let absolute = format!("{BASE}/Patient?identifier=urn%3Atest%7C1&_format=json");
    for criteria in ["identifier=urn:test|1", "Patient?identifier=urn:test|1", "?identifier=urn:test|1", &absolute] {
        let again = server.create_if_none(patient("1"), Some(criteria)).await.unwrap();
        assert_eq!((again.effect, &again.key), (Effect::Matched, &first.key), "{criteria}");
        assert_eq!(again.json, first.json);
    }
    server.create(patient("1")).await.unwrap();
    let several = server.create_if_none(patient("1"), Some("identifier=urn:test|1")).await.unwrap_err();
    assert_eq!(several.kind, ErrorKind::PreconditionFailed);
    for criteria in ["", "_format=json", "Observation?code=x", "nonsense=1", "identifier=1&_count=1"] {
        assert_eq!(server.create_if_none(patient("1"), Some(criteria)).await.unwrap_err().kind, ErrorKind::BadRequest, "{criteria}");
    }
}

#[tokio::test]
async fn racing_conditional_creates_make_one_resource() {
    let server = Arc::new(Server::start().await);
    let tasks: Vec<_> = (0..24)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.create_if_none(patient("r"), Some("identifier=urn:test|r")).await })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        created += usize::from(task.await.unwrap().unwrap().effect == Effect::Created);
    }
    assert_eq!(created, 1);
    assert_eq!(server.count("Patient?identifier=urn:test|r").await, 1);
}

#[tokio::test]
async fn a_conditional_update_goes_by_what_matches() {
    let server = Server::start().await;
    let put = async |query: &'static str, resource: Value| server.put_to(Target::Criteria(query), resource, None).await;
    let made = put("identifier=urn:test|1", patient("1")).await.unwrap();
    assert_eq!(made.effect, Effect::Created);
    let updated = put("identifier=urn:test|1", patient("1")).await.unwrap();
    assert_eq!((updated.effect, &updated.key), (Effect::Updated, &made.key));
    let with_id = |id: &str, identifier: &str| {
        let mut resource = patient(identifier);
        resource["id"] = json!(id);
        resource
    };
    assert_eq!(put("identifier=urn:test|1", with_id("other", "1")).await.unwrap_err().kind, ErrorKind::BadRequest);
    let own = made.key.unwrap().id;
    assert_eq!(put("identifier=urn:test|1", with_id(own.as_str(), "1")).await.unwrap().effect, Effect::Updated);
    assert_eq!(put("identifier=urn:test|2", with_id("mine", "2")).await.unwrap().key.unwrap().to_string(), "Patient/mine");
    assert_eq!(put("identifier=urn:test|3", with_id("mine", "3")).await.unwrap_err().kind, ErrorKind::Conflict);
    server.create(patient("1")).await.unwrap();
    assert_eq!(put("identifier=urn:test|1", patient("1")).await.unwrap_err().kind, ErrorKind::PreconditionFailed);
    assert_eq!(put("", patient("1")).await.unwrap_err().kind, ErrorKind::BadRequest);
}

#[tokio::test]
async fn a_conditional_delete_deletes_one_or_none() {
    let server = Server::start().await;
    let delete = async |query: &'static str| {
        let request =
            DeleteRequest { base: &BASE, resource_type: resource_type("Patient"), target: Target::Criteria(query), if_match: None };
        server.interactions.delete(&server.access, request).await
    };
    assert_eq!(delete("identifier=urn:test|1").await.unwrap().key, None);
    server.create(patient("1")).await.unwrap();
    assert!(delete("identifier=urn:test|1").await.unwrap().key.is_some());
    server.create(patient("2")).await.unwrap();
    server.create(patient("2")).await.unwrap();
    assert_eq!(delete("identifier=urn:test|2").await.unwrap_err().kind, ErrorKind::PreconditionFailed);
    assert_eq!(delete("").await.unwrap_err().kind, ErrorKind::BadRequest);
    assert_eq!(server.count("Patient").await, 2);
}

#[tokio::test]
async fn a_condition_on_the_version_adds_to_what_a_conditional_update_rests_on() {
    let server = Server::start().await;
    let new = patient("new");
    let refused = server.put_to(Target::Criteria("identifier=urn:test|new"), new, Some("W/\"1\"")).await.unwrap_err();
    assert_eq!((refused.kind, server.count("Patient").await), (ErrorKind::PreconditionFailed, 0));
    let there = key("Patient/there");
    server.put(json!({ "resourceType": "Patient", "id": "there" })).await.unwrap();
    let demand = async |own: Precondition, if_match: Option<&'static str>, if_none_match: Option<&'static str>| {
        server
            .interactions
            .precondition(&server.access, &there, crate::reach::Reached::Everything, own, if_match, if_none_match)
            .await
            .map_err(|error| error.kind)
    };
    let own = Precondition::Unchanged(Some(VersionId(1)));
    assert_eq!(demand(own, Some("W/\"1\""), None).await, Ok(own));
    assert_eq!(demand(own, Some("W/\"2\""), None).await, Err(ErrorKind::PreconditionFailed));
    assert_eq!(demand(own, None, Some("*")).await, Err(ErrorKind::PreconditionFailed));
    assert_eq!(demand(Precondition::None, Some("W/\"1\""), None).await, Ok(Precondition::Version(VersionId(1))));
}
