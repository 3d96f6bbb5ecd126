//! The base address of a request, and what it leads to: from the settings, or from what the client or a trusted proxy says.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use fhirpool_authz::{Place, TenantId};
use http::header::HOST;
use http::request::Parts;

use crate::Settings;
use crate::error::{ApiError, Result};

/// What a request's host and path lead to, ahead of any route.
#[derive(Debug)]
pub(crate) enum Located {
    /// The server's root.
    Server,
    /// A base of a tenant's own.
    Tenant {
        /// Whose.
        tenant: TenantId,
        /// Its URL, without a slash at its end.
        base: String,
        /// Where what is behind it begins in the path.
        path_at: usize,
    },
    /// A host of tenants' own, and none of their bases.
    Nowhere,
    /// What the request names as its host is none.
    Malformed,
}

impl Located {
    /// Where tenants have no bases of their own, nothing is looked at.
    pub fn of(settings: &Settings, head: &Parts) -> Self {
        if settings.addresses.is_empty() {
            return Self::Server;
        }
        let Ok(asked) = Asked::of(settings, head) else { return Self::Malformed };
        let path = head.uri.path();
        match settings.addresses.find(&asked.authority(), asked.prefix, path) {
            Place::Server => Self::Server,
            Place::Tenant { tenant, base, path: behind } => Self::Tenant { tenant, base, path_at: path.len() - behind.len() },
            Place::Nowhere => Self::Nowhere,
        }
    }
}

/// `scheme://host[/tenant/<tenant>]`, without a slash at its end.
pub(crate) fn base_address(settings: &Settings, head: &Parts, tenant: Option<&TenantId>) -> Result<String> {
    let mut base = match &settings.base_url {
        Some(base) => base.clone(),
        None => Asked::of(settings, head)?.origin(),
    };
    if let Some(tenant) = tenant {
        base.push_str("/tenant/");
        base.push_str(tenant.as_str());
    }
    Ok(base)
}

/// Where a request says that it is sent to.
struct Asked<'a> {
    scheme: &'static str,
    host: &'a str,
    /// Behind the host, where that has none itself.
    port: Option<&'a str>,
    /// What a proxy has cut off the path.
    prefix: &'a str,
}

impl<'a> Asked<'a> {
    fn of(settings: &Settings, head: &'a Parts) -> Result<Self> {
        let malformed = || ApiError::bad_request("the host of the request is malformed");
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let mut scheme = if settings.https { "https" } else { "http" };
        let mut hosts = head.headers.get_all(HOST).iter();
        let mut host = match (head.uri.authority(), hosts.next()) {
            // HTTP/2 has it in the target. User information is no part of an address that is handed on.
            (Some(authority), _) => authority.as_str().rsplit('@').next().unwrap_or_default(),
            (None, Some(host)) => host.to_str().map_err(|_| malformed())?,
            (None, None) => "localhost",
        };
        // RFC 9112, section 3.2.
        if hosts.next().is_some() {
            return Err(malformed());
        }
        let (mut port, mut prefix) = (None, "");
        if !settings.trusted_proxies.is_empty() && peer(head).is_some_and(|peer| settings.trusted_proxies.contains(&peer)) {
            // Of several proxies' values the first is what the client asked for.
            let forwarded = |name| text(name).and_then(|value| value.split(',').next()).map(str::trim).filter(|value| !value.is_empty());
            match forwarded("x-forwarded-proto") {
                Some("https") => scheme = "https",
                Some("http") => scheme = "http",
                _ => {}
            }
            host = forwarded("x-forwarded-host").unwrap_or(host);
            port = forwarded("x-forwarded-port").filter(|port| port.parse::<u16>().is_ok());
            prefix = forwarded("x-forwarded-prefix").map_or("", |prefix| prefix.trim_end_matches('/'));
        }
        if !is_host(host) || !is_prefix(prefix) {
            return Err(malformed());
        }
        let is_default = matches!((scheme, port), ("https", Some("443")) | ("http", Some("80")));
        Ok(Self { scheme, host, port: port.filter(|_| !is_default && !has_port(host)), prefix })
    }

    /// Host and port.
    fn authority(&self) -> Cow<'a, str> {
        match self.port {
            None => self.host.into(),
            Some(port) => format!("{}:{port}", self.host).into(),
        }
    }

    fn origin(&self) -> String {
        let Self { scheme, host, port, prefix } = self;
        let mut origin = String::with_capacity(scheme.len() + host.len() + prefix.len() + 96);
        origin.push_str(scheme);
        origin.push_str("://");
        origin.push_str(host);
        if let Some(port) = port {
            origin.push(':');
            origin.push_str(port);
        }
        origin.push_str(prefix);
        origin
    }
}

