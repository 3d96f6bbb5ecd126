//! The log of accesses, on each profile: what is in it, who may look, and what must never be in it.

use std::path::Path;

use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Deployment, ServerProcess, TestServer, program, token};
use serde_json::Value;

use crate::profiles::on_each_profile;

on_each_profile!(
    every_access_allowed_or_denied_leaves_a_record_for_its_tenant_alone,
    records_are_searched_by_who_may_and_by_what_there_is,
    a_bundle_lists_its_entries_and_what_clients_store_stays_what_it_was,
    a_bundle_that_is_given_up_by_its_client_is_told_and_paid_whole,
    killed_servers_have_kept_the_record_of_every_change_they_answered_and_chains_stay_whole,
    what_administrators_do_to_a_tenant_is_in_its_log,
    what_is_done_on_the_command_line_is_in_the_log,
);

/// In every field that a patient's data could come by.
const CANARY: &str = "Canary-7f3a";

/// Long enough that a test's records lie within, and as short as a search may be.
const DATES: &str = "date=ge2026-01-01&date=lt2026-01-02";

fn dates() -> String {
    let today = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64 / 86_400;
    let day = |days: i64| {
        let (year, month, day) = fhirpool_fhir::temporal::civil_from_days(days);
        format!("{year:04}-{month:02}-{day:02}")
    };
    DATES.replace("2026-01-01", &day(today - 1)).replace("2026-01-02", &day(today + 2))
}

fn client_of(server: &TestServer, tenant: &str, subject: &str, groups: &[&str]) -> Client {
    Client::new(format!("{}/tenant/{tenant}", server.root()), Some(server.token_for(tenant, subject, groups)))
}

/// All that a search finds, page by page.
async fn found(admin: &Client, query: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut next = format!("AuditEvent?{query}&{}&_count=7", dates());
    loop {
        let page = admin.get(&next).await;
        assert_eq!(page.status, 200, "{next}: {}", page.text());
        let page = page.json();
        assert_eq!((&page["resourceType"], &page["type"]), (&Value::from("Bundle"), &Value::from("searchset")));
        let entries = page["entry"].as_array().cloned().unwrap_or_default();
        assert!(entries.len() <= 7);
        events.extend(entries.into_iter().map(|entry| entry["resource"].clone()));
        let links = page["link"].as_array().unwrap();
        let Some(link) = links.iter().find(|link| link["relation"] == "next") else { return events };
        next = format!("AuditEvent{}", link["url"].as_str().unwrap().split_once("/AuditEvent").unwrap().1);
    }
}

