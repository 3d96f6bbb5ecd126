#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_storage::HistoryScope;

use super::*;
use crate::{Effect, ErrorKind, HistoryInteraction, PatchFormat, PatchRequest, VersionReadRequest};

#[tokio::test]
async fn what_is_created_reads_back_with_its_bytes() {
    let server = Server::start().await;
    let body = r#"{"resourceType":"Observation","id":"mine","status":"final","code":{"text":"Größe"},"valueQuantity":{"value":129.160}}"#;
    let request = CreateRequest {
        base: &BASE,
        resource_type: resource_type("Observation"),
        body: body.as_bytes().to_vec(),
        if_none_exist: None,
        returning: Returning::Representation,
    };
    let created = server.interactions.create(&server.access, request).await.unwrap();
    let (effect, id) = (created.effect, created.key.clone().unwrap().id);
    assert_eq!(effect, Effect::Created);
    assert_ne!(id.as_str(), "mine");
    assert_eq!(created.location(&BASE).unwrap(), format!("{BASE}/Observation/{id}/_history/1"));
    let expected =
        body.replace("\"mine\"", &format!("\"{id}\",\"meta\":{{\"versionId\":\"1\",\"lastUpdated\":\"2023-11-14T22:13:20.000Z\"}}"));
    assert_eq!(created.json.unwrap(), expected);
    assert_eq!(server.read(&format!("Observation/{id}")).await.unwrap(), json_of(&expected));
}

#[tokio::test]
async fn an_update_makes_a_version_and_a_delete_is_undone_by_one() {
    let server = Server::start().await;
    let resource = json!({ "resourceType": "Patient", "id": "p" });
    assert_eq!(server.put(resource.clone()).await.unwrap().effect, Effect::Created);
    assert_eq!(server.put(resource.clone()).await.unwrap().effect, Effect::Updated);
    assert_eq!(server.delete("Patient/p").await.unwrap().effect, Effect::Deleted);
    assert_eq!(server.delete("Patient/p").await.unwrap().effect, Effect::Deleted);
    assert_eq!(server.read("Patient/p").await.unwrap_err().kind, ErrorKind::Gone);
    assert_eq!(server.read("Patient/q").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(server.delete("Patient/q").await.unwrap().version, None);
    let back = server.put(resource).await.unwrap();
    assert_eq!((back.effect, back.version.unwrap().0), (Effect::Created, 4));
    assert_eq!(server.read("Patient/p").await.unwrap()["meta"]["versionId"], "4");
}

#[tokio::test]
async fn what_was_read_can_be_put_back_as_it_is() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "p" })).await.unwrap();
    let read = server.read("Patient/p").await.unwrap();
    assert_eq!(server.put(read).await.unwrap().version.unwrap().0, 2);
}

