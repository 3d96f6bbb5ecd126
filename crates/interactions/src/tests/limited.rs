//! Accesses that are narrowed within a type: everything that leaves or changes keeps to it, and what is left out is not told.

use fhirpool_authz::{Launch, Policy};
use fhirpool_fhir::VersionId;
use fhirpool_storage::HistoryScope;

use super::*;
use crate::{Effect, ErrorKind, HistoryInteraction, PatchFormat, PatchRequest, VersionReadRequest};

impl Server {
    /// The same server for someone with these scopes, launched for a patient.
    pub(super) fn with_scopes(&self, scopes: &[&str], patient: &str) -> Self {
        let tenant = TenantId::parse("test").unwrap();
        let launch = Launch { patient: ResourceId::parse(patient), ..Launch::default() };
        let principal = Principal::with(&Policy::default().with_scopes_alone(), tenant.clone(), &[], scopes, launch);
        Self {
            interactions: self.interactions.clone(),
            access: WriteAccess::authorize(&principal, &tenant).unwrap(),
            clock: self.clock.clone(),
            _folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) async fn history(&self, scope: HistoryScope, query: &str) -> Result<Value> {
        let interaction = match scope {
            HistoryScope::Instance(_) => Interaction::HistoryInstance,
            _ => Interaction::HistoryType,
        };
        let request = HistoryInteraction { base: &BASE, scope, query, handling: Handling::Strict };
        self.interactions.history(&self.reading(interaction), request).await.map(|outcome| json_of(&outcome.json))
    }

    pub(super) async fn vread(&self, text: &str, version: u64) -> Result<Value> {
        let version = VersionId(version).to_string();
        let request =
            VersionReadRequest { base: &BASE, key: key(text), version: &version, query: "", if_none_match: None, if_modified_since: None };
        match self.interactions.vread(&self.reading(Interaction::Vread), request).await? {
            ReadOutcome::Found(found) => Ok(json_of(&found.json)),
            ReadOutcome::NotModified { .. } => panic!("nothing was said of what the client has"),
        }
    }

    pub(super) async fn patch(&self, target: Target<'_>, name: &str, patch: Value) -> Result<WriteOutcome> {
        let request = PatchRequest {
            base: &BASE,
            resource_type: resource_type(name),
            target,
            format: PatchFormat::Json,
            body: patch.to_string().into_bytes(),
            if_match: None,
            returning: Returning::Representation,
        };
        self.interactions.patch(&self.access, request).await
    }
}

/// What a result holds, as `Type/id`, in its order.
pub(super) fn found(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |entry: &Value| {
        let resource = &entry["resource"];
        match resource["id"].as_str() {
            Some(id) => format!("{}/{id}", resource["resourceType"].as_str().unwrap()),
            None => entry["fullUrl"].as_str().unwrap_or_default().trim_start_matches(BASE.as_str()).trim_start_matches('/').to_owned(),
        }
    };
    entries.iter().map(name).collect()
}

fn observation(id: &str, subject: &str, code: &str) -> Value {
    json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "coding": [{ "code": code }] },
        "subject": { "reference": subject } })
}

fn named(id: &str, family: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] })
}

/// Two patients with two observations each, and a practitioner of both.
async fn filled() -> Server {
    let server = Server::start().await;
    for (id, family) in [("p", "Mine"), ("q", "Other")] {
        let mut patient = named(id, family);
        patient["generalPractitioner"] = json!([{ "reference": "Practitioner/d" }]);
        server.put(patient).await.unwrap();
    }
    server.put(json!({ "resourceType": "Practitioner", "id": "d", "name": [{ "family": "Doctor" }] })).await.unwrap();
    for (id, subject, code) in [("p1", "p", "a"), ("p2", "p", "b"), ("q1", "q", "a"), ("q2", "q", "b")] {
        server.put(observation(id, &format!("Patient/{subject}"), code)).await.unwrap();
    }
    server
}

/// A refusal as the client sees it.
fn told<T: std::fmt::Debug>(result: Result<T>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, format!("{:?}", error.outcome.issues))
}

