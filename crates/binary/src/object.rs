//! Names of objects.

use fhirpool_authz::{ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::ResourceType;
use fhirpool_storage::{ContentName, Result, StorageError};

/// Longest name of a body, in bytes.
const BODY_NAME_BYTES_MAX: usize = 512;

/// An object's name: `tenant/<tenant>/Binary/<id>/<version>`, the same with `sealed` for `Binary`, or `tenant/<tenant>/body/<name>`.
///
/// Neither a tenant nor a part of a name can be empty, `.` or `..`, or hold a `/`: no name leads out of its tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    text: String,
    /// Where what is behind the tenant begins.
    own_at: usize,
    is_body: bool,
}

impl ObjectName {
    /// For looking.
    pub fn to_read(access: &ReadAccess, name: &ContentName) -> Result<Self> {
        let is_allowed = match name {
            ContentName::Binary { .. } => access.allows(binary()),
            ContentName::Body(_) => true,
        };
        Self::of(access.tenant(), name, is_allowed)
    }

    /// For changing.
    pub fn to_write(access: &WriteAccess, name: &ContentName) -> Result<Self> {
        let is_allowed = match name {
            ContentName::Binary { .. } => access.allows(binary()),
            ContentName::Body(_) => true,
        };
        Self::of(access.tenant(), name, is_allowed)
    }

    fn of(tenant: &TenantId, name: &ContentName, is_allowed: bool) -> Result<Self> {
        if !is_allowed {
            return Err(StorageError::Denied);
        }
        let mut text = prefix_of(tenant);
        let own_at = text.len();
        let is_body = match name {
            // An id may be a full stop or two; `_` is in no id.
            ContentName::Binary { id, version } => {
                let escape = if matches!(id.as_str(), "." | "..") { "_" } else { "" };
                text.push_str(&format!("Binary/{escape}{id}/{version}"));
                false
            }
            ContentName::Body(name) if is_body_name(name) => {
                text.push_str("body/");
                text.push_str(name);
                true
            }
            ContentName::Body(_) => return Err(StorageError::Denied),
        };
        Ok(Self { text, own_at, is_body })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name behind the tenant's.
    pub fn own(&self) -> &str {
        &self.text[self.own_at..]
    }

    /// Where the content of this Binary lies that the server has sealed.
    #[cfg(feature = "s3")]
    pub fn sealed(&self) -> Result<Self> {
        let behind = self.own().strip_prefix("Binary").ok_or(StorageError::Denied)?;
        let text = format!("{}sealed{behind}", &self.text[..self.own_at]);
        Ok(Self { text, own_at: self.own_at, is_body: true })
    }

    /// Whether it is the server's own and not the aim of URLs.
    #[cfg(feature = "s3")]
    pub fn is_body(&self) -> bool {
        self.is_body
    }

    /// The name, if URLs may lead to it.
    pub fn for_url(&self) -> Result<&str> {
        if self.is_body { Err(StorageError::Denied) } else { Ok(&self.text) }
    }
}

/// What the names of all objects of a tenant begin with.
pub(crate) fn prefix_of(tenant: &TenantId) -> String {
    format!("tenant/{tenant}/")
}

pub(crate) fn binary() -> ResourceType {
    ResourceType::parse("Binary").expect("Binary is a type of R4")
}

fn is_body_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    name.len() <= BODY_NAME_BYTES_MAX && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::Principal;
    use fhirpool_fhir::{ResourceId, VersionId};

    use super::*;

    fn of_acme(name: &ContentName) -> Result<ObjectName> {
        let tenant = TenantId::parse("acme").unwrap();
        ObjectName::to_write(&WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap(), name)
    }

    fn binary_of(id: &str) -> ContentName {
        ContentName::Binary { id: ResourceId::parse(id).unwrap(), version: VersionId(3) }
    }

    #[test]
    fn names_begin_with_the_tenant() {
        assert_eq!(of_acme(&binary_of("a.b")).unwrap().as_str(), "tenant/acme/Binary/a.b/3");
        assert_eq!(of_acme(&ContentName::Body("v/1_x".into())).unwrap().as_str(), "tenant/acme/body/v/1_x");
        assert_eq!(of_acme(&binary_of("Binary")).unwrap().own(), "Binary/Binary/3");
    }

    #[test]
    #[cfg(feature = "s3")]
    fn what_is_sealed_has_a_name_of_its_own() {
        let sealed = of_acme(&binary_of("..")).unwrap().sealed().unwrap();
        assert_eq!((sealed.as_str(), sealed.for_url()), ("tenant/acme/sealed/_../3", Err(StorageError::Denied)));
        assert_eq!(of_acme(&ContentName::Body("a".into())).unwrap().sealed(), Err(StorageError::Denied));
    }

    #[test]
    fn no_name_leads_out_of_its_tenants() {
        assert_eq!(of_acme(&binary_of("..")).unwrap().as_str(), "tenant/acme/Binary/_../3");
        for name in ["", "/", "a//b", "../other", "a/../b", "a/.", "/a", "a/", "a b", "a%2fb", "é"] {
            assert_eq!(of_acme(&ContentName::Body(name.into())), Err(StorageError::Denied), "{name:?}");
        }
        assert!(of_acme(&ContentName::Body("a".repeat(BODY_NAME_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn urls_lead_to_binaries_alone() {
        assert!(of_acme(&binary_of("1")).unwrap().for_url().is_ok());
        assert_eq!(of_acme(&ContentName::Body("a".into())).unwrap().for_url(), Err(StorageError::Denied));
    }
}
