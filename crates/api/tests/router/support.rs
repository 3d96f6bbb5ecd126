//! A router under test and what is sent to it.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use fhirpool_api::{ApiState, NodeQuotas, Settings, router};
use fhirpool_authz::{Launch, LocalIssuer, LocalKey, Policy, QuotaRules, TenantId, TokenRequest, TokenVerifier};
use fhirpool_binary::{LocalContent, LocalSettings};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports};
use fhirpool_fhir::Definitions;
use fhirpool_interactions::{CapabilityCache, Clock, Interactions, Limits, PageTokens, SystemClock, SystemRandomness, UuidV7Ids};
use fhirpool_search::Extractors;
use fhirpool_storage::StorageError;
use fhirpool_storage::tenants::{DirectorySettings, TenantDirectory, TenantRecord, TenantRegistry};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// A router with the tenants `acme` and `other`.
pub struct Api {
    pub tenants: Arc<TenantDirectory>,
    /// Tenants whose removal has begun.
    pub removing: Arc<Mutex<Vec<TenantId>>>,
    /// What becomes of looks at the registry, and what time it is for what is known of it.
    pub registry: Arc<Registry>,
    router: axum::Router,
    token: String,
    folder: tempfile::TempDir,
}

/// The registry of a store, which answers as a test wants it.
pub struct Registry {
    store: Arc<EmbeddedStore>,
    pub answers: Mutex<Answers>,
    began: Instant,
    /// How much later it is for the directory.
    pub later: Mutex<Duration>,
}

/// How a registry answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Truly,
    WithAnError,
    Never,
}

impl Registry {
    async fn answer(&self) -> Result<&EmbeddedStore, StorageError> {
        let answers = *self.answers.lock().unwrap();
        match answers {
            Answers::Truly => Ok(&self.store),
            Answers::WithAnError => Err(StorageError::Unavailable("as the test wants it".into())),
            Answers::Never => std::future::pending().await,
        }
    }

    fn now(&self) -> Instant {
        self.began + *self.later.lock().unwrap()
    }
}

#[async_trait]
impl TenantRegistry for Registry {
    async fn epoch(&self) -> Result<u64, StorageError> {
        self.answer().await?.epoch().await
    }

    async fn list(&self) -> Result<Vec<TenantRecord>, StorageError> {
        TenantRegistry::list(self.answer().await?).await
    }

    async fn read(&self, tenant: &TenantId) -> Result<Option<TenantRecord>, StorageError> {
        TenantRegistry::read(self.answer().await?, tenant).await
    }

    async fn create(&self, record: &TenantRecord) -> Result<bool, StorageError> {
        self.answer().await?.create(record).await
    }

    async fn replace(&self, record: &TenantRecord) -> Result<bool, StorageError> {
        self.answer().await?.replace(record).await
    }
}

/// An answer read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the first issue of an OperationOutcome.
    pub fn issue(&self) -> String {
        let json = self.json();
        assert_eq!(json["resourceType"], "OperationOutcome", "{json}");
        json["issue"][0]["code"].as_str().unwrap().to_owned()
    }
}

/// Issues the tokens of all tests.
fn issuer() -> &'static LocalIssuer {
    static ISSUER: OnceLock<LocalIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        LocalIssuer::new(LocalKey::load_or_create(&folder.path().join("issuer.pem")).unwrap(), "urn:example:issuer", "fhirpool")
    })
}

/// A token of a tenant and group, valid for an hour from an offset to now, in seconds.
pub fn token(tenant: &str, group: &str, offset: i64) -> String {
    token_of(tenant, &[group], &[], &Launch::default(), offset)
}

/// A token for the administration of tenants, likewise.
pub fn admin_token(offset: i64) -> String {
    issuer().issue_admin("admin", 3600, SystemClock.now().0 / 1000 + offset).unwrap()
}

/// A token with these groups and scopes, launched in this context.
pub fn token_of(tenant: &str, groups: &[&str], scopes: &[&str], launch: &Launch, offset: i64) -> String {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let request = TokenRequest {
        tenant: TenantId::parse(tenant).unwrap(),
        subject: "someone".into(),
        groups: texts(groups),
        scopes: texts(scopes),
        ttl_s: 3600,
    };
    issuer().issue_launched(&request, launch, SystemClock.now().0 / 1000 + offset).unwrap()
}

