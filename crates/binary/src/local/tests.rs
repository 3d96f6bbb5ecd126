#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use fhirpool_authz::{Principal, TenantId};
use fhirpool_fhir::{ResourceId, VersionId};
use fhirpool_storage::{KeyEpoch, TenantKey};
use futures_util::TryStreamExt;

use super::*;

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

/// A folder whose clock the test moves.
struct Place {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
    content: LocalContent,
}

const LENGTH_MAX: u64 = 1 << 20;

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_000));
        let content = Self::open(folder.path(), &now);
        Self { folder, now, content }
    }

    fn open(folder: &Path, now: &Arc<AtomicI64>) -> LocalContent {
        let now = Arc::clone(now);
        let settings = LocalSettings { folder: folder.join("content"), length_max: LENGTH_MAX };
        LocalContent::open(&settings, Arc::new(PlainKeys), Arc::new(move || now.load(Ordering::SeqCst))).unwrap()
    }

    async fn url(&self, length: Option<u64>) -> String {
        let terms = UploadTerms { content_type: "image/png".into(), length, ttl_s: 300 };
        // Below the tenant's base, which is its name here.
        format!("acme{}", self.content.sign_upload(&access("acme"), &name("b1", 1), &terms).await.unwrap())
    }

    async fn upload(&self, url: &str, content_type: &str, body: &[u8]) -> Result<UploadOutcome> {
        let (tenant, id, version, query) = parts(url);
        let bytes = stream::iter(body.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>());
        let upload = Upload { content_type: Some(content_type), length: Some(body.len() as u64), bytes: Box::pin(bytes) };
        self.content.upload(&SignedAddress { tenant: &tenant, id, version, query }, upload).await
    }

    async fn download(&self, url: &str) -> Result<Option<(ContentInfo, Vec<u8>)>> {
        let (tenant, id, version, query) = parts(url);
        let Some((info, stream)) = self.content.download(&SignedAddress { tenant: &tenant, id, version, query }).await? else {
            return Ok(None);
        };
        let pieces: Vec<Bytes> = stream.try_collect().await?;
        Ok(Some((info, pieces.concat())))
    }

    /// Files that are there, but for the key of URLs.
    fn files(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.folder.path().join("content")) - 1
    }
}

/// As the server takes a URL apart: `<tenant>/$content/Binary/<id>/<version>?<query>`.
fn parts(url: &str) -> (TenantId, ResourceId, VersionId, &str) {
    let (path, query) = url.split_once('?').unwrap();
    let segments: Vec<&str> = path.split('/').collect();
    assert_eq!((segments[1], segments[2]), ("$content", "Binary"), "{url}");
    (TenantId::parse(segments[0]).unwrap(), ResourceId::parse(segments[3]).unwrap(), VersionId::parse(segments[4]).unwrap(), query)
}

