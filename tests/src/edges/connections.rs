//! Connections: how many, how slow, and how they end.

use std::time::Duration;

use fhirpool_server::config::Given;
use fhirpool_testkit::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENT;
use crate::wire;

/// A server that has little patience.
async fn impatient(given: Given) -> TestServer {
    TestServer::start_with(&["edge"], Given { client_idle_seconds_max: Some(1), ..given }).await
}

fn head(server: &TestServer, request: &str) -> String {
    format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\n",
        server.token("edge")
    )
}

/// The first half of a request to create a patient, and the other.
fn halves(server: &TestServer) -> (String, &'static str) {
    let (first, second) = PATIENT.split_at(PATIENT.len() / 2);
    (format!("{}Content-Length: {}\r\n\r\n{first}", head(server, "PUT /tenant/edge/Patient/p"), PATIENT.len()), second)
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_of_it_are_shed() {
    let server = impatient(Given { request_seconds_max: Some(1), ..Given::default() }).await;
    let (half, _) = halves(&server);
    let beginnings = [
        ("nothing", Vec::new()),
        ("half a request line", b"GET /tenant/ed".to_vec()),
        ("half of the headers", head(&server, "GET /tenant/edge/Patient").into_bytes()),
        ("half of the body", half.into_bytes()),
        ("half of HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM".to_vec()),
        ("HTTP/2's preface alone", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/2 that answers no ping", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec()),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ];
    let address = server.address();
    let shed = beginnings.map(|(name, bytes)| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let answer = wire::until_closed(&mut stream).await;
        assert!(matches!(wire::status(&answer), 0 | 400 | 408), "{name}: {answer}");
    });
    futures_util::future::join_all(shed).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_shed_too() {
    let server = impatient(Given::default()).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        // It stops when the server has closed the connection.
        for byte in b"GET /tenant/edge/Patient HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        answer = wire::until_closed(&mut reader) => assert!(matches!(wire::status(&answer), 0 | 408), "{answer}"),
        () = drip => {}
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_shed() {
    let server = impatient(Given { connections_max: Some(1), request_seconds_max: Some(1), ..Given::default() }).await;
    let text = format!(r#"{{"resourceType":"Patient","id":"p","name":[{{"text":"{}"}}]}}"#, "x".repeat(1 << 20));
    {
        let put =
            format!("{}Connection: close\r\nContent-Length: {}\r\n\r\n{text}", head(&server, "PUT /tenant/edge/Patient/p"), text.len());
        assert_eq!(wire::status(&wire::exchange(server.address(), put.as_bytes()).await), 201);
    }
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let reads = format!("{}\r\n", head(&server, "GET /tenant/edge/Patient/p")).repeat(64);
    stream.write_all(reads.as_bytes()).await.unwrap();
    // The only connection is taken until its client is shed: this one is served then, and not before.
    let next = format!("{}Connection: close\r\n\r\n", head(&server, "GET /tenant/edge/Patient?_summary=count"));
    assert_eq!(wire::status(&wire::exchange(server.address(), next.as_bytes()).await), 200);
    let mut unread = 0;
    let mut chunk = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        unread += count;
    }
    assert!(unread < 64 << 20, "the answers were not all sent");
    server.stop().await;
}

#[tokio::test]
async fn no_more_connections_are_served_than_the_settings_allow() {
    let server = TestServer::start_with(&["edge"], Given { connections_max: Some(2), ..Given::default() }).await;
    let read = format!("{}\r\n", head(&server, "GET /tenant/edge/Patient"));
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    for stream in [&mut first, &mut second] {
        stream.write_all(read.as_bytes()).await.unwrap();
        assert_eq!(wire::status(&wire::one_answer(stream).await), 200);
    }
    let mut third = TcpStream::connect(server.address()).await.unwrap();
    third.write_all(read.as_bytes()).await.unwrap();
    // Those that are served are served on, while the third has no answer yet.
    for stream in [&mut first, &mut second] {
        stream.write_all(read.as_bytes()).await.unwrap();
        assert_eq!(wire::status(&wire::one_answer(stream).await), 200);
    }
    let early = third.try_read(&mut [0; 16]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "the third waits");
    drop(first);
    assert_eq!(wire::status(&wire::one_answer(&mut third).await), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let server = TestServer::start(&["edge"]).await;
    let address = server.address();
    let (first, second) = halves(&server);
    let mut under_way = TcpStream::connect(address).await.unwrap();
    under_way.write_all(format!("{}\r\n", head(&server, "GET /tenant/edge/Patient")).as_bytes()).await.unwrap();
    assert_eq!(wire::status(&wire::one_answer(&mut under_way).await), 200);
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(format!("{}\r\n", head(&server, "GET /tenant/edge/Patient")).as_bytes()).await.unwrap();
    assert_eq!(wire::status(&wire::one_answer(&mut idle).await), 200);
    // `Expect` makes the server say when it has begun to read the body: then the request is under way.
    let (first_head, first_body) = first.split_once("\r\n\r\n").unwrap();
    under_way.write_all(format!("{first_head}\r\nExpect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    under_way.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"));
    under_way.write_all(first_body.as_bytes()).await.unwrap();
    let stopping = tokio::spawn(server.stop());
    // An idle connection is closed at once.
    assert_eq!(wire::until_closed(&mut idle).await, "");
    let refused = tokio::time::timeout(Duration::from_secs(30), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(refused.await.is_ok(), "a stopping server takes no connection");
    assert!(!stopping.is_finished(), "it waits for the request under way");
    under_way.write_all(second.as_bytes()).await.unwrap();
    let answer = wire::until_closed(&mut under_way).await;
    assert_eq!(wire::status(&answer), 201, "{answer}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let server = TestServer::start_with(&["edge"], Given { drain_seconds_max: Some(1), ..Given::default() }).await;
    let (first, _) = halves(&server);
    let mut stuck = TcpStream::connect(server.address()).await.unwrap();
    stuck.write_all(first.as_bytes()).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(30), server.stop());
    assert!(stopped.await.is_ok(), "the drain time is over and the server still runs");
}
