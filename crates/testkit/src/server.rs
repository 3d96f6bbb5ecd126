//! A server of this process, on a free port and a folder of its own.

use fhirpool_authz::{TenantId, TokenRequest};
use fhirpool_server::Server;
use fhirpool_server::config::{Config, Given};

use crate::Client;

/// A running server; its folder goes when it is dropped.
pub struct TestServer {
    server: Server,
    _folder: tempfile::TempDir,
}

impl TestServer {
    /// Starts a server for these tenants.
    pub async fn start(tenants: &[&str]) -> Self {
        Self::start_with(tenants, Given::default()).await
    }

    /// Starts a server for these tenants with these settings besides.
    pub async fn start_with(tenants: &[&str], given: Given) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given = Given {
            data: Some(folder.path().to_owned()),
            listen: Some(([127, 0, 0, 1], 0).into()),
            tenant: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
            ..given
        };
        let server = Server::start(Config::resolve(given, None).unwrap()).await.unwrap();
        Self { server, _folder: folder }
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
        let request = TokenRequest {
            tenant: TenantId::parse(tenant).unwrap(),
            subject: subject.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            scopes: Vec::new(),
            ttl_s: 3_600,
        };
        self.server.token(&request).unwrap().unwrap()
    }

    /// A practitioner's client of a tenant.
    pub fn client(&self, tenant: &str) -> Client {
        Client::new(format!("{}/tenant/{tenant}", self.root()), Some(self.token(tenant)))
    }

    /// Stops it and waits until it has.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
