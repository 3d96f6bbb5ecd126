//! Which tenant an address names: `/tenant/<id>` below the server's own base, or a base of the tenant's own.
//!
//! A base of a tenant's own is an absolute URL: one tenant's (`acme=https://fhir.acme.example/r4`), or a pattern for all of them,
//! with `{tenant}` for one label of the host (`https://{tenant}.fhir.example/r4`) or one segment of the path
//! (`https://fhir.example/{tenant}/r4`). No two may name the same address, so that the order they are given in says nothing.
//! At a host that stands in one of them nothing else is served, unless it is also the server's own.
//!
//! Hosts compare without case, without the default ports and without the dot at their end; paths byte for byte on whole
//! segments, without percent-decoding. `{tenant}` stands for a small-letter id in a host, and never for `tenant`, `admin` or
//! `health` in a path. What fits an address is found by hashing, however many tenants have one.
//!
//! Deliberately absent: where host and path come from (HTTP), and whether there is such a tenant.

mod base;

use std::collections::{HashMap, HashSet};

use crate::TenantId;
use base::{Base, RESERVED, is_plain, normalised, path_of};

/// Why addresses cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}; allowed: {allowed}")]
pub struct AddressError {
    /// Whether it is the server's own, else a tenant's.
    pub is_servers: bool,
    /// What was found.
    pub found: String,
    /// What may be.
    pub allowed: &'static str,
}

/// What an address leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<'p> {
    /// The server's own root, with `/tenant/<id>` below it.
    Server,
    /// A tenant's base.
    Tenant {
        /// Whose.
        tenant: TenantId,
        /// The URL, without a slash at its end.
        base: String,
        /// What of the path stands behind it: nothing, or what begins with a slash.
        path: &'p str,
    },
    /// Nothing: the host is for tenants' own bases alone, and this is none.
    Nowhere,
}

/// The bases of tenants.
#[derive(Debug, Default)]
pub struct TenantAddresses {
    /// Without a slash at its end.
    server_url: Option<String>,
    server: Option<Base>,
    /// By host, with `{tenant}` where that stands in it.
    hosts: HashMap<String, Host>,
    /// At which label of hosts `{tenant}` stands.
    label_places: Vec<usize>,
    named: HashMap<TenantId, String>,
    patterns: Vec<Base>,
}

/// The bases at one host.
#[derive(Debug, Default)]
struct Host {
    /// By path, with `{tenant}` where that stands in it.
    bases: HashMap<String, Owned>,
    /// How many segments these have, and which of them is `{tenant}`.
    shapes: Vec<(usize, Option<usize>)>,
}

/// Whose base it is: this one's, or that of the tenant that the address names.
#[derive(Debug)]
struct Owned {
    tenant: Option<TenantId>,
    base: Base,
}