#[tokio::test]
async fn if_match_takes_every_form_of_a_tag_and_refuses_another_version() {
    let server = Server::start().await;
    let resource = json!({ "resourceType": "Patient", "id": "p" });
    server.put(resource.clone()).await.unwrap();
    let target = || Target::Id(ResourceId::parse("p").unwrap());
    for (version, tag) in ["W/\"1\"", "\"2\"", "3", "*", "W/\"1\", W/\"5\""].into_iter().enumerate() {
        let outcome = server.put_to(target(), resource.clone(), Some(tag)).await.unwrap();
        assert_eq!(outcome.version.unwrap().0, version as u64 + 2, "{tag}");
    }
    for tag in ["W/\"1\"", "abc", "W/\"1\",W/\"2\""] {
        assert_eq!(server.put_to(target(), resource.clone(), Some(tag)).await.unwrap_err().kind, ErrorKind::PreconditionFailed, "{tag}");
    }
    let missing = json!({ "resourceType": "Patient", "id": "q" });
    let error = server.put_to(Target::Id(ResourceId::parse("q").unwrap()), missing, Some("*")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused() {
    let server = Server::start().await;
    let put = async |body: &str| {
        let request = UpdateRequest {
            base: &BASE,
            resource_type: resource_type("Patient"),
            target: Target::Id(ResourceId::parse("p").unwrap()),
            body: body.as_bytes().to_vec(),
            if_match: None,
            if_none_match: None,
            returning: Returning::Minimal,
        };
        server.interactions.update(&server.access, request).await.unwrap_err()
    };
    for body in [
        "",
        "[]",
        "{\"resourceType\":\"Patient\"",
        "{}",
        "{\"resourceType\":\"Patent\",\"id\":\"p\"}",
        "{\"resourceType\":\"Observation\",\"id\":\"p\"}",
        "{\"resourceType\":\"Patient\"}",
        "{\"resourceType\":\"Patient\",\"id\":\"q\"}",
    ] {
        assert_eq!(put(body).await.kind, ErrorKind::BadRequest, "{body}");
    }
    let invalid = put("{\"resourceType\":\"Patient\",\"id\":\"p\",\"birthDate\":\"yesterday\"}").await;
    assert_eq!(invalid.kind, ErrorKind::Unprocessable);
    assert_eq!(expressions(&invalid), ["Patient.birthDate"]);
    let shortened = put(r#"{"resourceType":"Patient","id":"p","meta":{"tag":[{"code":"SUBSETTED"}]}}"#).await;
    assert_eq!(shortened.kind, ErrorKind::Unprocessable);
}

#[tokio::test]
async fn a_read_tells_that_nothing_changed_and_shortens() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "p", "active": true, "photo": [{ "title": "x" }] })).await.unwrap();
    let read = async |query: &'static str, if_none_match: Option<&'static str>, since: Option<i64>| {
        let request = ReadRequest { base: &BASE, key: key("Patient/p"), query, if_none_match, if_modified_since: since.map(Timestamp) };
        server.interactions.read(server.access.as_read(), request).await
    };
    for tag in ["W/\"1\"", "1", "*"] {
        assert!(matches!(read("", Some(tag), None).await.unwrap(), ReadOutcome::NotModified { .. }), "{tag}");
    }
    assert!(matches!(read("", Some("W/\"2\""), None).await.unwrap(), ReadOutcome::Found(_)));
    assert!(matches!(read("", None, Some(1_700_000_000_000)).await.unwrap(), ReadOutcome::NotModified { .. }));
    assert!(matches!(read("", None, Some(1_699_999_999_000)).await.unwrap(), ReadOutcome::Found(_)));
    let ReadOutcome::Found(short) = read("_summary=true&_format=json", None, None).await.unwrap() else { panic!() };
    let short = json_of(&short.json);
    assert_eq!((&short["active"], &short["photo"]), (&json!(true), &Value::Null));
    assert_eq!(short["meta"]["tag"][0]["code"], "SUBSETTED");
    let ReadOutcome::Found(short) = read("_elements=photo", None, None).await.unwrap() else { panic!() };
    assert_eq!(json_of(&short.json)["photo"][0]["title"], "x");
    assert_eq!(read("name=x", None, None).await.unwrap_err().kind, ErrorKind::BadRequest);
}

