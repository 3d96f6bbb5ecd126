//! Whose tokens are accepted: the deployment's issuers, and those that single tenants have of their own.

use std::collections::HashMap;

use fhirpool_fhir::json::Document;

use super::claims::{self, Accepting};
use super::{Issuer, KeySet, TokenError};
use crate::{Policy, TenantAccess, TenantAddresses, TenantId};

/// Which issuer: two tenants may have one at the same URL, and differ in what they accept of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuerName {
    /// The claim `iss`.
    pub url: String,
    /// The tenant whose own it is; `None`: the deployment's.
    pub of_tenant: Option<TenantId>,
}

impl From<&str> for IssuerName {
    /// One of the deployment's.
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), of_tenant: None }
    }
}

/// Issuers, and what their tokens grant.
#[derive(Debug)]
pub(super) struct Accepted {
    pub issuers: Vec<Issuer>,
    /// By URL. Each issues tokens of its tenant alone, and none of administrators.
    of_tenants: HashMap<String, Vec<(TenantId, Issuer)>>,
    pub policy: Policy,
}

impl Accepted {
    pub fn new(issuers: Vec<Issuer>, policy: Policy) -> Self {
        Self { issuers, of_tenants: HashMap::new(), policy }
    }

    /// The deployment's issuer that claims name; they are not verified yet.
    pub fn deployments(&self, claims: &Document) -> Result<&Issuer, TokenError> {
        let url = claims::issuer_url(claims)?;
        self.issuers.iter().find(|issuer| issuer.url == url).ok_or(TokenError::UnknownIssuer)
    }

    /// The issuer that claims name, which are not verified yet: one of their tenant's own goes ahead of the deployment's.
    pub fn issuer(&self, claims: &Document, addresses: &TenantAddresses) -> Result<(&Issuer, Option<&TenantId>), TokenError> {
        let own = self.of_tenants.get(&*claims::issuer_url(claims)?).into_iter().flatten();
        let mut own = own.filter(|(tenant, issuer)| claims::name_tenant(claims, Accepting { issuer, addresses }, tenant));
        match own.next() {
            Some((tenant, issuer)) => Ok((issuer, Some(tenant))),
            None => Ok((self.deployments(claims)?, None)),
        }
    }

    /// Gives a tenant what it has of its own in place of what it had. Keys of issuers that stay as they are stay.
    pub fn set_tenant(&mut self, tenant: &TenantId, access: Option<&TenantAccess>) {
        self.policy.set_own(tenant, access);
        let mut before = Vec::new();
        self.of_tenants.retain(|_, issuers| {
            before.extend(issuers.extract_if(.., |(of, _)| of == tenant).map(|(_, issuer)| issuer));
            !issuers.is_empty()
        });
        for remote in access.map(TenantAccess::issuers).unwrap_or_default() {
            let mut issuer = remote.issuer();
            if let Some(known) = before.iter().find(|known| known.url == issuer.url) {
                issuer.keys = known.keys.clone();
            }
            self.of_tenants.entry(issuer.url.clone()).or_default().push((tenant.clone(), issuer));
        }
    }

    /// Replaces the keys of an issuer; `false`: there is none of this name, or it has these.
    pub fn set_keys(&mut self, name: &IssuerName, keys: KeySet) -> bool {
        let issuer = match &name.of_tenant {
            None => self.issuers.iter_mut().find(|issuer| issuer.url == name.url),
            Some(tenant) => self.of_tenants.get_mut(&name.url).into_iter().flatten().find(|(of, _)| of == tenant).map(|(_, issuer)| issuer),
        };
        match issuer {
            Some(issuer) if !issuer.keys.is_same(&keys) => {
                issuer.keys = keys;
                true
            }
            _ => false,
        }
    }
}
