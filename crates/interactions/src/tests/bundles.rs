#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::ErrorKind;

fn status(bundle: &Value, entry: usize) -> &str {
    bundle["entry"][entry]["response"]["status"].as_str().unwrap()
}

/// The `Type/id` of an entry's location.
fn located(bundle: &Value, entry: usize) -> String {
    let location = bundle["entry"][entry]["response"]["location"].as_str().unwrap();
    location.strip_prefix(&format!("{BASE}/")).unwrap().split("/_history").next().unwrap().to_owned()
}

fn observation(subject: &str) -> Value {
    json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": subject } })
}

#[tokio::test]
async fn links_between_entries_are_rewritten_wherever_they_stand() {
    let server = Server::start().await;
    let uuid = "urn:uuid:0190b3c1-0000-7000-8000-000000000001";
    let oid = "urn:oid:1.2.3";
    let mut transaction = bundle(
        "transaction",
        &[
            ("POST", "Observation", observation(uuid)),
            ("POST", "Patient", patient("1")),
            (
                "POST",
                "QuestionnaireResponse",
                json!({ "resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": oid }),
            ),
            ("POST", "Questionnaire", json!({ "resourceType": "Questionnaire", "status": "active", "url": "http://x/q" })),
            ("POST", "Observation", observation("Patient/77")),
            ("PUT", "Patient/known", json!({ "resourceType": "Patient", "id": "known" })),
        ],
    );
    let entries = transaction["entry"].as_array_mut().unwrap();
    entries[0]["resource"]["text"] = json!({ "status": "generated",
        "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{uuid}\">{uuid}</a><img src='{uuid}#x'/></div>") });
    entries[0]["resource"]["performer"] =
        json!([{ "reference": "Patient/9/_history/2" }, { "reference": "urn:uuid:0190b3c1-0000-7000-8000-00000000ffff" }]);
    entries[0]["resource"]["identifier"] = json!([{ "system": "urn:ietf:rfc:3986", "value": uuid }]);
    entries[1]["fullUrl"] = json!(uuid);
    entries[3]["fullUrl"] = json!(oid);
    entries[4]["fullUrl"] = json!("http://elsewhere/fhir/Observation/1");
    entries[5]["fullUrl"] = json!("http://elsewhere/fhir/Patient/77");
    let response = server.bundle(transaction).await.unwrap();
    assert_eq!(response["type"], "transaction-response");
    let patient = located(&response, 1);
    let observation = server.read(&located(&response, 0)).await.unwrap();
    assert_eq!(observation["subject"]["reference"], patient);
    let narrative = observation["text"]["div"].as_str().unwrap();
    assert_eq!(
        narrative,
        format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{patient}\">{uuid}</a><img src='{patient}#x'/></div>")
    );
    assert_eq!(observation["performer"][0]["reference"], "Patient/9/_history/2");
    assert_eq!(observation["performer"][1]["reference"], "urn:uuid:0190b3c1-0000-7000-8000-00000000ffff");
    assert_eq!(observation["identifier"][0]["value"], uuid);
    let answers = server.read(&located(&response, 2)).await.unwrap();
    assert_eq!(answers["questionnaire"], located(&response, 3));
    assert_eq!(server.read(&located(&response, 4)).await.unwrap()["subject"]["reference"], "Patient/known");
    assert_eq!(server.count(&format!("Observation?subject={patient}")).await, 1);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing_and_names_the_entry_at_fault() {
    let server = Server::start().await;
    let invalid = json!({ "resourceType": "Patient", "birthDate": "yesterday" });
    let error = server.bundle(bundle("transaction", &[("POST", "Patient", patient("1")), ("POST", "Patient", invalid)])).await.unwrap_err();
    assert_eq!((error.kind, expressions(&error)), (ErrorKind::Unprocessable, vec!["Bundle.entry[1].resource.birthDate"]));
    let refusals = [
        (("POST", "Patient", Value::Null), "Bundle.entry[1].resource"),
        (("POST", "Patient", observation("Patient/1")), "Bundle.entry[1].resource.resourceType"),
        (("PUT", "Patient/1", patient("1")), "Bundle.entry[1].resource.id"),
        (("JUMP", "Patient/1", Value::Null), "Bundle.entry[1].request.method"),
        (("GET", "Patient?nonsense=1", Value::Null), "Bundle.entry[1].request.url"),
        (("GET", "Nonsense/1", Value::Null), "Bundle.entry[1].request.url"),
        (("DELETE", "Patient?identifier=x&nonsense=1", Value::Null), "Bundle.entry[1]"),
    ];
    for (entry, expression) in refusals {
        let named = format!("{entry:?}");
        let error = server.bundle(bundle("transaction", &[("POST", "Patient", patient("1")), entry])).await.unwrap_err();
        assert_eq!(expressions(&error), [expression], "{named}");
    }
    let mut without_url = bundle("transaction", &[("POST", "Patient", patient("1"))]);
    without_url["entry"][0]["request"] = json!({ "method": "POST" });
    assert_eq!(expressions(&server.bundle(without_url).await.unwrap_err()), ["Bundle.entry[0].request.url"]);
    assert_eq!(server.bundle(bundle("document", &[])).await.unwrap_err().kind, ErrorKind::BadRequest);
    assert_eq!(server.count("Patient").await, 0);
}

