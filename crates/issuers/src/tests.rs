//! Issuers on this machine, behaving and misbehaving; and a real one: Cognito's user pools on the local stack.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cognito;

use std::sync::atomic::{AtomicUsize, Ordering};

use fhirpool_authz::{Algorithm, LocalIssuer, LocalKey, TenantId, TokenError, TokenRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What an issuer answers, by path.
type Answers = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// An issuer on a port of this machine, and how often it was asked.
async fn serve(answers: impl FnOnce(String) -> Answers) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (answers, asked) = (answers(url.clone()), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (answers, count) = (answers.clone(), count.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                count.fetch_add(1, Ordering::SeqCst);
                let path = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
                let _ = socket.write_all(answers(&path).as_bytes()).await;
            });
        }
    });
    (url, asked)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn key() -> LocalKey {
    LocalKey::load_or_create(&tempfile::tempdir().unwrap().path().join("key.pem")).unwrap()
}

fn remote(url: &str) -> RemoteIssuer {
    RemoteIssuer {
        admin_audiences: Vec::new(),
        url: url.to_owned(),
        jwks_uri: None,
        algorithm: Algorithm::Rs256,
        audiences: vec!["app".into()],
        tenant_audience_bases: Vec::new(),
        token_uses: Vec::new(),
        tenants: Vec::new(),
    }
}

fn settings(floor_ms: u64) -> Settings {
    Settings { floor_ms, answer_ms_max: 500, answer_bytes_max: 64 << 10, ..Settings::default() }
}

fn token(key: LocalKey, url: &str) -> String {
    let tenant = TenantId::parse("acme").unwrap();
    let request = TokenRequest { tenant, subject: "ann".into(), groups: vec!["practitioner".into()], scopes: Vec::new(), ttl_s: 60 };
    LocalIssuer::new(key, url, "app").issue(&request, NOW).unwrap()
}

const NOW: i64 = 1_800_000_000;

/// An issuer whose keys may be changed, with its discovery document.
async fn issuer(jwks: &str) -> (String, Arc<AtomicUsize>, Arc<std::sync::Mutex<String>>) {
    let jwks = Arc::new(std::sync::Mutex::new(jwks.to_owned()));
    let served = jwks.clone();
    let (url, asked) = serve(|url| {
        Arc::new(move |path: &str| match path {
            "/.well-known/openid-configuration" => ok(&format!("{{\"issuer\":\"{url}\",\"jwks_uri\":\"{url}/keys\"}}")),
            "/keys" => ok(&served.lock().unwrap()),
            _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        })
    })
    .await;
    (url, asked, jwks)
}

