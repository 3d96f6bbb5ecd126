//! Content in S3: signatures on an endpoint that checks them, versions on one that has them.
#![cfg(feature = "s3")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_binary::{Delivery, S3Content, S3Settings, ServedS3Content};
use fhirpool_fhir::{ResourceId, VersionId};
use fhirpool_storage::{
    ContentInfo, ContentName, ContentStore, KeyEpoch, KeyRing, MIGRATIONS, Migrate, Migration, MigrationPart, Result, SignedAddress,
    SignedContent, StorageError, TenantKey, Upload, UploadOutcome, UploadTerms,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

struct PlainKeys;

#[async_trait]
impl KeyRing for PlainKeys {
    async fn data_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>> {
        self.unwrap(tenant, KeyEpoch(1)).await
    }

    async fn unwrap(&self, tenant: &TenantId, epoch: KeyEpoch) -> Result<Arc<TenantKey>> {
        let mut bytes = [epoch.0 as u8; TenantKey::LENGTH];
        bytes[..tenant.as_str().len()].copy_from_slice(tenant.as_str().as_bytes());
        Ok(Arc::new(TenantKey::new(epoch, &bytes)))
    }

    fn forget(&self, _tenant: &TenantId) {}

    async fn destroy(&self, _tenant: &TenantId) -> Result<()> {
        Err(StorageError::Denied)
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the local stack with `cargo xtask stack up`"))
}

fn migration() -> &'static Migration {
    MIGRATIONS.iter().find(|migration| migration.part == MigrationPart::S3).unwrap()
}

/// A bucket of its own at the endpoint that this variable names.
async fn bucket(endpoint: &str) -> S3Content {
    let settings = S3Settings {
        endpoint: Some(setting(endpoint)),
        region: Some("us-east-1".into()),
        bucket: format!("fhirpool-test-{:032x}", rand::random::<u128>()),
        path_style: true,
        ..S3Settings::default()
    };
    let content = S3Content::open(settings, Arc::new(PlainKeys)).await;
    content.apply(migration()).await.unwrap();
    content
}

const SIGNED: &str = "FHIRPOOL_S3_ENDPOINT";
const VERSIONED: &str = "FHIRPOOL_MINISTACK_S3_ENDPOINT";

fn access(tenant: &str) -> WriteAccess {
    let tenant = TenantId::parse(tenant).unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn reader(tenant: &str) -> ReadAccess {
    access(tenant).as_read().clone()
}

fn name(id: &str, version: u64) -> ContentName {
    ContentName::Binary { id: ResourceId::parse(id).unwrap(), version: VersionId(version) }
}

fn terms(length: Option<u64>, ttl_s: u32) -> UploadTerms {
    UploadTerms { content_type: "image/png".into(), length, ttl_s }
}

async fn send(method: &str, url: &str, content_type: &str, body: &[u8]) -> (u16, hyper::HeaderMap, Bytes) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = hyper::Request::builder().method(method).uri(url);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let response = client.request(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
}

async fn status(method: &str, url: &str, content_type: &str, body: &[u8]) -> u16 {
    send(method, url, content_type, body).await.0
}

#[tokio::test]
async fn a_client_uploads_and_downloads_by_url() {
    let content = bucket(SIGNED).await;
    let (access, object) = (access("acme"), name("b1", 1));
    assert_eq!(content.info(access.as_read(), &object).await.unwrap(), None);
    let url = content.sign_upload(&access, &object, &terms(None, 300)).await.unwrap();
    assert!(url.contains("/tenant/acme/Binary/b1/1?"), "{url}");
    assert_eq!(status("PUT", &url, "image/png", b"pixels").await, 200);
    let info = content.info(access.as_read(), &object).await.unwrap().unwrap();
    assert_eq!((info.length, info.content_type.as_str()), (6, "image/png"));
    assert_eq!(content.get(access.as_read(), &object, &info, 6).await.unwrap().unwrap(), "pixels");
    assert!(matches!(content.get(access.as_read(), &object, &info, 5).await, Err(StorageError::TooCostly(_))));
    let url = content.sign_download(access.as_read(), &object, &info, 300).await.unwrap();
    let (status, headers, body) = send("GET", &url, "", b"").await;
    assert_eq!((status, &headers["content-type"], &*body), (200, &"image/png".parse().unwrap(), &b"pixels"[..]));
    content.delete(&access, &object).await.unwrap();
    assert_eq!(content.info(access.as_read(), &object).await.unwrap(), None);
    content.delete(&access, &object).await.unwrap();
    content.destroy().await.unwrap();
}

#[tokio::test]
async fn a_url_opens_what_it_was_signed_for_and_nothing_else() {
    let content = bucket(SIGNED).await;
    let acme = access("acme");
    let url = content.sign_upload(&acme, &name("b1", 1), &terms(Some(6), 300)).await.unwrap();
    assert_eq!(status("PUT", &url, "image/png", b"pixels!").await, 403, "another length");
    assert_eq!(status("PUT", &url, "text/html", b"pixels").await, 403, "another content type");
    assert_eq!(status("PUT", &url, "", b"pixels").await, 403, "no content type");
    for (from, to) in [("/Binary/b1/1", "/Binary/b1/2"), ("/Binary/b1/", "/Binary/b2/"), ("tenant/acme", "tenant/demo")] {
        assert_eq!(status("PUT", &url.replace(from, to), "image/png", b"pixels").await, 403, "another object: {to}");
    }
    let (head, signature) = url.split_once("X-Amz-Signature=").unwrap();
    let flipped: String = signature.chars().rev().collect();
    assert_eq!(status("PUT", &format!("{head}X-Amz-Signature={flipped}"), "image/png", b"pixels").await, 403, "a wrong signature");
    assert_eq!(status("GET", &url, "image/png", b"").await, 403, "another method");
    assert_eq!(content.info(acme.as_read(), &name("b1", 1)).await.unwrap(), None);
    assert_eq!(status("PUT", &url, "image/png", b"pixels").await, 200);
    let info = content.info(acme.as_read(), &name("b1", 1)).await.unwrap().unwrap();
    let url = content.sign_download(acme.as_read(), &name("b1", 1), &info, 300).await.unwrap();
    assert_eq!(status("GET", &url.replace("image%2Fpng", "text%2Fhtml"), "", b"").await, 403, "another type of the answer");
    assert_eq!(status("PUT", &url, "", b"other").await, 403, "another method");
    content.delete(&acme, &name("b1", 1)).await.unwrap();
    content.destroy().await.unwrap();
}

#[tokio::test]
async fn a_url_ends_with_its_time() {
    let content = bucket(SIGNED).await;
    let acme = access("acme");
    let url = content.sign_upload(&acme, &name("b1", 1), &terms(None, 1)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Each upload that is still taken puts the same there.
    while status("PUT", &url, "image/png", b"pixels").await == 200 {
        assert!(Instant::now() < deadline, "the URL goes on");
    }
    assert_eq!(status("PUT", &url, "image/png", b"pixels").await, 403);
    content.delete(&acme, &name("b1", 1)).await.unwrap();
    content.destroy().await.unwrap();
}

#[tokio::test]
async fn the_first_upload_counts_whatever_is_put_over_it() {
    let content = bucket(VERSIONED).await;
    let acme = access("acme");
    let object = name("b1", 1);
    let url = content.sign_upload(&acme, &object, &terms(None, 300)).await.unwrap();
    for body in [b"first".as_slice(), b"second", b"third"] {
        assert_eq!(status("PUT", &url, "image/png", body).await, 200);
    }
    // An object whose name goes on is another one.
    content.put(&acme, &name("b1", 10), "text/plain", Bytes::from_static(b"ten")).await.unwrap();
    let info = content.info(acme.as_read(), &object).await.unwrap().unwrap();
    assert_eq!(info.length, 5);
    assert!(!info.object_version.is_empty());
    assert_eq!(content.get(acme.as_read(), &object, &info, 100).await.unwrap().unwrap(), "first");
    let download = content.sign_download(acme.as_read(), &object, &info, 300).await.unwrap();
    assert_eq!(send("GET", &download, "", b"").await.2, "first");
    content.delete(&acme, &object).await.unwrap();
    assert_eq!(content.info(acme.as_read(), &object).await.unwrap(), None);
    assert!(content.info(acme.as_read(), &name("b1", 10)).await.unwrap().is_some());
    content.delete(&acme, &name("b1", 10)).await.unwrap();
    content.destroy().await.unwrap();
}

#[tokio::test]
async fn what_the_server_puts_is_sealed_and_fenced() {
    for endpoint in [SIGNED, VERSIONED] {
        let content = bucket(endpoint).await;
        let acme = access("acme");
        let object = ContentName::Body("binary/0001".into());
        let bytes = Bytes::from(vec![b'x'; 200_000]);
        let info = content.put(&acme, &object, "text/plain", bytes.clone()).await.unwrap();
        assert_eq!(info.length, 200_000);
        let found = content.info(acme.as_read(), &object).await.unwrap().unwrap();
        assert_eq!((found.length, found.content_type.as_str()), (200_000, "text/plain"));
        assert_eq!(content.get(acme.as_read(), &object, &info, 200_000).await.unwrap().unwrap(), bytes);
        assert!(matches!(content.get(acme.as_read(), &object, &info, 199_999).await, Err(StorageError::TooCostly(_))));
        assert_eq!(content.get(&reader("demo"), &object, &found, 200_000).await.unwrap(), None, "another tenant's is not there");
        assert_eq!(content.sign_upload(&acme, &object, &terms(None, 300)).await, Err(StorageError::Denied));
        assert_eq!(content.sign_download(acme.as_read(), &object, &info, 300).await, Err(StorageError::Denied));
        content.delete(&acme, &object).await.unwrap();
        assert_eq!(content.info(acme.as_read(), &object).await.unwrap(), None);
        content.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn whoever_may_not_see_binaries_gets_no_url() {
    let content = bucket(SIGNED).await;
    let tenant = TenantId::parse("acme").unwrap();
    let auditor = ReadAccess::authorize(&Principal::in_groups(tenant.clone(), &["auditor"]), &tenant).unwrap();
    assert_eq!(content.info(&auditor, &name("b1", 1)).await, Err(StorageError::Denied));
    let info = ContentInfo { object_version: String::new(), length: 1, content_type: "text/plain".into() };
    assert_eq!(content.sign_download(&auditor, &name("b1", 1), &info, 300).await, Err(StorageError::Denied));
    content.destroy().await.unwrap();
}

#[tokio::test]
async fn the_bucket_is_made_as_described() {
    let content = bucket(VERSIONED).await;
    assert_eq!(content.check(migration()).await.unwrap(), Vec::<String>::new());
    content.apply(migration()).await.unwrap();
    content.destroy().await.unwrap();
    assert!(content.check(migration()).await.unwrap()[0].ends_with("does not exist"));
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_told_from_a_missing_object() {
    let settings = S3Settings {
        endpoint: Some("http://127.0.0.1:1".into()),
        region: Some("us-east-1".into()),
        bucket: "nowhere".into(),
        path_style: true,
        ..S3Settings::default()
    };
    let content = S3Content::open(settings, Arc::new(PlainKeys)).await;
    let acme = access("acme");
    assert!(matches!(content.info(acme.as_read(), &name("b1", 1)).await, Err(StorageError::Unavailable(_))));
    let put = content.put(&acme, &ContentName::Body("x".into()), "text/plain", Bytes::from_static(b"x")).await;
    assert!(matches!(put, Err(StorageError::Unavailable(_))));
}

const LENGTH_MAX: u64 = 4 << 20;

fn served(s3: &Arc<S3Content>, delivery: Delivery) -> ServedS3Content {
    ServedS3Content::new(Arc::clone(s3), &[7; 32], Arc::new(|| 1_000), LENGTH_MAX, delivery)
}

/// As the server takes a URL of its own apart: `/$content/Binary/<id>/<version>?<query>`.
fn address<'a>(tenant: &'a TenantId, url: &'a str) -> SignedAddress<'a> {
    let (path, query) = url.split_once('?').unwrap();
    let segments: Vec<&str> = path.split('/').collect();
    assert_eq!((segments[0], segments[1], segments[2]), ("", "$content", "Binary"), "{url}");
    SignedAddress { tenant, id: ResourceId::parse(segments[3]).unwrap(), version: VersionId::parse(segments[4]).unwrap(), query }
}

/// Bytes in pieces of a few thousand.
fn upload_of(bytes: &[u8], length: Option<u64>) -> Upload<'static> {
    let pieces: Vec<_> = bytes.chunks(5_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Upload { content_type: Some("image/png"), length, bytes: Box::pin(stream::iter(pieces)) }
}

#[tokio::test]
async fn the_server_takes_and_gives_content_and_seals_it() {
    for endpoint in [SIGNED, VERSIONED] {
        let s3 = Arc::new(bucket(endpoint).await);
        let content = served(&s3, Delivery::Server);
        let acme = access("acme");
        for (version, length) in [0, 1, 65_536, 65_537, 200_000, 3 << 20].into_iter().enumerate() {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let object = name("b1", version as u64 + 1);
            let up = content.sign_upload(&acme, &object, &terms(None, 300)).await.unwrap();
            let address = address(acme.tenant(), &up);
            for expected in [UploadOutcome::Stored, UploadOutcome::AlreadyThere] {
                assert_eq!(content.upload(&address, upload_of(&bytes, Some(length))).await, Ok(expected), "{length} bytes at {endpoint}");
            }
            let info = content.info(acme.as_read(), &object).await.unwrap().unwrap();
            assert_eq!((info.length, info.content_type.as_str()), (length, "image/png"));
            assert_eq!(content.get(acme.as_read(), &object, &info, length).await.unwrap().unwrap(), bytes);
            assert_eq!(s3.info(acme.as_read(), &object).await.unwrap(), None, "nothing lies where a URL of S3 could lead");
            let down = content.sign_download(acme.as_read(), &object, &info, 300).await.unwrap();
            let address = self::address(acme.tenant(), &down);
            let (told, stream) = content.download(&address).await.unwrap().unwrap();
            let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
            assert_eq!((told.length, pieces.concat()), (length, bytes));
            assert_eq!(content.upload(&address, upload_of(b"x", Some(1))).await, Err(StorageError::Denied), "another method");
            let demo = access("demo");
            let of_other = SignedAddress { tenant: demo.tenant(), ..address.clone() };
            assert_eq!(content.download(&of_other).await.err(), Some(StorageError::Denied), "another tenant");
            content.delete(&acme, &object).await.unwrap();
            assert!(content.download(&address).await.unwrap().is_none());
            assert_eq!(content.info(acme.as_read(), &object).await.unwrap(), None);
        }
        s3.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_through_the_server_that_is_not_whole_leaves_nothing() {
    let s3 = Arc::new(bucket(SIGNED).await);
    let content = served(&s3, Delivery::Server);
    let (acme, object) = (access("acme"), name("b1", 1));
    let bytes = vec![b'x'; 300_000];
    let up = content.sign_upload(&acme, &object, &terms(None, 300)).await.unwrap();
    let bound = content.sign_upload(&acme, &object, &terms(Some(300_000), 300)).await.unwrap();
    let (free, bound) = (address(acme.tenant(), &up), address(acme.tenant(), &bound));
    let broken = Upload {
        bytes: Box::pin(upload_of(&bytes, None).bytes.take(20).chain(stream::iter([Err(StorageError::Unavailable("broken off".into()))]))),
        ..upload_of(&[], Some(300_000))
    };
    assert_eq!(content.upload(&free, broken).await, Err(StorageError::Unavailable("broken off".into())));
    assert_eq!(content.upload(&free, upload_of(&bytes, None)).await, Ok(UploadOutcome::LengthUnknown));
    assert_eq!(content.upload(&free, upload_of(&bytes, Some(300_001))).await, Ok(UploadOutcome::OtherLength));
    assert_eq!(content.upload(&free, upload_of(&bytes, Some(299_999))).await, Ok(UploadOutcome::OtherLength));
    assert_eq!(content.upload(&free, upload_of(&bytes, Some(LENGTH_MAX + 1))).await, Ok(UploadOutcome::TooLarge(LENGTH_MAX)));
    assert_eq!(content.upload(&bound, upload_of(&bytes, Some(1))).await, Err(StorageError::Denied));
    assert_eq!(content.upload(&bound, upload_of(&bytes[1..], None)).await, Ok(UploadOutcome::OtherLength));
    assert_eq!(content.info(acme.as_read(), &object).await.unwrap(), None);
    assert_eq!(content.upload(&bound, upload_of(&bytes, None)).await, Ok(UploadOutcome::Stored));
    content.delete(&acme, &object).await.unwrap();
    s3.destroy().await.unwrap();
}

#[tokio::test]
async fn content_is_found_whichever_way_it_came() {
    let s3 = Arc::new(bucket(SIGNED).await);
    let (by_server, by_s3) = (served(&s3, Delivery::Server), served(&s3, Delivery::S3));
    let acme = access("acme");
    let (sealed, clear) = (name("b1", 1), name("b1", 2));
    let up = by_server.sign_upload(&acme, &sealed, &terms(None, 300)).await.unwrap();
    // The setting is changed between the signature and its use.
    assert_eq!(by_s3.upload(&address(acme.tenant(), &up), upload_of(b"sealed", Some(6))).await, Ok(UploadOutcome::Stored));
    let up = by_s3.sign_upload(&acme, &clear, &terms(None, 300)).await.unwrap();
    assert_eq!(status("PUT", &up, "image/png", b"clear!").await, 200);
    for content in [&by_server, &by_s3] {
        for (object, expected) in [(&sealed, "sealed"), (&clear, "clear!")] {
            let info = content.info(acme.as_read(), object).await.unwrap().unwrap();
            assert_eq!(content.get(acme.as_read(), object, &info, 6).await.unwrap().unwrap(), expected);
            let down = content.sign_download(acme.as_read(), object, &info, 300).await.unwrap();
            if down.starts_with('/') {
                let (_, stream) = content.download(&address(acme.tenant(), &down)).await.unwrap().unwrap();
                assert_eq!(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat(), expected.as_bytes());
            } else {
                assert_eq!(
                    (content.sign_upload(&acme, object, &terms(None, 1)).await.unwrap().starts_with("http"), expected),
                    (true, "clear!")
                );
                assert_eq!(send("GET", &down, "", b"").await.2, expected);
            }
        }
    }
    for object in [&sealed, &clear] {
        by_s3.delete(&acme, object).await.unwrap();
        assert_eq!(by_server.info(acme.as_read(), object).await.unwrap(), None);
    }
    s3.destroy().await.unwrap();
}