#[tokio::test]
async fn no_resource_is_written_twice() {
    let server = Server::start().await;
    let named = |active: bool| json!({ "resourceType": "Patient", "id": "p", "active": active });
    server.put(json!({ "resourceType": "Patient", "id": "p", "identifier": [{ "system": "urn:test", "value": "1" }] })).await.unwrap();
    for second in
        [("PUT", "Patient/p", named(false)), ("DELETE", "Patient/p", Value::Null), ("DELETE", "Patient?identifier=urn:test|1", Value::Null)]
    {
        let name = format!("{second:?}");
        let error = server.bundle(bundle("transaction", &[("PUT", "Patient/p", named(true)), second])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{name}");
        assert_eq!(error.outcome.issues[0].code, fhirpool_fhir::IssueCode::Duplicate, "{name}");
    }
    assert_eq!(server.read("Patient/p").await.unwrap()["meta"]["versionId"], "1");
}

#[tokio::test]
async fn conditional_creates_of_one_transaction_share_what_they_make() {
    let server = Server::start().await;
    let mut transaction = bundle(
        "transaction",
        &[
            ("POST", "Patient", patient("1")),
            ("POST", "Patient", patient("1")),
            ("POST", "Observation", observation("urn:uuid:0190b3c1-0000-7000-8000-000000000002")),
        ],
    );
    for index in 0..2 {
        transaction["entry"][index]["request"]["ifNoneExist"] = json!("identifier=urn:test|1");
        transaction["entry"][index]["fullUrl"] = json!(format!("urn:uuid:0190b3c1-0000-7000-8000-00000000000{}", index + 1));
    }
    let response = server.bundle_returning(transaction.clone(), Returning::Representation).await.unwrap();
    assert_eq!((status(&response, 0), status(&response, 1)), ("201", "200"));
    assert_eq!(located(&response, 0), located(&response, 1));
    assert_eq!(response["entry"][2]["resource"]["subject"]["reference"], located(&response, 0));
    let again = server.bundle(transaction).await.unwrap();
    assert_eq!((status(&again, 0), located(&again, 0)), ("200", located(&response, 0)));
    assert_eq!(server.count("Patient").await, 1);
    assert_eq!(server.count("Observation").await, 2);
}

#[tokio::test]
async fn a_conditional_create_means_what_another_entry_makes() {
    let server = Server::start().await;
    let both = json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:test", "value": "a" }, { "system": "urn:test", "value": "b" }] });
    let by = |value: &str| json!(format!("identifier=urn:test|{value}"));
    // The plain creation stands wherever it is; of two conditional ones that match each other, the earlier does.
    for (conditions, made) in [(vec![(0, "a"), (2, "b")], 1), (vec![(0, "a"), (1, "b"), (2, "a")], 0)] {
        let mut transaction = bundle(
            "transaction",
            &[("POST", "Patient", both.clone()), ("POST", "Patient", both.clone()), ("POST", "Patient", both.clone())],
        );
        for (index, value) in conditions {
            transaction["entry"][index]["request"]["ifNoneExist"] = by(value);
        }
        let response = server.bundle(transaction).await.unwrap();
        for index in 0..3 {
            assert_eq!(located(&response, index), located(&response, made), "{index}");
            assert_eq!(status(&response, index), if index == made { "201" } else { "200" }, "{index}");
        }
        assert_eq!(server.count("Patient").await, 1);
        let made = located(&response, made).to_owned();
        server.bundle(bundle("transaction", &[("DELETE", &made, Value::Null)])).await.unwrap();
    }
    let mut twice =
        bundle("transaction", &[("POST", "Patient", both.clone()), ("POST", "Patient", both.clone()), ("POST", "Patient", both.clone())]);
    twice["entry"][2]["request"]["ifNoneExist"] = by("a");
    assert_eq!(server.bundle(twice).await.unwrap_err().kind, ErrorKind::PreconditionFailed);
    let update = bundle("transaction", &[("POST", "Patient", both.clone()), ("PUT", "Patient?identifier=urn:test|a", both)]);
    let error = server.bundle(update).await.unwrap_err();
    assert_eq!((error.kind, error.outcome.issues[0].code), (ErrorKind::BadRequest, fhirpool_fhir::IssueCode::Duplicate));
    assert_eq!(server.count("Patient").await, 0);
}

#[tokio::test]
async fn conditional_references_find_what_is_stored_and_what_the_transaction_makes() {
    let server = Server::start().await;
    let stored = server.create(patient("stored")).await.unwrap().key.unwrap().to_string();
    let response = server
        .bundle_returning(
            bundle(
                "transaction",
                &[
                    ("POST", "Observation", observation("Patient?identifier=urn:test|stored")),
                    ("POST", "Observation", observation("Patient?identifier=urn:test|new")),
                    ("POST", "Patient", patient("new")),
                ],
            ),
            Returning::Representation,
        )
        .await
        .unwrap();
    assert_eq!(response["entry"][0]["resource"]["subject"]["reference"], stored);
    assert_eq!(response["entry"][1]["resource"]["subject"]["reference"], located(&response, 2));
    server.create(patient("new")).await.unwrap();
    for query in ["new", "nobody"] {
        let entries = [("POST", "Observation", observation(&format!("Patient?identifier=urn:test|{query}")))];
        let error = server.bundle(bundle("transaction", &entries)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::PreconditionFailed, "{query}");
        assert_eq!(expressions(&error), ["Bundle.entry[0].resource.subject.reference"], "{query}");
    }
    let deleted = [("DELETE", stored.as_str(), Value::Null), ("POST", "Observation", observation("Patient?identifier=urn:test|stored"))];
    assert_eq!(server.bundle(bundle("transaction", &deleted)).await.unwrap_err().kind, ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn entries_take_effect_in_the_standard_order_and_answer_in_theirs() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "old", "identifier": [{ "system": "urn:test", "value": "1" }] })).await.unwrap();
    let patch = json!([{ "op": "add", "path": "/active", "value": true }]).to_string();
    use base64::Engine;
    let patch = base64::engine::general_purpose::STANDARD.encode(patch);
    server.put(json!({ "resourceType": "Patient", "id": "patched" })).await.unwrap();
    let mut transaction = bundle(
        "transaction",
        &[
            ("GET", "Patient?_sort=_id", Value::Null),
            ("HEAD", "Patient/patched", Value::Null),
            ("PATCH", "Patient/patched", json!({ "resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch })),
            ("POST", "Patient", patient("1")),
            ("DELETE", "Patient/old", Value::Null),
            ("GET", "Patient/old", Value::Null),
            ("DELETE", "Patient?identifier=urn:test|none", Value::Null),
            ("GET", "Patient/patched/_history/1", Value::Null),
        ],
    );
    transaction["entry"][3]["request"]["ifNoneExist"] = json!("identifier=urn:test|1");
    let response = server.bundle(transaction).await.unwrap();
    let statuses: Vec<&str> = (0..8).map(|entry| status(&response, entry)).collect();
    assert_eq!(statuses, ["200", "200", "200", "201", "204", "410", "204", "200"]);
    assert_eq!(response["entry"][0]["resource"]["total"], 2);
    assert_eq!(response["entry"][1]["response"]["etag"], "W/\"2\"");
    assert_eq!(response["entry"][1].get("resource"), None);
    assert_eq!(response["entry"][5]["response"]["outcome"]["issue"][0]["code"], "deleted");
    assert_eq!(response["entry"][7]["resource"]["meta"]["versionId"], "1");
    assert_eq!(server.read("Patient/patched").await.unwrap()["active"], true);
}

#[tokio::test]
async fn a_full_url_that_holds_a_link_of_its_own_does_no_harm() {
    let server = Server::start().await;
    let mut transaction = bundle("transaction", &[("POST", "Patient", patient("1")), ("POST", "Patient", patient("2"))]);
    transaction["entry"][0]["fullUrl"] = json!("x src='y'");
    transaction["entry"][1]["fullUrl"] = json!("y");
    let div = "<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"x src='y'\">z</a></div>";
    transaction["entry"][0]["resource"]["text"] = json!({ "status": "generated", "div": div });
    let response = server.bundle(transaction).await.unwrap();
    let own = located(&response, 0);
    assert_eq!(server.read(&own).await.unwrap()["text"]["div"], div.replace("x src='y'", &own));
}

#[tokio::test]
async fn a_condition_of_an_entry_fails_the_whole() {
    let server = Server::start().await;
    server.put(json!({ "resourceType": "Patient", "id": "p" })).await.unwrap();
    let named = json!({ "resourceType": "Patient", "id": "p", "active": true });
    let mut transaction = bundle("transaction", &[("POST", "Patient", patient("1")), ("PUT", "Patient/p", named)]);
    transaction["entry"][1]["request"]["ifMatch"] = json!("W/\"7\"");
    let error = server.bundle(transaction.clone()).await.unwrap_err();
    assert_eq!((error.kind, expressions(&error)), (ErrorKind::PreconditionFailed, vec!["Bundle.entry[1].request.ifMatch"]));
    assert_eq!(server.count("Patient").await, 1);
    transaction["entry"][1]["request"]["ifMatch"] = json!("W/\"1\"");
    let response = server.bundle(transaction).await.unwrap();
    assert_eq!((status(&response, 0), status(&response, 1)), ("201", "200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_transactions_with_the_same_criteria_make_one_resource() {
    let server = Arc::new(Server::start().await);
    let uuid = "urn:uuid:0190b3c1-0000-7000-8000-000000000003";
    let mut transaction = bundle("transaction", &[("POST", "Patient", patient("r")), ("POST", "Observation", observation(uuid))]);
    transaction["entry"][0]["fullUrl"] = json!(uuid);
    transaction["entry"][0]["request"]["ifNoneExist"] = json!("identifier=urn:test|r");
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (server, transaction) = (server.clone(), transaction.clone());
            tokio::spawn(async move { server.bundle(transaction).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let made = server.search("Patient").await.unwrap();
    assert_eq!(made["total"], 1);
    let patient = made["entry"][0]["resource"]["id"].as_str().unwrap();
    assert_eq!(server.count(&format!("Observation?subject=Patient/{patient}")).await, 12);
}

#[tokio::test]
async fn batch_entries_stand_for_themselves() {
    let server = Server::start().await;
    let entries: Vec<(&str, &str, Value)> = vec![
        ("POST", "Patient", patient("1")),
        ("POST", "Patient", json!({ "resourceType": "Patient", "birthDate": "yesterday" })),
        ("GET", "Patient?_summary=count", Value::Null),
        ("GET", "Patient/none", Value::Null),
        ("PUT", "Patient/p", json!({ "resourceType": "Patient", "id": "p" })),
        ("GET", "metadata", Value::Null),
        ("POST", "Patient/$match", Value::Null),
        ("POST", "Patient", json!(7)),
    ];
    let response = server.bundle(bundle("batch", &entries)).await.unwrap();
    assert_eq!(response["type"], "batch-response");
    let statuses: Vec<&str> = (0..8).map(|entry| status(&response, entry)).collect();
    assert_eq!(statuses, ["201", "422", "200", "404", "201", "200", "501", "400"]);
    assert_eq!(response["entry"][1]["response"]["outcome"]["issue"][0]["expression"][0], "Bundle.entry[1].resource.birthDate");
    assert_eq!(response["entry"][2]["resource"]["total"], 2);
    assert_eq!(response["entry"][5]["resource"]["resourceType"], "CapabilityStatement");
    assert_eq!(server.bundle(bundle("batch", &[])).await.unwrap().get("entry"), None);
}
