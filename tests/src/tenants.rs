//! Tenants come, are suspended, and go for good.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fhirpool_server::config::{Given, Profile};
use fhirpool_server::deployment;
use fhirpool_storage::StorageError;
use fhirpool_testkit::{Client, Deployment, ServerProcess, TestServer, program};
use serde_json::{Value, json};

use crate::profiles::on_each_profile;

on_each_profile!(a_suspended_tenant_is_refused_until_it_is_resumed, a_deleted_tenant_is_gone_and_others_are_as_they_were);

const CANARY: &str = "canary-Xq7Zt3Wv9";

/// Requests end soon, and URLs expire soon, so that deletions end soon.
fn given() -> Given {
    Given { request_seconds_max: Some(3), content_url_seconds: Some(3), search_wait_ms_max: Some(20_000), ..Given::default() }
}

/// Puts the canary into names, identifiers, histories and content.
async fn seed(client: &Client, canary: &str) {
    for language in ["de", "en"] {
        let patient = json!({
            "resourceType": "Patient", "id": "p", "language": language,
            "identifier": [{"system": format!("urn:{canary}"), "value": canary}], "name": [{"family": canary}],
        });
        assert!(client.put("Patient/p", patient.to_string()).await.status < 300);
    }
    let entries: Vec<Value> = (0..30)
        .map(|number| {
            let note = format!("{canary} {number}");
            let observation = json!({
                "resourceType": "Observation", "status": "final", "code": {"text": note}, "subject": {"reference": "Patient/p"},
                "valueString": note,
            });
            json!({"resource": observation, "request": {"method": "POST", "url": "Observation"}})
        })
        .collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    assert_eq!(client.post("", bundle.to_string()).await.status, 200);
    let content = canary.repeat(8_000);
    let headers = [("content-type", "image/png")];
    assert!(client.send("PUT", "Binary/b", &headers, content).await.status < 300);
    assert_eq!(client.get(&format!("Patient?identifier={canary}&_summary=count")).await.json()["total"], 1);
    assert_eq!(client.get("Observation?_summary=count").await.json()["total"], 30);
}

