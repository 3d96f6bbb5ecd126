//! TLS: certificates from PEM files, the version of HTTP by ALPN, and what is no TLS.

use std::sync::Arc;

use fhirpool_server::config::Given;
use fhirpool_testkit::TestServer;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire;

struct TlsServer {
    server: TestServer,
    certificate: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

/// A server with a certificate of its own making.
async fn start() -> TlsServer {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let given = Given { tls_certificate: Some(certificate), tls_key: Some(key), client_idle_seconds_max: Some(1), ..Given::default() };
    let server = TestServer::start_with(&["edge"], given).await;
    TlsServer { server, certificate: made.cert.der().clone(), _folder: folder }
}

impl TlsServer {
    async fn connect(&self, protocols: &[&str], versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.server.address()).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    fn request(&self) -> hyper::Request<Empty<Bytes>> {
        let url = format!("https://localhost:{}/tenant/edge/Patient?_count=1", self.server.address().port());
        let token = self.server.token("edge");
        hyper::Request::get(url).header("host", "localhost").header("authorization", format!("Bearer {token}")).body(Empty::new()).unwrap()
    }
}

async fn self_link(response: hyper::Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let bundle: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    (status, bundle["link"][0]["url"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn alpn_chooses_the_version_of_http() {
    let tls = start().await;
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let stream = tls.connect(&["h2", "http/1.1"], versions).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (status, link) = self_link(sender.send_request(tls.request()).await.unwrap()).await;
        let base = format!("https://localhost:{}/tenant/edge", tls.server.address().port());
        assert_eq!((status, link), (200, format!("{base}/Patient?_count=1")));

        for (protocols, chosen) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let stream = tls.connect(protocols, versions).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut request = tls.request();
            *request.uri_mut() = "/tenant/edge/Patient?_count=1".parse().unwrap();
            let (status, link) = self_link(sender.send_request(request).await.unwrap()).await;
            assert_eq!((status, link.as_str()), (200, "https://localhost/tenant/edge/Patient?_count=1"));
        }
    }
    tls.server.stop().await;
}

#[tokio::test]
async fn what_is_no_tls_or_only_begins_it_is_shed() {
    let tls = start().await;
    let plain = wire::exchange(tls.server.address(), b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(wire::status(&plain), 0, "{plain}");
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(tls.server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        wire::until_closed(&mut stream).await;
    }
    // A handshake that is done and nothing behind it.
    let mut silent = tls.connect(&["http/1.1"], &[&rustls::version::TLS13]).await;
    wire::until_closed(&mut silent).await;
    tls.server.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = write("certificate.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let foreign_key = write("foreign.pem", &other.signing_key.serialize_pem());
    let nonsense = write("nonsense.pem", "nonsense");
    let empty = write("empty.pem", "");
    let data = folder.path().join("data");
    for (certificate, key, named) in [
        (&nonsense, &key, "tls_certificate"),
        (&empty, &key, "tls_certificate"),
        (&certificate, &nonsense, "tls_key"),
        (&certificate, &foreign_key, "tls_certificate"),
        (&key, &key, "tls_certificate"),
    ] {
        let given = Given {
            data: Some(data.clone()),
            listen: Some(([127, 0, 0, 1], 0).into()),
            tls_certificate: Some(certificate.clone()),
            tls_key: Some(key.clone()),
            ..Given::default()
        };
        let config = fhirpool_server::config::Config::resolve(given, None).unwrap();
        let Err(refusal) = fhirpool_server::Server::start(config).await else { panic!("{certificate:?} with {key:?} was taken") };
        let sentence = refusal.to_string();
        assert!(sentence.starts_with(named) && sentence.contains("allowed:"), "{sentence}");
    }
    assert!(!data.exists(), "nothing was made for a server that does not start");
}