/// What a search finds once there is as much: records of reads are written a little later than they are answered.
async fn found_in_time(admin: &Client, query: &str, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let events = found(admin, query).await;
        if events.len() >= count || tokio::time::Instant::now() > deadline {
            assert_eq!(events.len(), count, "{query}: {events:#?}");
            return events;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn told(event: &Value) -> String {
    let entity = event["entity"].as_array().unwrap();
    let references: Vec<&str> = entity.iter().filter_map(|entity| entity["what"]["reference"].as_str()).collect();
    format!(
        "{} {} {} {} {}",
        event["subtype"][0]["code"].as_str().unwrap(),
        event["action"].as_str().unwrap(),
        event["outcomeDesc"].as_str().unwrap(),
        event["agent"][0]["who"]["identifier"]["value"].as_str().unwrap_or("-"),
        references.join(" ")
    )
}

async fn every_access_allowed_or_denied_leaves_a_record_for_its_tenant_alone(profile: Profile) {
    let server = TestServer::start_on(profile, &["home", "away"], Given::default()).await;
    let doctor = client_of(&server, "home", "doctor", &["practitioner"]);
    let clerk = client_of(&server, "home", "clerk", &["auditor"]);
    let stranger = Client::new(format!("{}/tenant/home", server.root()), Some(server.token_for("away", "stranger", &["practitioner"])));
    let nobody = Client::new(format!("{}/tenant/home", server.root()), None);
    let lost = Client::new(format!("{}/tenant/lost", server.root()), None);

    let patient = format!(r#"{{"resourceType":"Patient","id":"p","name":[{{"family":"{CANARY}"}}]}}"#);
    assert_eq!(doctor.put("Patient/p", patient).await.status, 201);
    let observation = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"text":"{CANARY}"}},"subject":{{"reference":"Patient/p","display":"{CANARY}"}}}}"#
    );
    let made = doctor.post("Observation", observation).await;
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(doctor.get(&format!("Observation/{id}")).await.status, 200);
    assert_eq!(doctor.get(&format!("Patient?family={CANARY}&{CANARY}=1")).await.status, 400);
    assert_eq!(doctor.get(&format!("Patient?family={CANARY}")).await.status, 200);
    assert_eq!(doctor.get(&format!("Patient/{CANARY}%20")).await.status, 404);
    assert_eq!(clerk.get(&format!("Observation/{id}")).await.status, 403);
    assert_eq!(stranger.get("Patient/p").await.status, 404);
    assert_eq!(nobody.get("Patient/p").await.status, 401);
    assert_eq!(lost.get("Patient/p").await.status, 401);
    assert_eq!(doctor.send("DELETE", "Patient/p", &[], "").await.status, 200);

    let admin = client_of(&server, "home", "admin", &["audit-admin"]);
    let events = found_in_time(&admin, "action=C,R,U,D", 8).await;
    let of_doctor = found_in_time(&admin, "agent=doctor", 7).await;
    let told_of: Vec<String> = of_doctor.iter().rev().map(told).collect();
    let observation_told = format!("create C HTTP 201 doctor Observation/{id}/_history/1 Patient/p");
    assert_eq!(
        told_of,
        [
            "update U HTTP 201 doctor Patient/p/_history/1",
            &observation_told,
            &format!("read R HTTP 200 doctor Observation/{id}/_history/1 Patient/p"),
            "search-type E HTTP 400 doctor ",
            "search-type E HTTP 200 doctor Patient/p",
            "read R HTTP 404 doctor ",
            "delete D HTTP 200 doctor Patient/p/_history/2",
        ]
    );
    let names = |event: &Value| event["entity"].as_array().unwrap().iter().find_map(|entity| entity["detail"].as_array().cloned()).unwrap();
    assert_eq!(names(&of_doctor[3])[1]["valueString"], "?");
    assert_eq!(names(&of_doctor[2])[0]["valueString"], "family");
    let denied: Vec<String> = events.iter().filter(|event| event["outcome"] == "4").map(told).collect();
    assert_eq!(denied.len(), 4, "{denied:?}");
    assert!(denied.contains(&format!("read R HTTP 403 clerk Observation/{id}")));
    assert!(denied.contains(&"read R HTTP 401 - Patient/p".to_owned()) && denied.contains(&"read R HTTP 404 - Patient/p".to_owned()));
    for event in events.iter().chain(&of_doctor) {
        let text = event.to_string();
        assert!(!text.contains(CANARY) && !text.contains("stranger"), "{text}");
        assert!(event["agent"][0]["network"]["address"].as_str().is_some_and(|address| address.contains("127.0.0.1")), "{text}");
    }
    // What is told is R4: the server itself takes it.
    let mut copy = of_doctor[1].clone();
    copy.as_object_mut().unwrap().remove("id");
    let taken = doctor.post("AuditEvent", copy.to_string()).await;
    assert_eq!(taken.status, 201, "{}", taken.text());

    let away_admin = client_of(&server, "away", "admin", &["audit-admin"]);
    let away = found_in_time(&away_admin, "action=R", 1).await;
    assert_eq!(told(&away[0]), "read R HTTP 404 stranger Patient/p");
    server.stop().await;
}

