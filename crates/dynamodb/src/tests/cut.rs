//! Answers that are cut off after the request was carried out.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use fhirpool_storage::conformance::{Random, history, key, put};
use fhirpool_storage::{CommitOutcome, HistoryScope, StorageError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{Tables, read_access, settings, tenant, write_access};
use crate::{ConnectionSettings, RetrySettings};

/// Passes requests on, and drops one connection of so many just when the answer comes.
async fn cutting_proxy(answers_a_cut: usize, cuts: Arc<AtomicUsize>) -> String {
    let upstream = settings("x").endpoint.unwrap().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let random = Random::seeded("cutting_proxy");
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((client, _)) = listener.accept().await else { return };
            let (random, cuts, upstream) = (random.fork(number), cuts.clone(), upstream.clone());
            tokio::spawn(async move { pass(client, &upstream, answers_a_cut, random, &cuts).await });
        }
    });
    format!("http://{address}")
}

async fn pass(client: TcpStream, upstream: &str, answers_a_cut: usize, mut random: Random, cuts: &AtomicUsize) -> Option<()> {
    let server = TcpStream::connect(upstream).await.ok()?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from_server.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
        if random.below(answers_a_cut) == 0 {
            cuts.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        to_client.write_all(&bytes[..length]).await.ok()?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_happens_once() {
    let tables = Tables::new().await;
    let folder = tempfile::tempdir().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let endpoint = cutting_proxy(6, cuts.clone()).await;
    let client = Client::connect(ConnectionSettings { endpoint: Some(endpoint), ..settings(tables.prefix()) }).await;
    let store = store(client, vec![tenant("a")], folder.path(), StoreSettings::default());
    let names = ["Observation/1", "Observation/2", "Observation/3"];
    let mut versions = [0; 3];
    for round in 0..60 {
        let chosen: Vec<usize> = (0..3).filter(|place| round % 3 == *place || round % 2 == 0).collect();
        let changes = chosen.iter().map(|place| put(names[*place], &format!("\"language\":\"r{round}\""))).collect();
        let outcome = store.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await.unwrap();
        let CommitOutcome::Committed { changes, .. } = outcome else { panic!("{outcome:?}") };
        for (place, change) in chosen.into_iter().zip(changes) {
            versions[place] += 1;
            assert_eq!(change.version.unwrap().0, versions[place], "round {round}: {} was written twice", names[place]);
        }
    }
    for (name, version) in names.iter().zip(versions) {
        let page = store.history(&read_access("a"), &history(HistoryScope::Instance(key(name)), 1_000)).await.unwrap();
        assert_eq!(page.entries.len() as u64, version, "{name}");
    }
    assert!(cuts.load(Ordering::Relaxed) > 10, "nothing was cut");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_so_within_the_budget() {
    let retry = RetrySettings { attempts_max: 3, pause_ms: 1, ..RetrySettings::default() };
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nowhere = ConnectionSettings { endpoint: Some(format!("http://127.0.0.1:{port}")), retry, ..settings("nowhere") };
    let folder = tempfile::tempdir().unwrap();
    let store = store(Client::connect(nowhere).await, vec![tenant("a")], folder.path(), StoreSettings::default());
    let read = tokio::time::timeout(Duration::from_secs(10), store.read(&read_access("a"), &key("Patient/1"))).await.unwrap();
    assert!(matches!(read, Err(StorageError::Unavailable(_))), "{read:?}");
    let commit = Commit { changes: vec![put("Patient/1", "")], assumptions: Vec::new() };
    assert!(matches!(store.commit(&write_access("a"), commit).await, Err(StorageError::Unavailable(_))));
}