/// Asks until the answer is wanted; `time_max` is what was promised.
async fn until(time_max: Duration, what: &str, mut asked: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !asked().await {
        assert!(began.elapsed() < time_max, "{what}: not within {time_max:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

async fn delete(administrator: &Client, tenant: &str) -> Value {
    let path = format!("/admin/tenants/{tenant}");
    let deleting = administrator.send("DELETE", &path, &[], "").await;
    assert_eq!((deleting.status, &deleting.json()["state"]), (202, &json!("deleting")));
    until(Duration::from_secs(90), "the deletion", async || administrator.get(&path).await.json()["state"] == "deleted").await;
    administrator.get(&path).await.json()
}

async fn a_suspended_tenant_is_refused_until_it_is_resumed(profile: Profile) {
    let server = TestServer::start_on(profile, &["a", "b"], given()).await;
    let (a, b, administrator) = (server.client("a"), server.client("b"), server.administrator());
    assert_eq!(a.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    for _ in 0..2 {
        assert_eq!(administrator.post("/admin/tenants/a/$suspend", "").await.json()["state"], "suspended");
        for (method, path, body) in
            [("GET", "Patient/p", ""), ("PUT", "Patient/p", "{}"), ("GET", "Patient?name=x", ""), ("GET", "_history", "")]
        {
            let refused = a.send(method, path, &[], body).await;
            assert_eq!((refused.status, &refused.json()["issue"][0]["code"]), (403, &json!("forbidden")), "{method} {path}");
        }
        assert_eq!(a.get("metadata").await.status, 200, "what is no tenant's is told as ever");
        assert_eq!(b.get("Patient").await.status, 200);
        assert_eq!(administrator.post("/admin/tenants/a/$resume", "").await.json()["state"], "active");
        assert_eq!(a.get("Patient/p").await.status, 200);
    }
    server.stop().await;
}

async fn a_deleted_tenant_is_gone_and_others_are_as_they_were(profile: Profile) {
    let folder = tempfile::tempdir().unwrap();
    let deployment = match profile {
        Profile::Embedded => None,
        Profile::Aws => Some(Arc::new(Deployment::create().await)),
    };
    let server = match &deployment {
        None => TestServer::start_with(&["gone", "stays"], Given { data: Some(folder.path().to_owned()), ..given() }).await,
        Some(deployment) => TestServer::start_node(deployment, &["gone", "stays"], given()).await,
    };
    let (gone, stays, administrator) = (server.client("gone"), server.client("stays"), server.administrator());
    seed(&gone, CANARY).await;
    seed(&stays, "somethingelse").await;
    let record = delete(&administrator, "gone").await;
    assert!(record["removed"].as_object().is_some_and(|removed| removed.len() > 2), "{record}");
    until(Duration::from_secs(5), "deleted", async || gone.get("Patient/p").await.status == 404).await;
    for path in ["Patient/p", "Patient", "_history", "Binary/b"] {
        assert_eq!(gone.get(path).await.status, 404, "{path}");
    }
    assert_eq!(administrator.post("/admin/tenants", r#"{"id":"gone"}"#).await.status, 409, "an id is given once");
    let again = administrator.send("DELETE", "/admin/tenants/gone", &[], "").await;
    assert_eq!((again.status, again.json()), (200, record));

    assert_eq!(stays.get("Patient?identifier=somethingelse&_summary=count").await.json()["total"], 1);
    assert_eq!(stays.get("Observation?_summary=count").await.json()["total"], 30);
    assert_eq!(stays.get("Patient/p/_history").await.json()["total"], 2);
    let headers = [("accept", "image/png")];
    assert_eq!(stays.send("GET", "Binary/b", &headers, "").await.body.len(), "somethingelse".len() * 8_000);
    server.stop().await;
    match &deployment {
        // A table goes with who has read it last, which may be a thread that is just ending.
        None => {
            let no_file = async || files_with(folder.path(), CANARY.as_bytes()).is_empty();
            until(Duration::from_secs(10), "the files", no_file).await;
        }
        Some(deployment) => {
            let config = deployment.config();
            let (left, has_key) = deployment::remove_tenant(&config, "gone").await.unwrap();
            assert!(left.iter().all(|(_, count)| *count == 0) && !has_key, "{left:?}");
            // What is found where something is there.
            let (left, _) = deployment::remove_tenant(&config, "stays").await.unwrap();
            assert!(left.iter().all(|(_, count)| *count > 0), "{left:?}");
        }
    }
}

/// The files below a folder that hold these bytes; of none, all.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if bytes.is_empty() || std::fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Suspension and deletion act on every node within five seconds, though each was asked for at one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_refuses_a_closed_tenant_within_five_seconds() {
    let deployment = Arc::new(Deployment::create().await);
    let one = TestServer::start_node(&deployment, &["closing"], given()).await;
    let other = TestServer::start_node(&deployment, &[], given()).await;
    let (here, there, administrator) = (one.client("closing"), other.client("closing"), one.administrator());
    assert_eq!(here.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    assert_eq!(there.get("Patient/p").await.status, 200, "verdict and key are kept on both");
    let promised = Duration::from_secs(5);
    let mut times = Vec::new();
    for (request, status) in [("$suspend", 403), ("$resume", 200), ("$suspend", 403)] {
        assert_eq!(administrator.post(&format!("/admin/tenants/closing/{request}"), "").await.status, 200);
        assert_eq!(here.get("Patient/p").await.status, status);
        times.push(until(promised, request, async || there.get("Patient/p").await.status == status).await);
    }
    assert_eq!(administrator.post("/admin/tenants/closing/$resume", "").await.status, 200);
    until(promised, "resuming", async || there.get("Patient/p").await.status == 200).await;
    let deleting = administrator.send("DELETE", "/admin/tenants/closing", &[], "").await;
    assert_eq!(deleting.status, 202);
    times.push(until(promised, "deleting", async || there.get("Patient/p").await.status == 403).await);
    assert_eq!(here.get("Patient/p").await.status, 403);
    println!("the other node followed after {times:?}");
    let seen = other.administrator();
    let is_deleted = async || seen.get("/admin/tenants/closing").await.json()["state"] == "deleted";
    until(Duration::from_secs(90), "the deletion", is_deleted).await;
    // Whichever node did it, each of the two follows.
    for node in [&here, &there] {
        until(promised, "deleted", async || node.get("Patient/p").await.status == 404).await;
    }
    one.stop().await;
    other.stop().await;
}

/// A URL for an upload is good after the last request of its tenant has ended, and S3 knows nothing of tenants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_uploaded_to_a_tenant_that_is_deleted() {
    let deployment = Arc::new(Deployment::create().await);
    let node = TestServer::start_node(&deployment, &["gone"], Given { content_url_seconds: Some(12), ..given() }).await;
    let (client, administrator) = (node.client("gone"), node.administrator());
    let announced = client.post("Binary", r#"{"resourceType":"Binary","contentType":"text/plain"}"#).await.json();
    let url = announced["presignedPutUrl"].as_str().unwrap_or_else(|| panic!("{announced}"));
    let put = async || client.send("PUT", url, &[("content-type", "text/plain"), ("authorization", "")], CANARY).await.status;
    assert_eq!(administrator.send("DELETE", "/admin/tenants/gone", &[], "").await.status, 202);
    // Time and again, so that one comes behind whatever was removed.
    let mut uploads = 0;
    until(Duration::from_secs(90), "the deletion", async || {
        uploads += usize::from(put().await == 200);
        administrator.get("/admin/tenants/gone").await.json()["state"] == "deleted"
    })
    .await;
    assert!(uploads > 0);
    assert_eq!(put().await, 403);
    node.stop().await;
    let (left, _) = deployment::remove_tenant(&deployment.config(), "gone").await.unwrap();
    assert!(left.iter().all(|(_, count)| *count == 0), "{left:?}");
}

/// A destroyed key is gone from the memory of a node that serves with it, though that was asked for at another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_key_opens_nothing_on_any_node_within_five_seconds() {
    let deployment = Arc::new(Deployment::create().await);
    let one = TestServer::start_node(&deployment, &["shredded", "stays"], given()).await;
    let other = TestServer::start_node(&deployment, &[], given()).await;
    let (here, there, administrator) = (one.client("shredded"), other.client("shredded"), one.administrator());
    assert_eq!(here.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    assert_eq!(there.get("Patient/p").await.status, 200);
    let epoch = other.newest_key("shredded").await.unwrap();
    other.can_open("shredded", epoch).await.unwrap();
    let stays = other.newest_key("stays").await.unwrap();

    let asked = Instant::now();
    assert_eq!(administrator.send("DELETE", "/admin/tenants/shredded", &[], "").await.status, 202);
    let promised = Duration::from_secs(5);
    let refused = until(promised, "refusing", async || matches!(there.get("Patient/p").await.status, 403 | 404)).await;
    // The key itself goes once no node lets anyone in any more. It is asked for all the while, so that it is in memory when it goes.
    let waiting = Duration::from_secs(30);
    let can_open = async |node: &TestServer| node.can_open("shredded", epoch).await.is_ok();
    until(waiting, "destroying", async || {
        can_open(&other).await;
        !can_open(&one).await
    })
    .await;
    let destroyed_after = asked.elapsed();
    assert!(destroyed_after > promised, "it went while nodes might still let someone in");
    let gone_there = until(promised, "the other node", async || !can_open(&other).await).await;
    println!(
        "asked to delete, the other node refused after {refused:?}; the key was destroyed after {destroyed_after:?}, \
         and opened nothing on the other node {gone_there:?} later"
    );
    for node in [&one, &other] {
        assert_eq!(node.can_open("shredded", epoch).await, Err(StorageError::UnknownTenant));
        assert_eq!(node.newest_key("shredded").await, Err(StorageError::UnknownTenant), "nor is another made");
        assert_eq!(node.can_open("stays", stays).await, Ok(()));
    }
    one.stop().await;
    other.stop().await;
}

/// A deletion goes on though the nodes end that were asked for it: one that runs goes on with it, or the next that is started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_whose_node_ended_is_taken_up_by_another() {
    let deployment = Arc::new(Deployment::create().await);
    let tenants = ["first", "second"];
    let one = TestServer::start_node(&deployment, &tenants, given()).await;
    let other = TestServer::start_node(&deployment, &[], given()).await;
    for tenant in tenants {
        assert_eq!(one.client(tenant).put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    }
    let state = async |node: &TestServer, tenant: &str| {
        let shown = node.administrator().get(&format!("/admin/tenants/{tenant}")).await.json();
        shown["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(one.administrator().send("DELETE", "/admin/tenants/first", &[], "").await.status, 202);
    // It waits for what other nodes may have let in, so that it ends in the midst.
    one.stop().await;
    assert_eq!(state(&other, "first").await, "deleting");
    let took = until(Duration::from_secs(120), "the other node", async || state(&other, "first").await == "deleted").await;

    assert_eq!(other.administrator().send("DELETE", "/admin/tenants/second", &[], "").await.status, 202);
    other.stop().await;
    let next = TestServer::start_node(&deployment, &[], given()).await;
    assert_eq!(state(&next, "second").await, "deleting");
    let took_next = until(Duration::from_secs(120), "the next node", async || state(&next, "second").await == "deleted").await;
    println!("a node that ran had removed the tenant after {took:?}, one that was started after {took_next:?}");
    next.stop().await;
    for tenant in tenants {
        let (left, has_key) = deployment::remove_tenant(&deployment.config(), tenant).await.unwrap();
        assert!(left.iter().all(|(_, count)| *count == 0) && !has_key, "{left:?}");
    }
}

fn fhirpool(data: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program()).args(arguments).arg("--data").arg(data).args(["--log-filter", "warn"]).output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A backup that is older than a deletion: its content comes along, and the server that opens what was restored removes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_leaves_nothing_of_a_tenant_that_was_deleted_since() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (data, restored) = (folder.path(), other.path().join("data"));
    let [backup, keys] = ["backup", "keys"].map(|name| other.path().join(name));
    let run = |arguments: &[&str], files: &[(&str, &Path)], data: &Path| {
        let mut command = Command::new(program());
        command.args(arguments).arg("--data").arg(data);
        for (name, file) in files {
            command.arg(name).arg(file);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let soon = ["--request-seconds-max", "1"];
    let server = ServerProcess::start_with(data, &["gone", "stays"], &soon);
    seed(&server.client(data, "gone"), CANARY).await;
    seed(&server.client(data, "stays"), "somethingelse").await;
    run(&["backup"], &[("--to", &backup)], data);
    run(&["tenant", "delete", "gone"], &[], data);
    drop(server);
    run(&["keys", "export"], &[("--to", &keys)], data);
    run(&["restore"], &[("--from", &backup), ("--keys", &keys)], &restored);
    let [of_gone, of_stays] = ["gone", "stays"].map(|tenant| restored.join("content/tenant").join(tenant));
    // Sealed as it is, and without its key.
    assert!(!files_with(&of_gone, b"").is_empty());
    let server = ServerProcess::start_with(&restored, &["stays"], &soon);
    let shown = || fhirpool(&restored, &["tenant", "show", "gone"]).1;
    until(Duration::from_secs(60), "the deletion", async || shown().contains("\"state\":\"deleted\"")).await;
    assert!(!of_gone.exists() || files_with(&of_gone, b"").is_empty());
    assert!(!files_with(&of_stays, b"").is_empty());
    let stays = server.client(&restored, "stays");
    assert_eq!(stays.get("Observation?_summary=count").await.json()["total"], 30);
    assert_eq!(stays.send("GET", "Binary/b", &[("accept", "image/png")], "").await.body.len(), "somethingelse".len() * 8_000);
}

/// The command line does it by the server that has the folder open, or by itself where none has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_administered_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (went_well, said) = fhirpool(&data.join("nowhere"), &["tenant", "list"]);
    assert!(!went_well && said.contains("found no store"), "{said}");
    let (went_well, said) = fhirpool(data, &["tenant", "create", "a", "--name", "Clinic of A"]);
    assert!(went_well && said.contains("\"name\":\"Clinic of A\""), "{said}");
    let mut server = ServerProcess::start_with(data, &["b"], &["--request-seconds-max", "1"]);
    let a = server.client(data, "a");
    assert_eq!(a.put("Patient/p", r#"{"resourceType":"Patient","id":"p"}"#).await.status, 201);
    for (verb, status) in [("suspend", 403), ("resume", 200)] {
        let (went_well, said) = fhirpool(data, &["tenant", verb, "a"]);
        assert!(went_well, "{said}");
        assert_eq!(a.get("Patient/p").await.status, status);
    }
    let access = data.join("access.toml");
    for (text, status) in [("inherit = false\n[quota]\npoints_per_second = 5000\n", 403), ("", 200)] {
        std::fs::write(&access, text).unwrap();
        let (went_well, said) = fhirpool(data, &["tenant", "access", "a", access.to_str().unwrap()]);
        assert!(went_well && said.contains("points_per_second") != text.is_empty(), "{said}");
        assert_eq!(a.get("Patient/p").await.status, status);
    }
    std::fs::write(&access, "inherits = false\n").unwrap();
    let (went_well, said) = fhirpool(data, &["tenant", "access", "a", access.to_str().unwrap()]);
    assert!(!went_well && said.contains("unknown field `inherits`"), "{said}");
    assert!(!fhirpool(data, &["tenant", "create", "a"]).0);
    assert!(!fhirpool(data, &["tenant", "suspend", "nobody"]).0);
    let (went_well, said) = fhirpool(data, &["tenant", "delete", "a"]);
    assert!(went_well && said.contains("\"state\":\"deleted\""), "{said}");
    assert_eq!(a.get("Patient/p").await.status, 404);
    let token = Command::new(program()).args(["token", "--admin", "--data"]).arg(data).output().unwrap();
    let administrator = Client::new(server.root.clone(), Some(String::from_utf8(token.stdout).unwrap().trim().to_owned()));
    let listed = administrator.get("/admin/tenants").await;
    assert_eq!((listed.status, listed.json().as_array().map(Vec::len)), (200, Some(2)), "{}", listed.text());
    server.kill();
    // Nobody runs: it is done at once.
    let (went_well, said) = fhirpool(data, &["tenant", "delete", "b"]);
    assert!(went_well && said.contains("\"state\":\"deleted\""), "{said}");
    let (_, said) = fhirpool(data, &["tenant", "list"]);
    assert_eq!(said.matches("\"state\":\"deleted\"").count(), 2, "{said}");
}

/// A process that is killed while it deletes leaves a tenant that is being deleted; the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_goes_on_after_the_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = ServerProcess::start_with(data, &["a", "b"], &[]);
    let (a, b) = (server.client(data, "a"), server.client(data, "b"));
    for number in 0..20 {
        let patient = format!(r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"family":"{CANARY}"}}]}}"#);
        assert_eq!(a.put(&format!("Patient/p{number}"), patient.clone()).await.status, 201);
        assert_eq!(b.put(&format!("Patient/p{number}"), patient.replace(CANARY, "Other")).await.status, 201);
    }
    // It waits for requests that may be under way, for longer than this test takes.
    let deleting = Command::new(program()).args(["tenant", "delete", "a", "--data"]).arg(data).spawn();
    let mut deleting = deleting.unwrap();
    until(Duration::from_secs(20), "closing", async || a.get("Patient/p1").await.status == 403).await;
    server.kill();
    deleting.kill().unwrap();
    deleting.wait().unwrap();
    let server = ServerProcess::start_with(data, &["a", "b"], &["--request-seconds-max", "1"]);
    let shown = async || fhirpool(data, &["tenant", "show", "a"]).1;
    until(Duration::from_secs(60), "the deletion", async || shown().await.contains("\"state\":\"deleted\"")).await;
    assert_eq!(server.client(data, "a").get("Patient/p1").await.status, 404);
    assert_eq!(server.client(data, "b").get("Patient?family=Other&_summary=count").await.json()["total"], 20);
    drop(server);
    assert_eq!(files_with(data, CANARY.as_bytes()), [] as [String; 0]);
    let verified = Command::new(program()).args(["verify", "--data"]).arg(data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