/// Who sent the request.
fn peer(head: &Parts) -> Option<IpAddr> {
    let ConnectInfo(address) = head.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip().to_canonical())
}

/// Where a request comes from: who sent it or, where that is a trusted proxy, the last one that it and others of them name.
pub(crate) fn client_address(settings: &Settings, head: &Parts) -> Option<IpAddr> {
    let peer = peer(head)?;
    if !settings.trusted_proxies.contains(&peer) {
        return Some(peer);
    }
    let named = head.headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    let addresses = named.flat_map(|value| value.rsplit(',')).map_while(|address| address.trim().parse::<IpAddr>().ok());
    let mut addresses = addresses.map(|address| address.to_canonical());
    addresses.find(|address| !settings.trusted_proxies.contains(address)).or(Some(peer))
}

fn is_host(host: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (1..=260).contains(&host.len()) && host.bytes().all(is_good)
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_prefix(prefix: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~');
    prefix.is_empty() || (prefix.len() <= 1024 && prefix.starts_with('/') && !prefix.starts_with("//") && prefix.bytes().all(is_good))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::Request;

    use super::*;

    fn head(peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/metadata");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        head.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 40_000)));
        head
    }

    fn trusting() -> Settings {
        Settings { trusted_proxies: vec!["10.0.0.1".parse().unwrap()], ..Settings::default() }
    }

    const FORWARDED: [(&str, &str); 5] = [
        ("host", "inner:8080"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "fhir.example, inner"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/api/"),
    ];

    #[test]
    fn the_setting_wins() {
        let settings = Settings { base_url: Some("https://fhir.example/x".into()), ..trusting() };
        let tenant = TenantId::parse("acme");
        let base = base_address(&settings, &head("10.0.0.1", &FORWARDED), tenant.as_ref()).unwrap();
        assert_eq!(base, "https://fhir.example/x/tenant/acme");
    }

    #[test]
    fn forwarded_headers_count_from_trusted_proxies_alone() {
        let base = |peer| base_address(&trusting(), &head(peer, &FORWARDED), None).unwrap();
        assert_eq!(base("10.0.0.1"), "https://fhir.example/api");
        assert_eq!(base("::ffff:10.0.0.1"), "https://fhir.example/api");
        assert_eq!(base("10.0.0.2"), "http://inner:8080");
    }

    #[test]
    fn where_tenants_have_no_bases_of_their_own_no_host_is_looked_at() {
        let two = head("10.0.0.2", &[("host", "a.example"), ("host", "b.example")]);
        assert!(matches!(Located::of(&Settings::default(), &two), Located::Server));
        let addresses = fhirpool_authz::TenantAddresses::new(None, ["acme=https://a.example"]).unwrap();
        let settings = Settings { addresses: std::sync::Arc::new(addresses), ..trusting() };
        assert!(matches!(Located::of(&settings, &two), Located::Malformed));
        let of = |peer, headers: &[(&str, &str)]| Located::of(&settings, &head(peer, headers));
        assert!(matches!(of("10.0.0.2", &[("host", "A.example:443")]), Located::Tenant { base, .. } if base == "https://a.example"));
        assert!(matches!(of("10.0.0.2", &[("host", "inner"), ("x-forwarded-host", "a.example")]), Located::Server));
        let forwarded = [("host", "inner"), ("x-forwarded-host", "a.example"), ("x-forwarded-port", "443")];
        assert!(matches!(of("10.0.0.1", &forwarded), Located::Tenant { path_at: 0, .. }));
        let forwarded = [("host", "inner"), ("x-forwarded-host", "a.example"), ("x-forwarded-port", "8443")];
        assert!(matches!(of("10.0.0.1", &forwarded), Located::Server));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for host in ["a b", "evil.example/path", "a\"b", "user@host", ""] {
            let head = head("10.0.0.2", &[("host", host)]);
            assert!(base_address(&Settings::default(), &head, None).is_err(), "{host:?}");
        }
        let two = head("10.0.0.2", &[("host", "a.example"), ("host", "b.example")]);
        assert!(base_address(&Settings::default(), &two, None).is_err());
        assert_eq!(base_address(&Settings::default(), &head("10.0.0.2", &[("host", "[::1]:8080")]), None).unwrap(), "http://[::1]:8080");
    }
}