#[tokio::test]
async fn a_read_of_what_is_not_reached_is_told_as_one_of_what_never_was() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/*.rs"], "p");
    assert_eq!(mine.read("Observation/p1").await.unwrap()["id"], "p1");
    assert_eq!(mine.read("Patient/p").await.unwrap()["id"], "p");
    for (hidden, absent) in [("Observation/q1", "Observation/x"), ("Patient/q", "Patient/x"), ("Practitioner/d", "Practitioner/x")] {
        assert_eq!(told(mine.read(hidden).await), told(mine.read(absent).await), "{hidden}");
        assert_eq!(told(mine.vread(hidden, 1).await), told(mine.vread(absent, 1).await), "{hidden}");
        let (of_hidden, of_absent) = (HistoryScope::Instance(key(hidden)), HistoryScope::Instance(key(absent)));
        assert_eq!(told(mine.history(of_hidden, "").await), told(mine.history(of_absent, "").await), "{hidden}");
    }
    server.delete("Observation/q1").await.unwrap();
    assert_eq!(told(mine.read("Observation/q1").await), told(mine.read("Observation/x").await));
    server.delete("Observation/p1").await.unwrap();
    assert_eq!(mine.read("Observation/p1").await.unwrap_err().kind, ErrorKind::Gone);
    assert_eq!(mine.read("Condition/x").await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn each_version_is_judged_by_its_own_content() {
    let server = filled().await;
    server.put(observation("p1", "Patient/q", "a")).await.unwrap();
    server.put(observation("p1", "Patient/p", "b")).await.unwrap();
    server.delete("Observation/p1").await.unwrap();
    let (mine, other) = (server.with_scopes(&["patient/*.rs"], "p"), server.with_scopes(&["patient/*.rs"], "q"));
    let versions = |history: &Value| -> Vec<String> {
        let entries = history["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().map(|entry| entry["response"]["etag"].as_str().unwrap().to_owned()).collect()
    };
    let history = mine.history(HistoryScope::Instance(key("Observation/p1")), "").await.unwrap();
    assert_eq!(versions(&history), ["W/\"4\"", "W/\"3\"", "W/\"1\""]);
    assert_eq!(history["total"], Value::Null);
    assert_eq!(versions(&other.history(HistoryScope::Instance(key("Observation/p1")), "").await.unwrap()), ["W/\"2\""]);
    assert!(mine.vread("Observation/p1", 1).await.is_ok() && other.vread("Observation/p1", 2).await.is_ok());
    assert_eq!(told(mine.vread("Observation/p1", 2).await), told(mine.vread("Observation/p1", 9).await));
    assert_eq!(other.read("Observation/p1").await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn pages_of_history_are_filled_with_what_is_reached() {
    let server = Server::start().await;
    for number in -150..300 {
        let subject = if number >= 0 && number % 100 == 0 { "Patient/p" } else { "Patient/q" };
        server.put(observation(&format!("o{number}"), subject, "a")).await.unwrap();
    }
    let mine = server.with_scopes(&["patient/Observation.rs"], "p");
    for scope in [HistoryScope::Tenant, HistoryScope::Type(resource_type("Observation"))] {
        let first = mine.history(scope.clone(), "_count=2").await.unwrap();
        assert_eq!(found(&first), ["Observation/o200", "Observation/o100"]);
        let next = first["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").unwrap()["url"].as_str().unwrap();
        let (_, query) = next.split_once('?').unwrap();
        let second = mine.history(scope.clone(), query).await.unwrap();
        assert_eq!(found(&second), ["Observation/o0"]);
        // What may not be seen is not told of by a link either.
        let links = |history: &Value| history["link"].as_array().unwrap().iter().filter(|link| link["relation"] == "next").count();
        let all = mine.history(scope.clone(), "_count=3").await.unwrap();
        assert_eq!((found(&all).len(), links(&all)), (3, 0));
        // The link is of this client under these grants.
        assert!(server.with_scopes(&["patient/*.rs"], "q").history(scope.clone(), query).await.is_err());
        assert!(server.history(scope, query).await.is_err());
    }
}

#[tokio::test]
async fn searches_find_and_count_what_is_reached() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/*.rs"], "p");
    for (query, expected) in [
        ("Observation", &["Observation/p1", "Observation/p2"][..]),
        ("Observation?code=a", &["Observation/p1"]),
        ("Observation?code:not=a", &["Observation/p2"]),
        ("Observation?_id=p1,q1", &["Observation/p1"]),
        ("Observation?subject=Patient/q", &[]),
        ("Observation?_sort=-_id", &["Observation/p2", "Observation/p1"]),
        ("Patient", &["Patient/p"]),
        ("Practitioner", &[]),
        ("?_type=Patient,Observation", &["Observation/p1", "Observation/p2", "Patient/p"]),
        ("", &["Observation/p1", "Observation/p2", "Patient/p"]),
    ] {
        if query == "Practitioner" {
            assert_eq!(mine.search(query).await.unwrap_err().kind, ErrorKind::Forbidden);
            continue;
        }
        let bundle = mine.search(query).await.unwrap();
        assert_eq!(found(&bundle), expected, "{query}");
        assert_eq!(bundle["total"], expected.len(), "{query}");
        assert_eq!(mine.count(query).await, expected.len() as u64, "{query}");
        let separator = if query.contains('?') { "&" } else { "?" };
        let accurate = mine.search(&format!("{query}{separator}_total=accurate&_count=1")).await.unwrap();
        assert_eq!(accurate["total"], expected.len(), "{query}");
    }
}

#[tokio::test]
async fn chains_and_has_through_what_is_not_reached_match_nothing() {
    let server = filled().await;
    // Visible, and refers to what is not.
    let mut shared = observation("p3", "Patient/p", "c");
    shared["performer"] = json!([{ "reference": "Practitioner/d" }, { "reference": "Patient/q" }]);
    server.put(shared).await.unwrap();
    let mine = server.with_scopes(&["patient/*.rs"], "p");
    for (query, all, seen) in [
        ("Observation?subject:Patient.family=Mine", 3, 3),
        ("Observation?subject:Patient.family=Other", 2, 0),
        ("Observation?performer:Patient.family=Other", 1, 0),
        ("Observation?performer:Practitioner.family=Doctor", 1, 0),
        ("Observation?performer.family=Other", 1, 0),
        ("Patient?_has:Observation:subject:code=a", 2, 1),
        ("Patient?_has:Observation:performer:code=c", 1, 0),
        ("Patient?general-practitioner:Practitioner.family=Doctor", 2, 0),
        ("Observation?subject:Patient.general-practitioner:Practitioner.family=Doctor", 5, 0),
    ] {
        assert_eq!(server.count(query).await, all, "{query}");
        assert_eq!(mine.count(query).await, seen, "{query}");
    }
}

#[tokio::test]
async fn includes_bring_what_is_reached_alone() {
    let server = filled().await;
    let mut shared = observation("p3", "Patient/p", "c");
    shared["performer"] = json!([{ "reference": "Patient/q" }, { "reference": "Patient/q/_history/1" }]);
    server.put(shared).await.unwrap();
    let mut crossing = observation("q3", "Patient/q", "c");
    crossing["hasMember"] = json!([{ "reference": "Observation/p1" }]);
    server.put(crossing).await.unwrap();
    let mine = server.with_scopes(&["patient/*.rs"], "p");
    let search = async |query: &str| found(&mine.search(query).await.unwrap());
    assert_eq!(search("Observation?_id=p3&_include=*").await, ["Observation/p3", "Patient/p"]);
    assert_eq!(search("Observation?_id=p1&_revinclude=Observation:has-member").await, ["Observation/p1"]);
    assert_eq!(search("Patient?_id=p&_include=Patient:general-practitioner").await, ["Patient/p"]);
    assert_eq!(
        search("Patient?_revinclude=Observation:subject").await,
        ["Patient/p", "Observation/p1", "Observation/p2", "Observation/p3"]
    );
    assert_eq!(search("Patient?_revinclude=*").await.len(), 4);
    assert_eq!(server.count("Observation").await, 6);
    // A version that was replaced is for whoever may read versions.
    let mut renamed = named("q", "Other");
    renamed["active"] = json!(true);
    server.put(renamed).await.unwrap();
    server.put(observation("q4", "Patient/q/_history/1", "c")).await.unwrap();
    for (on_patients, seen) in [("system/Patient.s", vec!["Observation/q4"]), ("system/Patient.rs", vec!["Observation/q4", "Patient/q"])] {
        let looking = server.with_scopes(&["system/Observation.rs", on_patients], "p");
        assert_eq!(found(&looking.search("Observation?_id=q4&_include=*").await.unwrap()), seen, "{on_patients}");
    }
}

#[tokio::test]
async fn compartments_are_those_that_are_reached() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/Observation.rs"], "p");
    for (owner, expected) in [("p", &["Observation/p1", "Observation/p2"][..]), ("q", &[]), ("x", &[])] {
        for resource_type in [Some(resource_type("Observation")), None] {
            let scope = SearchScope::Compartment { owner: key(&format!("Patient/{owner}")), resource_type };
            let request = SearchInteraction { base: &BASE, scope, query: "", handling: Handling::Strict, freshness: Freshness::default() };
            let bundle = mine.interactions.search(&mine.reading(Interaction::Search), request).await.unwrap();
            assert_eq!(found(&json_of(&bundle.json)), expected, "{owner}");
        }
    }
}

#[tokio::test]
async fn criteria_of_scopes_narrow_and_alternatives_add_up() {
    let server = filled().await;
    let with = |scopes: &[&str]| server.with_scopes(scopes, "p");
    let all = async |client: &Server| found(&client.search("Observation").await.unwrap());
    assert_eq!(all(&with(&["patient/Observation.rs?code=a"])).await, ["Observation/p1"]);
    assert_eq!(all(&with(&["system/Observation.rs?code=a"])).await, ["Observation/p1", "Observation/q1"]);
    assert_eq!(
        all(&with(&["system/Observation.rs?code=a", "patient/Observation.rs"])).await,
        ["Observation/p1", "Observation/p2", "Observation/q1"]
    );
    assert_eq!(all(&with(&["system/Observation.rs?code=a&subject=Patient/q"])).await, ["Observation/q1"]);
    assert_eq!(all(&with(&["system/Observation.rs?code=a,b&status=final"])).await.len(), 4);
    // What cannot be understood admits nothing.
    for criteria in
        ["colour=red", "subject:Patient.family=Mine", "_has:Observation:subject:code=a", "date=yesterday", "_count=1", "code=", "%zz=1"]
    {
        let client = with(&[&format!("system/Observation.rs?{criteria}")]);
        assert_eq!(client.search("Observation").await.unwrap_err().kind, ErrorKind::Forbidden, "{criteria}");
        assert_eq!(client.read("Observation/p1").await.unwrap_err().kind, ErrorKind::Forbidden, "{criteria}");
    }
    let reading = with(&["patient/Observation.r"]);
    assert_eq!(reading.search("Observation").await.unwrap_err().kind, ErrorKind::Forbidden);
    assert!(reading.read("Observation/p1").await.is_ok());
}

#[tokio::test]
async fn writes_need_the_stored_and_the_new_version_within_reach() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/*.cruds"], "p");
    let kind = |result: Result<WriteOutcome>| result.unwrap_err().kind;
    // New ones.
    assert!(mine.create(observation("x", "Patient/p", "a")).await.is_ok());
    assert_eq!(kind(mine.create(observation("x", "Patient/q", "a")).await), ErrorKind::Forbidden);
    assert_eq!(kind(mine.create(named("x", "New")).await), ErrorKind::Forbidden);
    // Stored within, new outside, and the other way round.
    assert!(mine.put(observation("p1", "Patient/p", "c")).await.is_ok());
    assert_eq!(kind(mine.put(observation("p1", "Patient/q", "a")).await), ErrorKind::Forbidden);
    let (hidden, absent) = (mine.put(observation("q1", "Patient/p", "a")).await, mine.put(observation("x", "Patient/p", "a")).await);
    assert_eq!(told(hidden), told(absent));
    for if_match in ["*", "W/\"1\"", "W/\"7\""] {
        let target = |id: &str| Target::Id(ResourceId::parse(id).unwrap());
        let hidden = mine.put_to(target("q1"), observation("q1", "Patient/p", "a"), Some(if_match)).await;
        let absent = mine.put_to(target("x"), observation("x", "Patient/p", "a"), Some(if_match)).await;
        assert_eq!(told(hidden), told(absent), "{if_match}");
    }
    // Deleting what is not reached does what deleting nothing does.
    let (hidden, absent) = (mine.delete("Observation/q1").await.unwrap(), mine.delete("Observation/x").await.unwrap());
    assert_eq!((hidden.effect, hidden.version, hidden.last_updated), (absent.effect, absent.version, absent.last_updated));
    assert!(server.read("Observation/q1").await.is_ok());
    assert_eq!(mine.delete("Observation/p2").await.unwrap().version, Some(VersionId(2)));
    // A deleted one stays whose it was.
    server.delete("Observation/q2").await.unwrap();
    assert_eq!(kind(mine.put(observation("q2", "Patient/p", "a")).await), ErrorKind::NotFound);
    assert!(mine.put(observation("p2", "Patient/p", "b")).await.is_ok());
}

#[tokio::test]
async fn what_may_be_seen_and_not_changed_is_refused_as_such() {
    let server = filled().await;
    let mine = server.with_scopes(&["system/Observation.rs", "patient/Observation.ud?code=a"], "p");
    for id in ["q1", "p2"] {
        assert_eq!(mine.put(observation(id, "Patient/p", "a")).await.unwrap_err().kind, ErrorKind::Forbidden, "{id}");
        assert_eq!(mine.delete(&format!("Observation/{id}")).await.unwrap_err().kind, ErrorKind::Forbidden, "{id}");
        let patch = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
        let target = Target::Id(ResourceId::parse(id).unwrap());
        assert_eq!(mine.patch(target, "Observation", patch).await.unwrap_err().kind, ErrorKind::Forbidden, "{id}");
        let by_criteria = DeleteRequest {
            base: &BASE,
            resource_type: resource_type("Observation"),
            target: Target::Criteria(&format!("_id={id}")),
            if_match: None,
        };
        assert_eq!(mine.interactions.delete(&mine.access, by_criteria).await.unwrap_err().kind, ErrorKind::Forbidden, "{id}");
    }
    assert_eq!(server.count("Observation").await, 4);
}

#[tokio::test]
async fn a_patch_reads_what_it_changes() {
    let server = filled().await;
    let id = |text: &str| Target::Id(ResourceId::parse(text).unwrap());
    let amend = || json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let move_away = json!([{ "op": "replace", "path": "/subject/reference", "value": "Patient/q" }]);
    let mine = server.with_scopes(&["patient/Observation.ru"], "p");
    assert!(mine.patch(id("p1"), "Observation", amend()).await.unwrap().json.unwrap().contains("amended"));
    assert_eq!(mine.patch(id("p1"), "Observation", move_away).await.unwrap_err().kind, ErrorKind::Forbidden);
    assert_eq!(told(mine.patch(id("q1"), "Observation", amend()).await), told(mine.patch(id("x"), "Observation", amend()).await));
    let writing = server.with_scopes(&["patient/Observation.u"], "p");
    assert_eq!(told(writing.patch(id("p1"), "Observation", amend()).await), told(writing.patch(id("x"), "Observation", amend()).await));
    assert!(writing.put(observation("p1", "Patient/p", "z")).await.is_ok());
}

#[tokio::test]
async fn conditions_are_held_against_what_is_reached() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/*.cruds"], "p");
    // Another patient's match is none; one's own is.
    let made = mine.create_if_none(observation("x", "Patient/p", "a"), Some("subject=Patient/q&code=a")).await.unwrap();
    assert_eq!(made.effect, Effect::Created);
    let matched = mine.create_if_none(observation("x", "Patient/p", "b"), Some("code=b")).await.unwrap();
    assert_eq!((matched.effect, matched.key.unwrap().to_string().as_str()), (Effect::Matched, "Observation/p2"));
    // An id in the body that is another's is not told.
    let by = |id: &str| (Target::Criteria("code=zz"), observation(id, "Patient/p", "zz"));
    let ((target, hidden), (other, absent)) = (by("q1"), by("nowhere"));
    assert_eq!(told(mine.put_to(target, hidden, None).await), told(mine.put_to(other, absent, None).await));
    let mut fresh = observation("x", "Patient/p", "zz");
    fresh.as_object_mut().unwrap().remove("id");
    assert_eq!(mine.put_to(Target::Criteria("code=zz"), fresh.clone(), None).await.unwrap().effect, Effect::Created);
    fresh["subject"] = json!({ "reference": "Patient/q" });
    assert_eq!(mine.put_to(Target::Criteria("code=zz"), fresh, None).await.unwrap_err().kind, ErrorKind::Forbidden);
    let nothing = mine.patch(Target::Criteria("subject=Patient/q&code=b"), "Observation", json!([])).await;
    assert_eq!(nothing.unwrap_err().kind, ErrorKind::NotFound);
    // Without leave to search there are no criteria.
    let creating = server.with_scopes(&["patient/Observation.c"], "p");
    assert_eq!(creating.create_if_none(observation("x", "Patient/p", "a"), Some("code=a")).await.unwrap_err().kind, ErrorKind::Forbidden);
    let blind = server.with_scopes(&["patient/Observation.cs"], "p");
    let matched = blind.create_if_none(observation("x", "Patient/p", "b"), Some("code=b")).await.unwrap();
    assert_eq!((matched.effect, matched.json), (Effect::Matched, None));
}

#[tokio::test]
async fn bundles_keep_to_it_entry_by_entry() {
    let server = filled().await;
    let mine = server.with_scopes(&["patient/*.cruds"], "p");
    let statuses = |response: &Value| -> Vec<String> {
        response["entry"].as_array().unwrap().iter().map(|entry| entry["response"]["status"].as_str().unwrap().to_owned()).collect()
    };
    let entries = [
        ("GET", "Observation/p1", Value::Null),
        ("GET", "Observation/q1", Value::Null),
        ("GET", "Observation/q1/_history/1", Value::Null),
        ("GET", "Observation/q1/_history", Value::Null),
        ("GET", "Patient?_has:Observation:subject:code=k,a", Value::Null),
        ("PUT", "Observation/q1", observation("q1", "Patient/p", "a")),
        ("PUT", "Observation/p1", observation("p1", "Patient/q", "a")),
        ("PUT", "Observation/p1", observation("p1", "Patient/p", "k")),
        ("POST", "Observation", observation("x", "Patient/q", "a")),
        ("DELETE", "Observation/q2", Value::Null),
        ("DELETE", "Observation/p2", Value::Null),
    ];
    let response = mine.bundle(bundle("batch", &entries)).await.unwrap();
    assert_eq!(statuses(&response), ["200", "404", "404", "404", "200", "404", "403", "200", "403", "204", "204"]);
    assert_eq!(found(&response["entry"][4]["resource"]), ["Patient/p"]);
    assert!(server.read("Observation/q2").await.is_ok() && server.read("Observation/p2").await.is_err());

    let before = server.count("Observation").await;
    for (entry, kind) in [
        (("PUT", "Observation/q1", observation("q1", "Patient/p", "a")), ErrorKind::NotFound),
        (("PUT", "Observation/p1", observation("p1", "Patient/q", "a")), ErrorKind::Forbidden),
        (("POST", "Observation", observation("x", "Patient/q", "a")), ErrorKind::Forbidden),
        (("PUT", "Observation/new", observation("new", "Patient/p", "a")), ErrorKind::NotFound),
    ] {
        let transaction = bundle("transaction", &[("POST", "Observation", observation("x", "Patient/p", "t")), entry]);
        let error = mine.bundle(transaction).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(expressions(&error)[0].starts_with("Bundle.entry[1]"));
    }
    assert_eq!(server.count("Observation").await, before);
    let good = [
        ("POST", "Observation", observation("x", "Patient/p", "t")),
        ("DELETE", "Observation/q2", Value::Null),
        ("GET", "Observation/q1", Value::Null),
        ("GET", "Observation?code=t", Value::Null),
    ];
    let response = mine.bundle(bundle("transaction", &good)).await.unwrap();
    assert_eq!(statuses(&response), ["201", "204", "404", "200"]);
    assert_eq!(found(&response["entry"][3]["resource"]).len(), 1);
    assert!(server.read("Observation/q2").await.is_ok());
}

#[tokio::test]
async fn conditional_references_lead_to_what_is_reached() {
    let server = Server::start().await;
    let mut patient = patient("me");
    patient["id"] = json!("p");
    server.put(patient).await.unwrap();
    server.create(super::patient("them")).await.unwrap();
    let mine = server.with_scopes(&["patient/*.cruds"], "p");
    let referring = |identifier: &str| observation("x", &format!("Patient?identifier=urn:test|{identifier}"), "a");
    assert!(mine.bundle(bundle("transaction", &[("POST", "Observation", referring("me"))])).await.is_ok());
    let hidden = mine.bundle(bundle("transaction", &[("POST", "Observation", referring("them"))])).await;
    let absent = mine.bundle(bundle("transaction", &[("POST", "Observation", referring("nobody"))])).await;
    assert_eq!(told(hidden), told(absent));
}

/// A delete of what may not be reached does nothing: criteria of the same transaction find it still.
#[tokio::test]
async fn a_delete_that_does_nothing_hides_nothing() {
    let server = Server::start().await;
    let mut observation = observation("x", "Patient/p", "a");
    observation["identifier"] = json!([{ "value": "i" }]);
    server.put(observation.clone()).await.unwrap();
    let mine = server.with_scopes(&["patient/Observation.cs", "patient/Observation.d?status=cancelled"], "p");
    observation.as_object_mut().unwrap().remove("id");
    let entries = json!([
        { "request": { "method": "DELETE", "url": "Observation/x" } },
        { "request": { "method": "POST", "url": "Observation", "ifNoneExist": "identifier=i" }, "resource": observation },
    ]);
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    let done = mine.bundle(bundle).await.unwrap();
    let statuses: Vec<_> =
        done["entry"].as_array().unwrap().iter().map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned()).collect();
    assert_eq!((statuses, server.count("Observation?identifier=i").await), (vec!["204".to_owned(), "200".to_owned()], 1));
}