async fn records_are_searched_by_who_may_and_by_what_there_is(profile: Profile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "scopes_alone = true\n").unwrap();
    let given = Given { access_file: Some(file.path().to_owned()), ..Given::default() };
    let server = TestServer::start_on(profile, &["home"], given).await;
    let doctor = client_of(&server, "home", "doctor", &["practitioner"]);
    for id in ["p", "q"] {
        assert_eq!(doctor.put(&format!("Patient/{id}"), format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#)).await.status, 201);
    }
    for _ in 0..9 {
        assert_eq!(doctor.get("Patient/q").await.status, 200);
    }
    assert_eq!(doctor.get("Patient/x").await.status, 404);
    let by_scope =
        |scopes: &[&str]| Client::new(format!("{}/tenant/home", server.root()), Some(server.token_with_scopes("home", scopes, "p")));
    let admin = client_of(&server, "home", "admin", &["audit-admin"]);
    for admin in [&admin, &by_scope(&["system/AuditEvent.rs"])] {
        assert_eq!(found_in_time(admin, "action=R&outcome=0", 9).await.len(), 9);
        assert_eq!(found_in_time(admin, "patient=p&agent=doctor", 1).await.len(), 1);
        assert_eq!(found_in_time(admin, "patient=Patient/q&agent=doctor", 10).await.len(), 10);
        assert_eq!(found_in_time(admin, "entity=Patient/q/_history/1&action=U", 1).await.len(), 1);
        assert_eq!(found_in_time(admin, "entity=Patient/x", 1).await[0]["outcome"], "4");
        assert_eq!(found_in_time(admin, "agent=somebody", 0).await.len(), 0);
    }
    // Newest first, and each by its id.
    let events = found(&admin, "patient=q").await;
    let times: Vec<&str> = events.iter().map(|event| event["recorded"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "{times:?}");
    let one = admin.get(&format!("AuditEvent/{}", events[3]["id"].as_str().unwrap())).await;
    assert_eq!((one.status, one.json()), (200, events[3].clone()));
    assert_eq!(admin.get("AuditEvent/log-1-2-3-4").await.status, 404);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let posted = admin.send("POST", "AuditEvent/_search", &form, format!("patient=p&agent=doctor&{}", dates())).await;
    assert_eq!((posted.status, posted.json()["entry"].as_array().map(Vec::len)), (200, Some(1)));

    // Looks into the log are accesses, too.
    assert!(found(&admin, "agent=admin").await.iter().all(|event| event["subtype"][0]["code"] == "audit"));
    for (query, status) in [
        ("AuditEvent".to_owned(), 400),
        ("AuditEvent?date=ge2026-01-01".to_owned(), 400),
        ("AuditEvent?date=ge2020-01-01&date=lt2026-01-01".to_owned(), 403),
        (format!("AuditEvent?{}&site=x", dates()), 400),
        (format!("AuditEvent?{}&_sort=date", dates()), 400),
        (format!("AuditEvent?{}&action=X", dates()), 400),
        ("AuditEvent?_page=AAAA".to_owned(), 400),
        ("Patient".to_owned(), 403),
        ("Patient/p".to_owned(), 403),
        ("AuditEvent/_history".to_owned(), 403),
    ] {
        let refused = admin.get(&query).await;
        assert_eq!(
            (refused.status, &refused.json()["resourceType"]),
            (status, &Value::from("OperationOutcome")),
            "{query}: {}",
            refused.text()
        );
    }
    assert_eq!(admin.post("AuditEvent", "{}").await.status, 403);
    // A page is worth something to whom it was given alone.
    let page = admin.get(&format!("AuditEvent?{}&_count=1", dates())).await.json();
    let next = format!("AuditEvent{}", page["link"][1]["url"].as_str().unwrap().split_once("/AuditEvent").unwrap().1);
    assert_eq!(admin.get(&next).await.status, 200);
    assert_eq!(client_of(&server, "home", "other", &["audit-admin"]).get(&next).await.status, 400);
    // For everyone else, AuditEvents are what clients store.
    for client in [&doctor, &by_scope(&["system/*.rs"])] {
        let stored = client.get(&format!("AuditEvent?{}", dates())).await;
        assert_eq!((stored.status, &stored.json()["total"]), (200, &Value::from(0)), "{}", stored.text());
    }
    assert_eq!(by_scope(&["patient/AuditEvent.rs"]).get(&format!("AuditEvent?{}", dates())).await.json()["total"], 0);
    assert_eq!(client_of(&server, "home", "clerk", &["auditor"]).get(&format!("AuditEvent?{}", dates())).await.status, 403);
    server.stop().await;
}

async fn a_bundle_lists_its_entries_and_what_clients_store_stays_what_it_was(profile: Profile) {
    let server = TestServer::start_on(profile, &["home"], Given::default()).await;
    let doctor = client_of(&server, "home", "doctor", &["practitioner"]);
    let event = r#"{"resourceType":"AuditEvent","type":{"code":"x"},"recorded":"2026-01-01T00:00:00Z","agent":[{"requestor":true}],"source":{"observer":{"display":"app"}}}"#;
    let made = doctor.post("AuditEvent", event).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let stored = format!("AuditEvent/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(doctor.get(&stored).await.status, 200);
    let entries = [
        r#"{"resource":{"resourceType":"Patient","id":"p"},"request":{"method":"PUT","url":"Patient/p"}}"#,
        r#"{"request":{"method":"GET","url":"Patient/none"}}"#,
        r#"{"request":{"method":"GET","url":"Nonsense/1"}}"#,
    ];
    for (kind, entries, status) in [("batch", &entries[..], 200), ("transaction", &entries[..1], 200), ("transaction", &entries[..], 404)] {
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#, entries.join(","));
        assert_eq!(doctor.post("", bundle).await.status, status);
    }
    let admin = client_of(&server, "home", "admin", &["audit-admin"]);
    let events = found_in_time(&admin, "agent=doctor&action=E", 3).await;
    let details = |event: &Value| {
        let entities = event["entity"].as_array().unwrap();
        let touched = entities.iter().filter(|entity| entity["detail"].is_array());
        let said = touched.map(|entity| {
            let details = entity["detail"].as_array().unwrap().iter().map(|detail| detail["valueString"].as_str().unwrap());
            format!("{} {}", details.collect::<Vec<_>>().join(" "), entity["what"]["reference"].as_str().unwrap_or("-"))
        });
        said.collect::<Vec<_>>()
    };
    assert_eq!(told(&events[2]).split(' ').next(), Some("batch"));
    assert_eq!(details(&events[2]), ["update 201 Patient/p/_history/1", "read 404 Patient/none", "other 404 -"]);
    assert_eq!(details(&events[1]), ["update 200 Patient/p/_history/2"]);
    assert_eq!((told(&events[0]).as_str(), details(&events[0])), ("bundle E HTTP 404 doctor ", vec![]));
    assert_eq!(found_in_time(&admin, "entity=Patient/p", 2).await.len(), 2);
    assert_eq!(found_in_time(&admin, "patient=none", 1).await.len(), 1);

    // The greatest version that there may be, asked for by nobody.
    let nobody = Client::new(format!("{}/tenant/home", server.root()), None);
    let greatest = format!("Patient/x/_history/{}", u64::MAX);
    assert_eq!(nobody.get(&greatest).await.status, 401);
    let refused = found_in_time(&admin, "outcome=4&action=R", 1).await;
    assert_eq!(told(&refused[0]), format!("vread R HTTP 401 - {greatest}"));
    server.stop().await;
}

async fn a_bundle_that_is_given_up_by_its_client_is_told_and_paid_whole(profile: Profile) {
    const ENTRIES: usize = 1000;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[quota]\npoints_per_second = 1\nburst_points = 150000\n").unwrap();
    let given = Given { access_file: Some(file.path().to_owned()), ..Given::default() };
    let server = TestServer::start_on(profile, &["home"], given).await;
    let doctor = client_of(&server, "home", "doctor", &["practitioner"]);
    let entry = |number| {
        format!(r#"{{"resource":{{"resourceType":"Patient","id":"p{number}"}},"request":{{"method":"PUT","url":"Patient/p{number}"}}}}"#)
    };
    let entries: Vec<String> = (0..ENTRIES).map(entry).collect();
    let bundle = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, entries.join(","));
    // It leaves as soon as something is written.
    let leaving = client_of(&server, "home", "leaving", &["practitioner"]);
    let until_written = async {
        while doctor.get("Patient/p0").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let answer = tokio::select! {
        answer = leaving.post("", bundle) => Some(answer.status),
        () = until_written => None,
    };
    println!("the batch was answered: {answer:?}");
    drop(leaving);
    let admin = client_of(&server, "home", "admin", &["audit-admin"]);
    // A record names 500 entries.
    let events = found_in_time(&admin, "agent=leaving&action=E", ENTRIES / 500).await;
    let mut named: Vec<&str> = Vec::new();
    for event in &events {
        assert_eq!(event["subtype"][0]["code"], "batch");
        named.extend(event["entity"].as_array().unwrap().iter().filter_map(|entity| entity["what"]["reference"].as_str()));
    }
    let is_named = |number| named.iter().any(|name| name.split("/_history").next() == Some(&format!("Patient/p{number}")));
    assert!((0..ENTRIES).all(is_named));
    // Its entries cost 100 points each.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let standing = doctor.get("Patient/none").await;
        let left: usize = standing.header("ratelimit").split("r=").nth(1).and_then(|text| text.split(';').next()?.parse().ok()).unwrap();
        if left <= 150_000 - 100 * ENTRIES {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{left} points are left");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

async fn killed_servers_have_kept_the_record_of_every_change_they_answered_and_chains_stay_whole(profile: Profile) {
    let folder = tempfile::tempdir().unwrap();
    let deployment = if profile == Profile::Aws { Some(Deployment::create().await) } else { None };
    let data = deployment.as_ref().map_or(folder.path(), Deployment::data);
    let start = || match &deployment {
        Some(deployment) => ServerProcess::start_node(deployment, &["home"], &[]),
        None => ServerProcess::start(data, &["home"]),
    };
    let mut answered = Vec::new();
    for round in 0..2 {
        let mut server = start();
        let doctor = server.client(data, "home");
        for number in 0..5 {
            let id = format!("p{round}{number}");
            assert_eq!(doctor.put(&format!("Patient/{id}"), format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#)).await.status, 201);
            answered.push(format!("Patient/{id}"));
        }
        server.kill();
    }
    let mut server = start();
    let arguments = ["token", "--tenant", "home", "--group", "audit-admin", "--data"];
    let admin_token = std::process::Command::new(program()).args(arguments).arg(data).output().unwrap();
    assert!(admin_token.status.success(), "{}", String::from_utf8_lossy(&admin_token.stderr));
    let admin_token = String::from_utf8(admin_token.stdout).unwrap().trim().to_owned();
    let admin = Client::new(format!("{}/tenant/home", server.root), Some(admin_token));
    for reference in &answered {
        assert_eq!(found(&admin, &format!("entity={reference}&action=U&outcome=0")).await.len(), 1, "{reference}");
    }
    // A stop writes what waits, reads among it.
    let reader = Client::new(format!("{}/tenant/home", server.root), Some(token(data, "home")));
    assert_eq!(reader.get("Patient/p00").await.status, 200);
    server.terminate();
    assert!(server.wait());
    let mut verify = std::process::Command::new(program());
    match &deployment {
        Some(deployment) => verify.args(["verify-audit", "--tenant", "home", "--config"]).arg(deployment.file()),
        None => verify.args(["verify", "--data"]).arg(data),
    };
    let verified = verify.output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said} {}", String::from_utf8_lossy(&verified.stderr));
    if deployment.is_some() {
        // Ten changes, ten or more looks, the read; a chain for each process.
        assert!(said.contains("of 3 chains checked, 0 problems"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_to_a_file_besides_and_none_are_made_where_the_audit_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let given =
        Given { audit_sink: Some(fhirpool_server::config::AuditSink::File), audit_sink_file: Some(path.clone()), ..Given::default() };
    let server = TestServer::start_with(&["home"], given).await;
    assert_eq!(server.client("home").get("Patient/none").await.status, 404);
    assert_eq!(Client::new(format!("{}/tenant/lost", server.root()), None).get("Patient/none").await.status, 401);
    server.stop().await;
    let lines: Vec<Value> = std::fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut tenants: Vec<&str> = lines.iter().map(|line| line["tenant"].as_str().unwrap()).collect();
    tenants.sort_unstable();
    assert_eq!(tenants, ["home", "lost"], "a request to a tenant that is not there is in no log, and in the sink");
    assert!(lines.iter().all(|line| line["event"]["resourceType"] == "AuditEvent"));

    let server = TestServer::start_with(&["home"], Given { audit: Some(false), ..Given::default() }).await;
    let admin = client_of(&server, "home", "admin", &["audit-admin"]);
    assert_eq!(admin.get(&format!("AuditEvent?{}", dates())).await.status, 403);
    server.stop().await;
}

/// The lines that a sink's file has of a tenant: what was done, what became of it and by whom.
fn lines_of(path: &Path, tenant: &str) -> Vec<String> {
    let lines = std::fs::read_to_string(path).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["tenant"] == tenant).map(|line| told(&line["event"])).collect()
}

async fn what_administrators_do_to_a_tenant_is_in_its_log(profile: Profile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let given = Given {
        audit_sink: Some(fhirpool_server::config::AuditSink::File),
        audit_sink_file: Some(path.clone()),
        request_seconds_max: Some(1),
        content_url_seconds: Some(1),
        ..Given::default()
    };
    let server = TestServer::start_on(profile, &["home"], given).await;
    let administrator = server.administrator();
    let ask = async |method: &str, path: &str, body: &str| {
        let answer = administrator.send(method, &format!("/admin/tenants{path}"), &[], body.to_owned()).await;
        (answer.status, answer.header("x-request-id").to_owned())
    };
    let (status, made_by) = ask("POST", "", r#"{"id":"made"}"#).await;
    assert_eq!(status, 201);
    for (path, status) in [("/made/$suspend", 200), ("/made/$resume", 200)] {
        assert_eq!(ask("POST", path, "").await.0, status);
    }
    assert_eq!(ask("GET", "/made", "").await.0, 200, "what shows nothing of the tenant's leaves no record");
    assert_eq!(ask("POST", "", r#"{"id":"made"}"#).await.0, 409);
    let admin = client_of(&server, "made", "admin", &["audit-admin"]);
    let events = found_in_time(&admin, "agent=operator", 4).await;
    let told_of: Vec<String> = events.iter().rev().map(|event| told(event).trim_end().to_owned()).collect();
    let expected = [
        "tenant-create C HTTP 201 operator",
        "tenant-suspend U HTTP 200 operator",
        "tenant-resume U HTTP 200 operator",
        "tenant-create C HTTP 409 operator",
    ];
    assert_eq!(told_of, expected);
    let first = events.last().unwrap();
    assert_eq!(first["entity"][0]["what"]["identifier"]["value"].as_str(), Some(made_by.as_str()));
    assert_eq!(first["subtype"][0]["system"], "urn:fhirpool:audit-activity");

    // Who may not is told of without who it was, and changes nothing.
    let doctor = server.client("home");
    let nobody = Client::new(server.root(), None);
    for client in [&doctor, &nobody] {
        let of_home = "/admin/tenants/home";
        let suspension = format!("{of_home}/$suspend");
        for (method, path) in
            [("POST", &*suspension), ("DELETE", of_home), ("GET", of_home), ("GET", "/admin/tenants"), ("POST", "/admin/tenants")]
        {
            assert_eq!(client.send(method, path, &[], "").await.status, 401, "{method} {path}");
        }
    }
    assert_eq!(doctor.get("Patient").await.status, 200);
    let own = client_of(&server, "home", "admin", &["audit-admin"]);
    for (query, count) in [("action=U&outcome=4", 2), ("action=D&outcome=4", 2), ("action=R&outcome=4", 2)] {
        let denied = found_in_time(&own, query, count).await;
        assert!(denied.iter().all(|event| told(event).contains("HTTP 401 - ") && told(event).starts_with("tenant-")), "{denied:#?}");
    }

    // A deletion ends the log. Who asked for it is told by the sink, and by the tenant's record.
    assert_eq!(ask("DELETE", "/made", "").await.0, 202);
    let deleted = async || administrator.get("/admin/tenants/made").await.json();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(90);
    while deleted().await["state"] != "deleted" {
        assert!(tokio::time::Instant::now() < deadline, "the deletion takes too long");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let changed_by = deleted().await["changedBy"].as_str().unwrap().to_owned();
    assert!(changed_by.ends_with("|operator") && changed_by.len() > "|operator".len(), "{changed_by}");
    server.stop().await;
    let lines = lines_of(&path, "made");
    assert!(lines.iter().any(|line| line.trim_end() == "tenant-delete D HTTP 202 operator"), "{lines:#?}");
    assert_eq!(lines_of(&path, "home").iter().filter(|line| line.starts_with("tenant-")).count(), 6);
}

/// The same on the command line: by a process of its own (profile aws, or a folder that no server has open), and by the server.
async fn what_is_done_on_the_command_line_is_in_the_log(profile: Profile) {
    let folder = tempfile::tempdir().unwrap();
    let deployment = if profile == Profile::Aws { Some(Deployment::create().await) } else { None };
    let data = deployment.as_ref().map_or(folder.path(), Deployment::data);
    let path = folder.path().join("audit.jsonl");
    let tenant = |verb: &str, id: &str| {
        let mut command = std::process::Command::new(program());
        command.args(["tenant", verb, id, "--audit-sink", "file", "--audit-sink-file"]).arg(&path);
        match &deployment {
            Some(deployment) => command.arg("--config").arg(deployment.file()),
            None => command.arg("--data").arg(data),
        };
        command.output().unwrap().status.success()
    };
    assert!(tenant("create", "made") && !tenant("create", "made") && !tenant("suspend", "nobody"));
    let mut server = match &deployment {
        Some(deployment) => ServerProcess::start_node(deployment, &["home"], &[]),
        None => ServerProcess::start(data, &["home"]),
    };
    assert!(tenant("suspend", "made") && tenant("resume", "made"));
    let arguments = ["token", "--tenant", "made", "--group", "audit-admin", "--data"];
    let admin_token = std::process::Command::new(program()).args(arguments).arg(data).output().unwrap();
    let admin = Client::new(format!("{}/tenant/made", server.root), Some(String::from_utf8(admin_token.stdout).unwrap().trim().to_owned()));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while admin.get("metadata").await.status != 200 || admin.get(&format!("AuditEvent?{}", dates())).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the node does not see that the tenant was resumed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let events = found_in_time(&admin, "agent=urn:fhirpool:operator|operator", 4).await;
    let mut told_of: Vec<String> = events.iter().map(|event| told(event).trim_end().to_owned()).collect();
    told_of.sort();
    let expected = [
        "tenant-create C HTTP 201 operator",
        "tenant-create C HTTP 409 operator",
        "tenant-resume U HTTP 200 operator",
        "tenant-suspend U HTTP 200 operator",
    ];
    assert_eq!(told_of, expected);
    assert!(events.iter().all(|event| event["entity"][0]["what"]["identifier"]["value"].as_str().unwrap().starts_with("command-")));
    assert_eq!(lines_of(&path, "nobody"), ["tenant-suspend U HTTP 404 operator "], "a tenant that is not there has no log");
    server.terminate();
    assert!(server.wait());
}
