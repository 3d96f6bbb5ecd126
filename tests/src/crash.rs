//! SIGKILL at random moments of a load: what was acknowledged is there, the rest wholly or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fhirpool_testkit::{Client, ServerProcess};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::settings::setting;

const TENANT: &str = "crash";
/// Resources of one transaction.
const SIZE: usize = 12;
const CLIENTS: u64 = 4;

/// A transaction of patients and observations that all carry its number.
fn transaction(number: u64) -> String {
    let entries: Vec<String> = (0..SIZE)
        .map(|position| {
            let patient = position % 2 == 0;
            let (name, rest) = if patient {
                ("Patient", format!("\"identifier\":[{{\"system\":\"t\",\"value\":\"{number}\"}}]"))
            } else {
                let subject = position - 1;
                (
                    "Observation",
                    format!(
                        "\"status\":\"final\",\"code\":{{\"text\":\"x\"}},\"identifier\":[{{\"system\":\"t\",\"value\":\"{number}\"}}],\"subject\":{{\"reference\":\"Patient/t{number}-{subject}\"}}"
                    ),
                )
            };
            let id = format!("t{number}-{position}");
            format!("{{\"resource\":{{\"resourceType\":\"{name}\",\"id\":\"{id}\",{rest}}},\"request\":{{\"method\":\"PUT\",\"url\":\"{name}/{id}\"}}}}")
        })
        .collect();
    format!("{{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{}]}}", entries.join(","))
}

/// How many of a transaction's resources can be seen: by search, by read, by history.
async fn seen(client: &Client, number: u64) -> (u64, usize, usize) {
    let mut found = 0;
    for name in ["Patient", "Observation"] {
        let total = client.get(&format!("{name}?identifier=t|{number}&_summary=count")).await.json();
        found += total["total"].as_u64().unwrap();
    }
    let (mut read, mut remembered) = (0, 0);
    for position in 0..SIZE {
        let name = if position % 2 == 0 { "Patient" } else { "Observation" };
        let path = format!("{name}/t{number}-{position}");
        read += usize::from(client.get(&path).await.status == 200);
        remembered += usize::from(client.get(&format!("{path}/_history")).await.status == 200);
    }
    (found, read, remembered)
}

/// Sends transactions from several clients until the process is killed. Gives the numbers acknowledged.
async fn load_until_killed(server: &mut ServerProcess, client: &Client, next: &Arc<AtomicU64>, alive: Duration) -> Vec<u64> {
    let stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, next, stopped) = (client.clone(), Arc::clone(next), Arc::clone(&stopped));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    match client.try_send("POST", "", &[], transaction(number)).await {
                        Ok(response) if response.status == 200 => acknowledged.push(number),
                        Ok(response) => panic!("transaction {number}: {} {}", response.status, response.text()),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(alive).await;
    server.kill();
    stopped.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    acknowledged
}

fn verify(data: &std::path::Path) {
    let output = std::process::Command::new(fhirpool_testkit::program()).arg("verify").arg("--data").arg(data).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "verify: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_keep_what_they_acknowledged() {
    let rounds: u32 = setting("FHIRPOOL_CRASH_ROUNDS").unwrap_or(4);
    let seed: u64 = setting("FHIRPOOL_SEED").unwrap_or_else(rand::random);
    println!("crash: {rounds} rounds, FHIRPOOL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let (mut acknowledged_all, mut undecided_all) = (0, 0);
    for round in 0..rounds {
        let first = next.load(Ordering::Relaxed);
        let mut server = ServerProcess::start(folder.path(), &[TENANT]);
        let client = server.client(folder.path(), TENANT);
        let alive = Duration::from_millis(random.random_range(5..600));
        let acknowledged = load_until_killed(&mut server, &client, &next, alive).await;
        verify(folder.path());
        let server = ServerProcess::start(folder.path(), &[TENANT]);
        let client = server.client(folder.path(), TENANT);
        for number in first..next.load(Ordering::Relaxed) {
            let whole = (SIZE as u64, SIZE, SIZE);
            let seen = seen(&client, number).await;
            let right = seen == whole || (seen == (0, 0, 0) && !acknowledged.contains(&number));
            assert!(
                right,
                "round {round}, transaction {number}: {seen:?} of {SIZE} found, read and remembered; acknowledged: {}",
                acknowledged.contains(&number)
            );
        }
        acknowledged_all += acknowledged.len() as u64;
        undecided_all += next.load(Ordering::Relaxed) - first - acknowledged.len() as u64;
    }
    println!("crash: {acknowledged_all} acknowledged and {undecided_all} undecided transactions of {SIZE} resources, none lost, none torn");
    assert!(acknowledged_all > 0, "no transaction was acknowledged: nothing was shown");
}