#[tokio::test]
async fn versions_and_history_tell_all_that_was() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "p" })).await.unwrap();
    server.clock.0.fetch_add(60_000, Ordering::SeqCst);
    server.put(json!({ "resourceType": "Patient", "id": "p", "active": true })).await.unwrap();
    server.delete("Patient/p").await.unwrap();
    let version = async |version: &'static str| {
        let request =
            VersionReadRequest { base: &BASE, key: key("Patient/p"), version, query: "", if_none_match: None, if_modified_since: None };
        server.interactions.vread(server.access.as_read(), request).await.map_err(|error| error.kind)
    };
    assert!(matches!(version("2").await.unwrap(), ReadOutcome::Found(found) if found.json.contains("\"active\":true")));
    for (name, kind) in [("3", ErrorKind::Gone), ("4", ErrorKind::NotFound), ("x", ErrorKind::NotFound)] {
        assert_eq!(version(name).await.unwrap_err(), kind, "{name}");
    }
    let history = async |scope: HistoryScope, query: String| {
        let request = HistoryInteraction { base: &BASE, scope, query: &query, handling: Handling::Strict };
        server.interactions.history(server.access.as_read(), request).await.map(|outcome| json_of(&outcome.json))
    };
    let all = history(HistoryScope::Instance(key("Patient/p")), String::new()).await.unwrap();
    let methods: Vec<&str> = all["entry"].as_array().unwrap().iter().map(|entry| entry["request"]["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["DELETE", "PUT", "PUT"]);
    assert!(all["entry"][0].get("resource").is_none());
    assert_eq!(all["entry"][2]["response"], json!({ "status": "201", "etag": "W/\"1\"", "lastModified": "2023-11-14T22:13:20.000Z" }));
    // The plus sign of the offset comes as a space from some clients.
    let since = history(HistoryScope::Type(resource_type("Patient")), "_since=2023-11-14T23:14:20+01:00".to_owned()).await.unwrap();
    assert_eq!(since["entry"].as_array().unwrap().len(), 2);
    let mut pages = Vec::new();
    let mut query = "_count=1".to_owned();
    loop {
        let page = history(HistoryScope::Tenant, query).await.unwrap();
        pages.extend(page["entry"].as_array().unwrap().iter().map(|entry| entry["response"]["etag"].clone()));
        let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
        let Some(next) = next else { break };
        query = next["url"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    }
    assert_eq!(pages, ["W/\"3\"", "W/\"2\"", "W/\"1\""]);
    let missing = history(HistoryScope::Instance(key("Patient/q")), String::new()).await;
    assert_eq!(missing.unwrap_err().kind, ErrorKind::NotFound);
    assert!(history(HistoryScope::Type(resource_type("Group")), String::new()).await.unwrap().get("entry").is_none());
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "p", "active": true, "gender": "male" })).await.unwrap();
    let patch = async |body: &'static str, if_match: Option<&'static str>| {
        let request = PatchRequest {
            base: &BASE,
            resource_type: resource_type("Patient"),
            target: Target::Id(ResourceId::parse("p").unwrap()),
            format: PatchFormat::Json,
            body: body.as_bytes().to_vec(),
            if_match,
            returning: Returning::Representation,
        };
        server.interactions.patch(&server.access, request).await
    };
    let outcome = patch(r#"[{"op":"test","path":"/meta/versionId","value":"1"},{"op":"replace","path":"/active","value":false}]"#, None);
    let patched = json_of(&outcome.await.unwrap().json.unwrap());
    assert_eq!((&patched["active"], &patched["meta"]["versionId"]), (&json!(false), &json!("2")));
    for (body, if_match, kind) in [
        ("[{\"op\":\"remove\",\"path\":\"/photo\"}]", None, ErrorKind::Unprocessable),
        ("[{\"op\":\"replace\",\"path\":\"/id\",\"value\":\"q\"}]", None, ErrorKind::Unprocessable),
        ("[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"x\"}]", None, ErrorKind::Unprocessable),
        ("{}", None, ErrorKind::BadRequest),
        ("[]", Some("1"), ErrorKind::PreconditionFailed),
    ] {
        assert_eq!(patch(body, if_match).await.unwrap_err().kind, kind, "{body}");
    }
}

#[tokio::test]
async fn the_capability_statement_is_a_valid_resource() {
    let server = Server::start().await;
    let statement = server.interactions.capabilities(&BASE);
    assert_eq!(statement, server.interactions.capabilities(&BASE));
    let document = fhirpool_fhir::json::Document::parse(statement.as_bytes()).unwrap();
    assert_eq!(fhirpool_validation::validate(&definitions(), document.root()), Vec::new());
    let statement = json_of(&statement);
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    assert_eq!(resources.len(), ResourceType::COUNT);
    let patient = resources.iter().find(|resource| resource["type"] == "Patient").unwrap();
    let codes: Vec<&str> = patient["searchParam"].as_array().unwrap().iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    assert!(["_id", "_lastUpdated", "family", "birthdate"].iter().all(|code| codes.contains(code)), "{codes:?}");
}
