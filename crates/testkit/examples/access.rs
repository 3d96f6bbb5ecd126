//! A server for measuring what access costs: token check, policy, quotas and the log of accesses.
//!
//! Arguments: `on` or `off`, and the folder to store in. With `on` it is a server as any other, with rules and quotas that refuse nothing;
//! with `off` whoever comes is the same operator, no quota is counted, and no access noted. Leaves a token of the tenant `demo` in the folder's file
//! `token`, and prints the address it listens on.
#![expect(clippy::unwrap_used, reason = "a measuring tool may stop at once")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fhirpool_api::{ApiState, NodeQuotas, Settings, router};
use fhirpool_audit::sink::Sink;
use fhirpool_audit::{AuditTrail, Ports as AuditPorts};
use fhirpool_authz::{AccessFile, LocalIssuer, LocalKey, Principal, QuotaRules, TenantId, TokenRequest, TokenVerifier};
use fhirpool_binary::{LocalContent, LocalSettings};
use fhirpool_embedded::{EmbeddedStore, LocalKeyRing, Ports};
use fhirpool_fhir::Definitions;
use fhirpool_interactions::{CapabilityCache, Clock, Interactions, Limits, PageTokens, SystemClock, SystemRandomness, UuidV7Ids};
use fhirpool_search::Extractors;
use fhirpool_storage::tenants::{DirectorySettings, TenantDirectory};

/// Rules and quotas of all kinds, wide enough for any machine.
const ACCESS: &str = "
    defaults = true
    [[rule]]
    effect = \"deny\"
    groups = [\"practitioner\"]
    types = [\"Account\"]
    interactions = [\"delete\"]
    [quota]
    points_per_second = 1000000000
    requests_at_once = 100000
    [application_quota]
    points_per_second = 1000000000
";

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(mode), Some(folder)) = (arguments.next(), arguments.next()) else { panic!("usage: access on|off FOLDER") };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    let tenant = TenantId::parse("demo").unwrap();
    let issuer = LocalIssuer::new(LocalKey::load_or_create(&folder.join("issuer.pem")).unwrap(), "urn:example:issuer", "fhirpool");
    let access = AccessFile::parse(ACCESS).unwrap();
    let (interactions, audit_ports, tenants) = interactions(folder, &tenant).await;
    let (verifier, quotas, audit) = match mode.as_str() {
        "on" => {
            let audit = AuditTrail::start(audit_ports, &fhirpool_audit::Settings::default());
            (TokenVerifier::with_policy(vec![issuer.issuer()], access.policy), access.quotas, Some(audit))
        }
        "off" => (TokenVerifier::trusting(Principal::operator(tenant.clone())), QuotaRules::default(), None),
        other => panic!("found {other}; allowed: on, off"),
    };
    let state = ApiState {
        interactions,
        tenants,
        remove_tenant: Box::new(|tenant| panic!("nobody administers the tenant {tenant} here")),
        signed_content: None,
        verifier: Arc::new(verifier),
        quotas: NodeQuotas::alone(Arc::new(quotas.into())),
        audit,
        settings: Settings::default(),
        is_ready: Box::new(|| true),
    };
    let request =
        TokenRequest { tenant, subject: "bench".into(), groups: vec!["practitioner".into()], scopes: Vec::new(), ttl_s: 12 * 3600 };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    std::fs::write(folder.join("token"), issuer.issue(&request, SystemClock.now().0 / 1000).unwrap()).unwrap();
    println!("listening on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router(Arc::new(state))).await.unwrap();
}

async fn interactions(folder: &Path, tenant: &TenantId) -> (Interactions, AuditPorts, Arc<TenantDirectory>) {
    let definitions = Definitions::r4();
    let extractors = Arc::new(Extractors::new(definitions.clone()));
    let clock = Arc::new(SystemClock);
    let keys = Arc::new(LocalKeyRing::open(folder).unwrap());
    let content = LocalSettings { folder: folder.join("content"), length_max: 1 << 20 };
    let content = LocalContent::open(&content, keys.clone(), Arc::new(|| SystemClock.now().0 / 1000)).unwrap();
    let ports = Ports { keys: keys.clone(), extractors: extractors.clone(), now: Arc::new(|| SystemClock.now()) };
    let store = Arc::new(EmbeddedStore::open(folder, fhirpool_embedded::Settings::default(), ports).unwrap());
    store.register_tenant(tenant).await.unwrap();
    let audit_ports = AuditPorts { log: store.clone(), keys, sink: Sink::None };
    // Nobody reads the registry again.
    let lasting = DirectorySettings { stale_after: Duration::from_secs(86_400), ..DirectorySettings::default() };
    let tenants = Arc::new(TenantDirectory::new(store.clone(), lasting));
    tenants.refresh().await.unwrap();
    let interactions = Interactions {
        index: store.clone(),
        store,
        content: Arc::new(content),
        definitions,
        extractors,
        ids: Arc::new(UuidV7Ids::new(clock.clone())),
        clock,
        limits: Arc::new(Limits::default()),
        page_tokens: PageTokens::new(&[7; 32], Arc::new(SystemRandomness::default())),
        capability_cache: CapabilityCache::default(),
    };
    (interactions, audit_ports, tenants)
}