impl TenantAddresses {
    /// The server's own base URL, where it is known, and the addresses of tenants.
    ///
    /// # Errors
    /// What is no such address, or names what another one does too.
    pub fn new<'a>(server: Option<&str>, addresses: impl IntoIterator<Item = &'a str>) -> Result<Self, AddressError> {
        let mut this = Self { server_url: server.map(str::to_owned), ..Self::default() };
        for text in addresses {
            let (tenant, base) = Base::parse_address(text)?;
            this.add(tenant, base, text)?;
        }
        if this.is_empty() {
            return Ok(this);
        }
        if let Some(server) = server {
            this.server = Some(Base::parse(server).map_err(|allowed| AddressError::of_server(server, allowed))?);
        }
        this.check()?;
        Ok(this)
    }

    /// Whether every tenant is at `/tenant/<id>` alone.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether some are at the host of the server's own base.
    pub fn are_at_server(&self) -> bool {
        self.server.as_ref().is_some_and(|server| self.hosts.contains_key(&server.host))
    }

    /// The URLs of a tenant's own bases.
    pub fn own_bases(&self, tenant: &TenantId) -> Vec<String> {
        let of_patterns = self.patterns.iter().filter(|base| base.fits(tenant)).map(|base| base.url_of(tenant));
        self.named.get(tenant).cloned().into_iter().chain(of_patterns).collect()
    }

    /// All base URLs of a tenant that are known, its own first. Which of them links carry is another question.
    pub fn bases(&self, tenant: &TenantId) -> Vec<String> {
        let of_server = self.server_url.iter().map(|server| format!("{server}/tenant/{tenant}"));
        self.own_bases(tenant).into_iter().chain(of_server).collect()
    }

    /// What a host and path lead to. A prefix is what a proxy has cut off the path; at the server's own host that is the path of
    /// its base.
    pub fn find<'p>(&self, host: &str, prefix: &str, path: &'p str) -> Place<'p> {
        let Some(host) = normalised(host) else { return Place::Nowhere };
        let is_servers = self.server.as_ref().filter(|server| server.host == host);
        let prefix = is_servers.map_or(prefix, Base::path);
        match self.find_at(&host, prefix, path) {
            Some(place @ Place::Tenant { .. }) => place,
            Some(_) if is_servers.is_none() => Place::Nowhere,
            _ => Place::Server,
        }
    }

    /// The tenant whose own base this is, byte for byte.
    pub fn tenant_of(&self, url: &str) -> Option<TenantId> {
        if self.is_empty() {
            return None;
        }
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match self.find_at(&normalised(host)?, "", path)? {
            Place::Tenant { tenant, base, path: "" } if base == url => Some(tenant),
            _ => None,
        }
    }

    /// `None`: no address names the host.
    fn find_at<'p>(&self, host: &str, prefix: &str, path: &'p str) -> Option<Place<'p>> {
        let (at, label) = match self.hosts.get(host) {
            Some(at) => (at, None),
            None => self.label_places.iter().find_map(|place| {
                let label = host.split('.').nth(*place)?;
                Some((self.hosts.get(&base::with_tenant_at(host.split('.'), *place, "."))?, Some(base::without_port(label))))
            })?,
        };
        Some(at.find(label, prefix, path).unwrap_or(Place::Nowhere))
    }

    fn add(&mut self, tenant: Option<TenantId>, base: Base, text: &str) -> Result<(), AddressError> {
        match &tenant {
            Some(tenant) if self.named.insert(tenant.clone(), base.url.clone()).is_some() => {
                return Err(AddressError::of(text, "one address of its own for a tenant"));
            }
            Some(_) => {}
            None => self.patterns.push(base.clone()),
        }
        if let Some(place) = base.label_place()
            && !self.label_places.contains(&place)
        {
            self.label_places.push(place);
        }
        let host = self.hosts.entry(base.host.clone()).or_default();
        let shape = (base.segments.len(), base.segment_place());
        if !host.shapes.contains(&shape) {
            host.shapes.push(shape);
        }
        if host.bases.insert(base.path().to_owned(), Owned { tenant, base }).is_some() {
            return Err(AddressError::of(text, "each base once"));
        }
        Ok(())
    }

    /// Refuses addresses of which one takes what belongs to another, or to the server.
    fn check(&self) -> Result<(), AddressError> {
        for (name, host) in &self.hosts {
            let one = host.bases.values().next().map_or("", |owned| owned.base.url.as_str());
            if self.patterns.iter().any(|pattern| pattern.host != *name && pattern.takes_host(name)) {
                return Err(AddressError::of(one, "hosts that no other address takes with its {tenant}"));
            }
            host.check()?;
        }
        let Some(server) = &self.server else { return Ok(()) };
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.takes_host(&server.host) && pattern.host != server.host) {
            return Err(AddressError::of(&pattern.url, "hosts other than that of base_url for {tenant} to stand in"));
        }
        for Owned { base, .. } in self.hosts.get(&server.host).into_iter().flat_map(|host| host.bases.values()) {
            let below = base.segments.strip_prefix(server.segments.as_slice());
            if below.and_then(|below| below.first()).is_none_or(|first| RESERVED.contains(&first.as_str())) {
                let allowed = "at the host of base_url, paths below it other than /tenant, /admin and /health";
                return Err(AddressError::of(&base.url, allowed));
            }
        }
        Ok(())
    }
}

impl Host {
    fn find<'p>(&self, label: Option<&str>, prefix: &str, path: &'p str) -> Option<Place<'p>> {
        self.shapes.iter().find_map(|(length, place)| {
            let (segments, rest) = split(prefix, path, *length)?;
            let Owned { tenant, base } = match place {
                Some(place) => self.bases.get(&path_of(base::with_tenant_at(segments.iter().copied(), *place, "/"), *length))?,
                None => self.bases.get(&path_of(segments.join("/"), *length))?,
            };
            let named = || TenantId::parse(label.or_else(|| place.map(|place| segments[place]))?);
            let tenant = tenant.clone().or_else(named).filter(|tenant| base.is_named() || base.fits(tenant))?;
            Some(Place::Tenant { base: base.url_of(&tenant), tenant, path: rest })
        })
    }

    fn check(&self) -> Result<(), AddressError> {
        let allowed = "bases of which none is below another";
        let paths: HashSet<&str> = self.bases.keys().map(String::as_str).collect();
        for (path, Owned { base, .. }) in &self.bases {
            let mut above = path.as_str();
            while let Some((shorter, _)) = above.rsplit_once('/') {
                above = shorter;
                if paths.contains(above) {
                    return Err(AddressError::of(&base.url, allowed));
                }
            }
            if base.segment_place().is_some() && self.bases.values().any(|other| other.base.url != base.url && other.base.may_overlap(base))
            {
                return Err(AddressError::of(&base.url, allowed));
            }
        }
        Ok(())
    }
}

/// The first segments of a path with its prefix, and what stands behind them; `None`: there are not as many plain ones, or they
/// end within the prefix.
fn split<'s, 'p: 's>(prefix: &'s str, path: &'p str, length: usize) -> Option<(Vec<&'s str>, &'p str)> {
    let mut segments: Vec<&'s str> = prefix.split('/').skip(1).collect();
    let mut rest = path;
    while segments.len() < length {
        let behind = rest.strip_prefix('/')?;
        let (segment, behind) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
        segments.push(segment);
        rest = behind;
    }
    let is_base = segments.len() == length && segments.iter().all(|segment| is_plain(segment));
    let is_path = rest.is_empty() || rest.starts_with('/');
    (is_base && is_path).then_some((segments, rest))
}

impl AddressError {
    fn of(found: &str, allowed: &'static str) -> Self {
        Self { is_servers: false, found: found.to_owned(), allowed }
    }

    fn of_server(found: &str, allowed: &'static str) -> Self {
        Self { is_servers: true, ..Self::of(found, allowed) }
    }
}

#[cfg(test)]
mod tests;