impl Api {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self::with_readiness(settings, || true).await
    }

    pub async fn with_quotas(quotas: QuotaRules) -> Self {
        Self::build(Settings::default(), quotas, || true).await
    }

    pub async fn with_readiness(settings: Settings, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self::build(settings, QuotaRules::default(), is_ready).await
    }

    async fn build(settings: Settings, quotas: QuotaRules, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let definitions = Definitions::r4();
        let extractors = Arc::new(Extractors::new(definitions.clone()));
        let clock = Arc::new(SystemClock);
        let keys = Arc::new(LocalKeyRing::open(folder.path()).unwrap());
        let content = LocalSettings { folder: folder.path().join("content"), length_max: 1 << 20 };
        let now = Arc::new(|| SystemClock.now().0 / 1000);
        let content = Arc::new(LocalContent::open(&content, keys.clone(), now).unwrap());
        let ports = Ports { keys, extractors: extractors.clone(), now: Arc::new(|| SystemClock.now()) };
        let store = Arc::new(EmbeddedStore::open(folder.path(), fhirpool_embedded::Settings::default(), ports).unwrap());
        for tenant in ["acme", "other"] {
            store.register_tenant(&TenantId::parse(tenant).unwrap()).await.unwrap();
        }
        // Nobody reads the registry again and again, and its time stands still.
        let registry = Arc::new(Registry {
            store: store.clone(),
            answers: Mutex::new(Answers::Truly),
            began: Instant::now(),
            later: Mutex::default(),
        });
        let stands_still = Arc::clone(&registry);
        let now = Box::new(move || stands_still.now());
        let directory = Arc::new(TenantDirectory::with_clock(registry.clone(), DirectorySettings::default(), now));
        directory.refresh().await.unwrap();
        let (tenants, removing) = (Arc::clone(&directory), Arc::new(Mutex::new(Vec::new())));
        let removed = Arc::clone(&removing);
        let interactions = Interactions {
            index: store.clone(),
            store,
            content: content.clone(),
            definitions,
            extractors,
            ids: Arc::new(UuidV7Ids::new(clock.clone())),
            clock,
            limits: Arc::new(Limits::default()),
            page_tokens: PageTokens::new(&[7; 32], Arc::new(SystemRandomness::default())),
            capability_cache: CapabilityCache::default(),
        };
        let policy = Policy::default().with_scopes_alone();
        let verifier = Arc::new(TokenVerifier::with_policy(vec![issuer().issuer()], policy));
        let state = ApiState {
            interactions,
            signed_content: Some(content),
            verifier,
            tenants: directory,
            remove_tenant: Box::new(move |tenant| removed.lock().unwrap().push(tenant.clone())),
            quotas: NodeQuotas::alone(Arc::new(quotas.into())),
            settings,
            audit: None,
            is_ready: Box::new(is_ready),
        };
        Self { tenants, removing, registry, router: router(Arc::new(state)), token: token("acme", "practitioner", 0), folder }
    }

    /// Objects in the content store, of all tenants.
    pub fn objects(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.folder.path().join("content/tenant"))
    }

    /// Sends a request as it is.
    pub async fn send_raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    /// Sends a request of a practitioner of `acme`; a path that does not begin with a slash is below that tenant's base. A
    /// header of an empty value is left out.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else if path.is_empty() || path.starts_with('?') {
            format!("/tenant/acme{path}")
        } else {
            format!("/tenant/acme/{path}")
        };
        let mut request = Request::builder().method(method).uri(path);
        let defaults = [("host", "fhir.example"), ("authorization", &format!("Bearer {}", self.token))];
        for (name, value) in defaults.iter().filter(|(name, _)| headers.iter().all(|(own, _)| own != name)).chain(headers) {
            if !value.is_empty() {
                request = request.header(*name, *value);
            }
        }
        self.send_raw(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    /// POST or PUT of a resource.
    pub async fn put_json(&self, method: &str, path: &str, headers: &[(&str, &str)], json: &str) -> Answer {
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([("content-type", "application/fhir+json")]).collect();
        self.send(method, path, &headers, json.to_owned()).await
    }
}

/// A small patient.
pub const PATIENT: &str = r#"{"resourceType":"Patient","name":[{"family":"Straße"}],"multipleBirthInteger":2}"#;
