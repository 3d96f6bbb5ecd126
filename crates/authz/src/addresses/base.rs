//! One base URL, taken apart.

use std::net::Ipv6Addr;

use super::AddressError;
use crate::TenantId;

/// What stands for the tenant in a pattern.
const TENANT: &str = "{tenant}";

/// What the server's own paths begin with.
pub(super) const RESERVED: [&str; 3] = ["tenant", "admin", "health"];

/// A DNS name has no longer one, nor a longer label (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A base URL, perhaps with `{tenant}` in it.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// As links carry it.
    pub url: String,
    /// In small letters, with a port that is no default one.
    pub host: String,
    pub segments: Vec<String>,
    /// Where the path begins in `url`.
    path_at: usize,
}

impl Base {
    /// `<id>=<URL>`, or a URL with `{tenant}`.
    pub fn parse_address(text: &str) -> Result<(Option<TenantId>, Self), AddressError> {
        let refuse = |allowed| AddressError::of(text, allowed);
        let (tenant, url) = match text.split_once('=') {
            Some((id, url)) => (Some(TenantId::parse(id).ok_or_else(|| refuse(FORMS))?), url),
            None => (None, text),
        };
        let base = Self::parse(url).map_err(refuse)?;
        let labels = base.labels().filter(|label| *label == TENANT).count();
        let places = labels + base.segments.iter().filter(|segment| *segment == TENANT).count();
        if places != usize::from(tenant.is_none()) {
            return Err(refuse(FORMS));
        }
        // A pattern over numbers would take addresses of the Internet Protocol, one over nothing else every name.
        let has_name = base.labels().any(|label| label != TENANT && !label.bytes().all(|byte| byte.is_ascii_digit()));
        if labels == 1 && (!has_name || base.host.starts_with('[')) {
            return Err(refuse("a name beside {tenant} in the host"));
        }
        if base.segments.first().is_some_and(|first| RESERVED.contains(&first.as_str())) {
            return Err(refuse("a path that begins with something else than /tenant, /admin and /health"));
        }
        Ok((tenant, base))
    }

    /// Reads a URL; else what may be.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme)).ok_or(FORMS)?;
        let rest = &url[scheme.len()..];
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // Stands for a label as good as any while the host is looked at.
        let stand_in = "tenant-of-the-pattern";
        if host.contains(stand_in) || host.ends_with(['.', ':']) {
            return Err(FORMS);
        }
        let host = normalised(&host.replace(TENANT, stand_in)).ok_or(FORMS)?.replace(stand_in, TENANT);
        if host.split('.').any(|label| label.contains(TENANT) && label.split(':').next() != Some(TENANT)) {
            return Err(FORMS);
        }
        let segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        if !segments.iter().all(|segment| segment == TENANT || is_plain(segment)) {
            return Err("a path of letters, digits, `-`, `.`, `_` and `~`, without a slash at its end");
        }
        Ok(Self { path_at: scheme.len() + host.len(), url: format!("{scheme}{host}{path}"), host, segments })
    }

    /// The path: nothing, or what begins with a slash.
    pub fn path(&self) -> &str {
        &self.url[self.path_at..]
    }

    /// Whether it has the tenant's name written out.
    pub fn is_named(&self) -> bool {
        self.label_place().is_none() && self.segment_place().is_none()
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.host.split('.').map(|label| if label.starts_with(TENANT) { TENANT } else { label })
    }

    /// Which label of the host is the tenant.
    pub fn label_place(&self) -> Option<usize> {
        self.labels().position(|label| label == TENANT)
    }

    /// Which segment of the path is the tenant.
    pub fn segment_place(&self) -> Option<usize> {
        self.segments.iter().position(|segment| segment == TENANT)
    }

    /// Whether a tenant has this base, by a pattern.
    pub fn fits(&self, tenant: &TenantId) -> bool {
        let id = tenant.as_str();
        match self.label_place() {
            Some(_) => id.len() <= LABEL_BYTES_MAX && !id.bytes().any(|byte| byte.is_ascii_uppercase()),
            None => !RESERVED.contains(&id),
        }
    }

    /// The base of a tenant.
    pub fn url_of(&self, tenant: &TenantId) -> String {
        if self.is_named() { self.url.clone() } else { self.url.replace(TENANT, tenant.as_str()) }
    }

    /// Whether some tenant has its base at this host.
    pub fn takes_host(&self, host: &str) -> bool {
        let fits = |(own, other): (&str, &str)| own == other || own == TENANT || other == TENANT;
        self.label_place().is_some()
            && self.port() == port_of(host)
            && self.host.split('.').count() == host.split('.').count()
            && self.host.split('.').map(without_port).zip(host.split('.').map(without_port)).all(fits)
    }

    fn port(&self) -> Option<&str> {
        port_of(&self.host)
    }

    /// Whether an address may be below both, at the same host.
    pub fn may_overlap(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(own, other)| own == other || own == TENANT || other == TENANT)
    }
}

const FORMS: &str = "<id>=<URL>, or a URL with one {tenant} as a label of its host or a segment of its path; the URL is \
                     http:// or https://, host, and a path without a slash at its end";

/// The host in small letters, without the dot at its end and without a default port; `None`: it is none.
pub(super) fn normalised(host: &str) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port).filter(|port| !port.is_empty())),
        _ => (host, None),
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if !port.is_none_or(is_number) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut host = match name.strip_prefix('[') {
        // An address of version 6 can be written in many ways.
        Some(address) => format!("[{}]", address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?),
        None if is_name(name) => name.to_ascii_lowercase(),
        None => return None,
    };
    let port = port.map(|port| port.trim_start_matches('0')).filter(|port| !matches!(*port, "80" | "443"));
    if let Some(port) = port {
        host.push(':');
        host.push_str(port);
    }
    Some(host)
}

fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= HOST_BYTES_MAX
        && name.split('.').all(|label| !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.bytes().all(is_good))
}

/// A segment that is written as it is: of unreserved characters (RFC 3986, section 2.3), and not a way up.
pub(super) fn is_plain(segment: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_good)
}

/// The parts joined, with `{tenant}` in one place.
pub(super) fn with_tenant_at<'a>(parts: impl Iterator<Item = &'a str>, place: usize, separator: &str) -> String {
    let mut out = String::new();
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        if at == place {
            // The port stands behind the last label.
            out.push_str(TENANT);
            out.push_str(&part[without_port(part).len()..]);
        } else {
            out.push_str(part);
        }
    }
    out
}

/// As bases are kept by: with the slash ahead.
pub(super) fn path_of(joined: String, length: usize) -> String {
    if length == 0 { joined } else { format!("/{joined}") }
}

pub(super) fn without_port(label: &str) -> &str {
    label.split_once(':').map_or(label, |(name, _)| name)
}

fn port_of(host: &str) -> Option<&str> {
    host.rsplit_once(':').map(|(_, port)| port)
}