fn access(tenant: &str) -> WriteAccess {
    let tenant = TenantId::parse(tenant).unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn name(id: &str, version: u64) -> ContentName {
    ContentName::Binary { id: ResourceId::parse(id).unwrap(), version: VersionId(version) }
}

#[tokio::test]
async fn a_client_uploads_and_downloads_by_url() {
    let place = Place::new();
    let acme = access("acme");
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    let url = place.url(None).await;
    assert_eq!(place.upload(&url, "image/png", &body).await, Ok(UploadOutcome::Stored));
    let info = place.content.info(acme.as_read(), &name("b1", 1)).await.unwrap().unwrap();
    assert_eq!((info.length, info.content_type.as_str()), (300_000, "image/png"));
    let url = format!("acme{}", place.content.sign_download(acme.as_read(), &name("b1", 1), &info, 300).await.unwrap());
    assert_eq!(place.download(&url).await.unwrap().unwrap(), (info.clone(), body.clone()));
    assert_eq!(place.content.get(acme.as_read(), &name("b1", 1), &info, 300_000).await.unwrap().unwrap(), body);
    let refused = place.content.get(acme.as_read(), &name("b1", 1), &info, 299_999).await;
    assert!(matches!(refused, Err(StorageError::TooCostly(_))));
    place.content.delete(&acme, &name("b1", 1)).await.unwrap();
    place.content.delete(&acme, &name("b1", 1)).await.unwrap();
    assert_eq!(place.download(&url).await.unwrap(), None);
    assert_eq!(place.files(), 0);
}

#[tokio::test]
async fn a_second_upload_does_not_replace_the_first() {
    let place = Place::new();
    let url = place.url(None).await;
    assert_eq!(place.upload(&url, "image/png", b"first").await, Ok(UploadOutcome::Stored));
    assert_eq!(place.upload(&url, "image/png", b"second").await, Ok(UploadOutcome::AlreadyThere));
    let info = place.content.info(access("acme").as_read(), &name("b1", 1)).await.unwrap().unwrap();
    assert_eq!(place.content.get(access("acme").as_read(), &name("b1", 1), &info, 10).await.unwrap().unwrap(), "first");
    assert_eq!(place.files(), 1);
}

#[tokio::test]
async fn of_racing_uploads_one_is_stored_as_a_whole() {
    let place = Place::new();
    let url = place.url(None).await;
    let bodies: Vec<Vec<u8>> = (0..8).map(|number| vec![number; 100_000]).collect();
    let outcomes = futures_util::future::join_all(bodies.iter().map(|body| place.upload(&url, "image/png", body))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(UploadOutcome::Stored)).count(), 1);
    let winner = outcomes.iter().position(|outcome| *outcome == Ok(UploadOutcome::Stored)).unwrap();
    let info = place.content.info(access("acme").as_read(), &name("b1", 1)).await.unwrap().unwrap();
    assert_eq!(place.content.get(access("acme").as_read(), &name("b1", 1), &info, LENGTH_MAX).await.unwrap().unwrap(), bodies[winner]);
    assert_eq!(place.files(), 1);
}

#[tokio::test]
async fn a_url_opens_what_it_was_signed_for_and_nothing_else() {
    let place = Place::new();
    let url = place.url(Some(6)).await;
    let refused = Err(StorageError::Denied);
    assert_eq!(place.upload(&url, "text/html", b"pixels").await, refused, "another content type");
    assert_eq!(place.upload(&url, "image/png", b"pixels!").await, refused, "another length");
    for (from, to) in [
        ("/b1/1?", "/b1/2?"),
        ("/b1/1?", "/b2/1?"),
        ("acme/", "demo/"),
        ("length=6", "length=7"),
        ("length=6&", ""),
        ("image/png", "text/html"),
        ("expires=1", "expires=9"),
        ("signature=", "signature=A"),
        ("&signature=", "&x=1&signature="),
        ("&signature=", "&length=6&signature="),
    ] {
        let other = url.replace(from, to);
        assert_ne!(other, url);
        let content_type = if to == "text/html" { to } else { "image/png" };
        assert_eq!(place.upload(&other, content_type, b"pixels").await, refused, "{to:?} for {from:?}");
    }
    assert_eq!(place.download(&url).await.err(), Some(StorageError::Denied), "another method");
    assert_eq!(place.files(), 0);
    assert_eq!(place.upload(&url, "image/png", b"pixels").await, Ok(UploadOutcome::Stored));
    // A key of another folder signs for nothing here.
    let elsewhere = Place::new();
    assert_eq!(elsewhere.upload(&url, "image/png", b"pixels").await, refused);
}

#[tokio::test]
async fn a_url_ends_with_its_time_and_lives_through_a_restart() {
    let mut place = Place::new();
    let url = place.url(None).await;
    place.content = Place::open(place.folder.path(), &place.now);
    place.now.store(1_301, Ordering::SeqCst);
    assert_eq!(place.upload(&url, "image/png", b"pixels").await, Err(StorageError::Denied));
    place.now.store(1_300, Ordering::SeqCst);
    assert_eq!(place.upload(&url, "image/png", b"pixels").await, Ok(UploadOutcome::Stored));
}

