//! Records of accesses that are older than they are to be kept, on each profile.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fhirpool_audit::sink::Sink;
use fhirpool_audit::{Access, Activity, AuditTrail, Ports, Settings};
use fhirpool_authz::TenantId;
use fhirpool_fhir::Timestamp;
use fhirpool_server::config::{Given, Profile};
use fhirpool_testkit::{Client, Deployment, TestServer, program};

use crate::profiles::on_each_profile;

on_each_profile!(old_records_expire_by_themselves_and_what_is_left_is_checked);

const DAY_MS: i64 = 86_400_000;

/// Writes records of these ages, in days, into the log of a server that notes nothing itself; each has its age as its request.
async fn note_old(server: &TestServer, ages: &[i64]) {
    let (log, keys) = server.audit_ports();
    let trail = AuditTrail::start(Ports { log, keys, sink: Sink::None }, &Settings::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let tenant = TenantId::parse("home").unwrap();
    for age in ages {
        let id = format!("age-{age}");
        let access = Access::new(Activity::TenantSuspend, 200, Timestamp(now - age * DAY_MS), &id);
        let room = trail.room().await;
        trail.note_change(room, &tenant, &access).unwrap().await.unwrap();
    }
    assert!(trail.close(Duration::from_secs(30)).await);
}

/// The ages of the records that are found.
async fn ages(admin: &Client) -> Vec<i64> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 86_400;
    let day = |days: i64| {
        let (year, month, day) = fhirpool_fhir::temporal::civil_from_days(days);
        format!("{year:04}-{month:02}-{day:02}")
    };
    let query = format!("AuditEvent?action=U&date=ge{}&date=lt{}", day(days - 20), day(days + 2));
    let found = admin.get(&query).await;
    assert_eq!(found.status, 200, "{}", found.text());
    let entries = found.json()["entry"].as_array().cloned().unwrap_or_default();
    let ids = entries.iter().map(|entry| entry["resource"]["entity"][0]["what"]["identifier"]["value"].as_str().unwrap().to_owned());
    ids.filter_map(|id| id.strip_prefix("age-")?.parse().ok()).collect()
}

async fn old_records_expire_by_themselves_and_what_is_left_is_checked(profile: Profile) {
    let folder = tempfile::tempdir().unwrap();
    let deployment = if profile == Profile::Aws { Some(Arc::new(Deployment::create().await)) } else { None };
    let start = async |given: Given| match &deployment {
        Some(deployment) => TestServer::start_node(deployment, &["home"], given).await,
        None => TestServer::start_with(&["home"], Given { data: Some(folder.path().to_owned()), ..given }).await,
    };
    let server = start(Given { audit: Some(false), ..Given::default() }).await;
    note_old(&server, &[9, 8, 4, 2, 0]).await;
    server.stop().await;
    for (audit_days, left) in [(0, vec![0, 2, 4, 8, 9]), (5, vec![0, 2, 4]), (5, vec![0, 2, 4]), (3, vec![0, 2])] {
        let server = start(Given { audit_days: Some(audit_days), ..Given::default() }).await;
        let admin = Client::new(format!("{}/tenant/home", server.root()), Some(server.token_of("home", &["audit-admin"])));
        let began = Instant::now();
        while ages(&admin).await != left {
            // A server that was stopped in the midst of it is waited for.
            assert!(began.elapsed() < Duration::from_secs(90), "kept for {audit_days} days: {:?}", ages(&admin).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.stop().await;
        let mut verify = std::process::Command::new(program());
        match &deployment {
            Some(deployment) => verify.args(["verify-audit", "--tenant", "home", "--config"]).arg(deployment.file()),
            None => verify.args(["verify", "--data"]).arg(folder.path()),
        };
        let verified = verify.output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "kept for {audit_days} days: {said} {}", String::from_utf8_lossy(&verified.stderr));
    }
}