#[tokio::test]
async fn a_token_of_a_key_that_came_later_is_accepted() {
    let (old, new) = (key(), key());
    let (url, asked, jwks) = issuer(&old.jwks()).await;
    let verifier = Arc::new(TokenVerifier::new(vec![remote(&url).issuer()]));
    verifier.set_source(Arc::new(Issuers::new(vec![remote(&url)], settings(0)).unwrap()));
    let (of_old, new_jwks) = (token(old, &url), new.jwks());
    let of_new = token(new, &url);
    assert!(verifier.verify_or_fetch(&of_old, NOW).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(verifier.verify_or_fetch(&of_new, NOW).await.err(), Some(TokenError::UnknownKey));
    *jwks.lock().unwrap() = new_jwks;
    assert!(verifier.verify_or_fetch(&of_new, NOW).await.is_ok());
    // The old key is gone, and the verdict on its token with it.
    assert_eq!(verifier.verify_or_fetch(&of_old, NOW).await.err(), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn an_issuer_is_not_asked_more_often_than_the_floor() {
    let (known, forged) = (key(), key());
    let (url, asked, _) = issuer(&known.jwks()).await;
    let verifier = Arc::new(TokenVerifier::new(vec![remote(&url).issuer()]));
    verifier.set_source(Arc::new(Issuers::new(vec![remote(&url)], settings(600_000)).unwrap()));
    let (good, forged) = (token(known, &url), token(forged, &url));
    // Many at once: one question serves them all.
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (verifier, good) = (verifier.clone(), good.clone());
        running.spawn(async move { verifier.verify_or_fetch(&good, NOW).await.is_ok() });
    }
    while let Some(is_good) = running.join_next().await {
        assert!(is_good.unwrap());
    }
    for _ in 0..20 {
        assert_eq!(verifier.verify_or_fetch(&forged, NOW).await.err(), Some(TokenError::UnknownKey));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// A caller who goes away has the issuer asked once, and the next one gets the answer.
#[tokio::test]
async fn a_question_outlives_who_has_asked_it() {
    let known = key();
    let (url, asked, _) = issuer(&known.jwks()).await;
    let verifier = Arc::new(TokenVerifier::new(vec![remote(&url).issuer()]));
    verifier.set_source(Arc::new(Issuers::new(vec![remote(&url)], settings(600_000)).unwrap()));
    let good = token(known, &url);
    let mut first = Box::pin(verifier.verify_or_fetch(&good, NOW));
    assert!(futures_util::poll!(&mut first).is_pending());
    drop(first);
    assert!(verifier.verify_or_fetch(&good, NOW).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn known_keys_stay_while_an_issuer_is_down_or_talks_nonsense() {
    let known = key();
    let (url, asked, jwks) = issuer(&known.jwks()).await;
    let verifier = Arc::new(TokenVerifier::new(vec![remote(&url).issuer()]));
    let issuers = Issuers::new(vec![remote(&url)], settings(0)).unwrap();
    let name = IssuerName::from(&*url);
    verifier.set_keys(&name, issuers.keys(&name).await.unwrap());
    let good = token(known, &url);
    for nonsense in [
        "",
        "[]",
        "{",
        "{}",
        "{\"message\":\"maintenance\"}",
        "{\"keys\":null}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAA\"}]}",
        &format!("\"{}\"", "x".repeat(100_000)),
    ] {
        *jwks.lock().unwrap() = nonsense.to_owned();
        assert!(issuers.keys(&name).await.is_some(), "{nonsense:.20}");
        assert!(verifier.verify(&good, NOW).is_ok());
    }
    assert!(asked.load(Ordering::SeqCst) >= 18);
    assert!(issuers.keys(&"https://other.example".into()).await.is_none());
}

#[tokio::test]
async fn answers_that_are_odd_slow_or_from_elsewhere_are_refused() {
    let fetch = Fetch::new(Duration::from_millis(300), 1000);
    let (url, _) = serve(|url| {
        Arc::new(move |path: &str| match path {
            "/redirect" => format!("HTTP/1.1 302 Found\r\nlocation: {url}/good\r\ncontent-length: 0\r\n\r\n"),
            "/good" => ok("{}"),
            "/large" => ok(&"x".repeat(1001)),
            "/endless" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_owned(),
            "/other/.well-known/openid-configuration" => ok("{\"issuer\":\"https://other.example\",\"jwks_uri\":\"https://x\"}"),
            "/none/.well-known/openid-configuration" => ok("[]"),
            _ => String::new(),
        })
    })
    .await;
    assert_eq!(fetch.get(&format!("{url}/good")).await.unwrap(), b"{}");
    let refused = async |path: &str| fetch.get(&format!("{url}{path}")).await.unwrap_err().to_string();
    assert!(refused("/redirect").await.contains("302"));
    assert!(refused("/large").await.contains("too large"));
    assert!(refused("/endless").await.contains("too"));
    assert!(refused("/silent").await.contains("no answer"));
    for path in ["other", "none"] {
        assert!(matches!(fetch.discover(&format!("{url}/{path}")).await, Err(FetchError::Discovery)), "{path}");
    }
    for address in ["http://issuer.example/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1@evil.example/", ""] {
        assert!(matches!(fetch.get(address).await, Err(FetchError::Address)), "{address}");
    }
}