#[tokio::test]
async fn an_upload_that_is_too_large_or_breaks_off_leaves_nothing() {
    let place = Place::new();
    let url = place.url(None).await;
    let (tenant, id, version, query) = parts(&url);
    let address = SignedAddress { tenant: &tenant, id, version, query };
    let large = stream::iter((0..=LENGTH_MAX / 1024).map(|_| Ok(Bytes::from(vec![0; 1024]))));
    let upload = Upload { content_type: Some("image/png"), length: None, bytes: Box::pin(large) };
    assert_eq!(place.content.upload(&address, upload).await, Ok(UploadOutcome::TooLarge(LENGTH_MAX)));
    let broken = stream::iter([Ok(Bytes::from_static(b"pix")), Err(StorageError::Unavailable("broken off".into()))]);
    let upload = Upload { content_type: Some("image/png"), length: None, bytes: Box::pin(broken) };
    assert!(place.content.upload(&address, upload).await.is_err());
    // As many as were announced, no fewer.
    let url = place.url(Some(6)).await;
    let (tenant, id, version, query) = parts(&url);
    let address = SignedAddress { tenant: &tenant, id, version, query };
    let short = stream::iter([Ok(Bytes::from_static(b"pix"))]);
    let upload = Upload { content_type: Some("image/png"), length: None, bytes: Box::pin(short) };
    assert_eq!(place.content.upload(&address, upload).await, Ok(UploadOutcome::OtherLength));
    assert_eq!(place.files(), 0);
}

#[tokio::test]
async fn files_are_sealed_and_their_owners_alone() {
    let place = Place::new();
    let url = place.url(None).await;
    place.upload(&url, "image/png", b"a very secret text").await.unwrap();
    let content = place.folder.path().join("content");
    for file in [content.join("url.key"), content.join("tenant/acme/Binary/b1/1")] {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let stored = std::fs::read(content.join("tenant/acme/Binary/b1/1")).unwrap();
    assert!(!stored.windows(6).any(|window| window == b"secret"));
    // Moved to another tenant's place it does not open.
    std::fs::create_dir_all(content.join("tenant/demo/Binary/b1")).unwrap();
    std::fs::copy(content.join("tenant/acme/Binary/b1/1"), content.join("tenant/demo/Binary/b1/1")).unwrap();
    let demo = access("demo");
    let info = place.content.info(demo.as_read(), &name("b1", 1)).await.unwrap().unwrap();
    assert!(matches!(place.content.get(demo.as_read(), &name("b1", 1), &info, 100).await, Err(StorageError::Damaged(_))));
}

#[tokio::test]
async fn what_the_server_puts_is_fenced_and_never_behind_a_url() {
    let place = Place::new();
    let (acme, object) = (access("acme"), ContentName::Body("binary/0001".into()));
    let info = place.content.put(&acme, &object, "text/plain", Bytes::from_static(b"text")).await.unwrap();
    assert_eq!(place.content.info(acme.as_read(), &object).await.unwrap().unwrap(), info);
    assert_eq!(place.content.get(acme.as_read(), &object, &info, 4).await.unwrap().unwrap(), "text");
    assert_eq!(place.content.get(access("demo").as_read(), &object, &info, 4).await.unwrap(), None);
    let terms = UploadTerms { content_type: "text/plain".into(), length: None, ttl_s: 300 };
    assert_eq!(place.content.sign_upload(&acme, &object, &terms).await, Err(StorageError::Denied));
    assert_eq!(place.content.sign_download(acme.as_read(), &object, &info, 300).await, Err(StorageError::Denied));
    let empty = place.content.put(&acme, &object, "text/plain", Bytes::new()).await.unwrap();
    assert_eq!(place.content.get(acme.as_read(), &object, &empty, 0).await.unwrap().unwrap(), "");
}
