//! A server of this process, on a free port and a place of its own.

use std::sync::Arc;

use fhirpool_authz::{Launch, TenantId, TokenRequest};
use fhirpool_fhir::ResourceId;
use fhirpool_server::Server;
use fhirpool_server::config::{Config, Given, Profile};
use fhirpool_storage::{AuditLog, KeyEpoch, KeyRing, StorageError};

use crate::{Client, Deployment};

/// A running server; what it stores goes when it is dropped.
pub struct TestServer {
    server: Server,
    _place: Place,
}

/// Where a server keeps everything.
enum Place {
    Folder { _folder: tempfile::TempDir },
    Deployment { _deployment: Arc<Deployment> },
}

impl TestServer {
    /// Starts a server of the profile embedded for these tenants.
    pub async fn start(tenants: &[&str]) -> Self {
        Self::start_with(tenants, Given::default()).await
    }

    /// Starts a server of the profile embedded for these tenants with these settings besides.
    pub async fn start_with(tenants: &[&str], given: Given) -> Self {
        Self::start_on(Profile::Embedded, tenants, given).await
    }

    /// Starts a server of a profile for these tenants with these settings besides, on a place of its own.
    pub async fn start_on(profile: Profile, tenants: &[&str], given: Given) -> Self {
        match profile {
            Profile::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let place = Given { data: Some(folder.path().to_owned()), ..Given::default() };
                Self::start_at(place, tenants, given, Place::Folder { _folder: folder }).await
            }
            Profile::Aws => Self::start_node(&Arc::new(Deployment::create().await), tenants, given).await,
        }
    }

    /// Starts a node of the profile aws on a deployment that it may share with others.
    pub async fn start_node(deployment: &Arc<Deployment>, tenants: &[&str], given: Given) -> Self {
        let place = Place::Deployment { _deployment: Arc::clone(deployment) };
        Self::start_at(deployment.given(), tenants, given, place).await
    }

    async fn start_at(settings: Given, tenants: &[&str], given: Given, place: Place) -> Self {
        let own = Given {
            listen: Some(([127, 0, 0, 1], 0).into()),
            tenant: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
            ..Given::default()
        };
        let given = given.or(own).or(settings);
        let server = Server::start(Config::resolve(given, None).unwrap()).await.unwrap();
        Self { server, _place: place }
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// Where it serves metrics, if it does.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.server.metrics_address()
    }

    /// The server's root, without a tenant.
    pub fn root(&self) -> String {
        self.server.url()
    }

    /// A token of the group `practitioner`.
    pub fn token(&self, tenant: &str) -> String {
        self.token_of(tenant, &["practitioner"])
    }

    /// A token with these groups.
    pub fn token_of(&self, tenant: &str, groups: &[&str]) -> String {
        self.token_for(tenant, "tester", groups)
    }

    /// A token of someone with these groups.
    pub fn token_for(&self, tenant: &str, subject: &str, groups: &[&str]) -> String {
        self.launched(tenant, subject, groups, &[], &Launch::default())
    }

    /// A token of the same someone with scopes instead of groups, launched for a patient.
    pub fn token_with_scopes(&self, tenant: &str, scopes: &[&str], patient: &str) -> String {
        self.launched_token(tenant, &[], scopes, &Launch { patient: ResourceId::parse(patient), ..Launch::default() })
    }

    /// A token of the same someone with these groups and scopes, launched in this context.
    pub fn launched_token(&self, tenant: &str, groups: &[&str], scopes: &[&str], launch: &Launch) -> String {
        self.launched(tenant, "tester", groups, scopes, launch)
    }

    fn launched(&self, tenant: &str, subject: &str, groups: &[&str], scopes: &[&str], launch: &Launch) -> String {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let request = TokenRequest {
            tenant: TenantId::parse(tenant).unwrap(),
            subject: subject.to_owned(),
            groups: texts(groups),
            scopes: texts(scopes),
            ttl_s: 3_600,
        };
        self.server.launched_token(&request, launch).expect("servers of tests have an issuer of their own").unwrap()
    }

    /// A client for the administration of tenants.
    pub fn administrator(&self) -> Client {
        Client::new(self.root(), Some(self.administration_token()))
    }

    /// A token for the administration of tenants.
    pub fn administration_token(&self) -> String {
        self.server.admin_token("operator", 3_600).expect("servers of tests have an issuer of their own").unwrap()
    }

    /// The epoch of the key that this server would seal a tenant's next value with. Asked again, it is told from memory.
    pub async fn newest_key(&self, tenant: &str) -> Result<KeyEpoch, StorageError> {
        let key = self.server.key_ring().data_key(&TenantId::parse(tenant).unwrap()).await?;
        Ok(key.epoch())
    }

    /// Whether this server can open what a key of the tenant has sealed.
    pub async fn can_open(&self, tenant: &str, epoch: KeyEpoch) -> Result<(), StorageError> {
        self.server.key_ring().unwrap(&TenantId::parse(tenant).unwrap(), epoch).await.map(drop)
    }

    /// The logs of accesses, and the keys that they are sealed with.
    pub fn audit_ports(&self) -> (Arc<dyn AuditLog>, Arc<dyn KeyRing>) {
        (Arc::clone(self.server.audit_log()), Arc::clone(self.server.key_ring()))
    }

    /// A practitioner's client of a tenant.
    pub fn client(&self, tenant: &str) -> Client {
        Client::new(format!("{}/tenant/{tenant}", self.root()), Some(self.token(tenant)))
    }

    /// The same at a base URL of the tenant's own.
    pub fn client_at(&self, tenant: &str, base: &str) -> Client {
        Client::new(base, Some(self.token(tenant))).at(self.root())
    }

    /// Stops it and waits until it has.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
